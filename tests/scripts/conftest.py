"""A finished run of the pipeline on a tiny demo cohort: its real commands, in this process instead of one each."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fire.parser import DefaultParseValue
from monai.bundle import ConfigWorkflow

from fesf.scripts import pipeline
from fesf.scripts.data.run_folder import RunFolder
from fesf.scripts.data.steps import Runner, Step

COMMON = ["--patients", "40", "--image-size", "32", "--epochs", "2", "--train-option", "tensorboard=false"]


def execute(command: tuple[str, ...]) -> int:
    """What ``python -m ...`` would do, without starting a process."""
    _, _, module, *arguments = command
    if module != "monai.bundle":
        return importlib.import_module(module).main(arguments) or 0
    assert arguments[0] == "run"
    names, values = arguments[2::2], arguments[3::2]
    given: dict[str, Any] = {
        name.removeprefix("--"): DefaultParseValue(value) for name, value in zip(names, values, strict=True)
    }
    workflow = ConfigWorkflow(workflow_type=None, run_id=arguments[1], logging_file=False, **given)
    workflow.initialize()
    workflow.run()
    workflow.finalize()
    return 0


class InProcessRunner(Runner):
    """Runs each step when it is started; its command, key and marker are the real ones."""

    started: list[str]

    def _start(self, step: Step) -> Any:
        self.__class__.started.append(step.name)
        code = execute(step.command)
        return SimpleNamespace(poll=lambda: code, returncode=code, terminate=lambda: None, wait=lambda: code)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, str, list[str]]:
    """The run's folder, the pipeline's closing text, and the names of the steps that ran."""
    folder = tmp_path_factory.mktemp("pipeline") / "run"
    InProcessRunner.started = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "Runner", InProcessRunner)
        plan, _ = pipeline.parse(["--out", str(folder), *COMMON])
        text = pipeline.run(plan, install_seconds=12.0)
        names = list(InProcessRunner.started)
    return RunFolder(Path(folder)), text, names
