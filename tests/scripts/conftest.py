"""Finished runs on a tiny demo cohort, in this process: the pipeline's real commands, and jobs of the grid."""

from __future__ import annotations

import functools
import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fire.parser import DefaultParseValue
from monai.bundle import ConfigWorkflow

from fesf.scripts import pipeline
from fesf.scripts.data import grid
from fesf.scripts.data.grid import CNN, DEMO, Cell, Job, Source, cells
from fesf.scripts.data.run_folder import RunFolder
from fesf.scripts.data.steps import Runner, Step
from fesf.scripts.data.studies import GENERATED, LambdaCell, OtherLambda, Rehidden, SecondPass, SweepPoint

ENHANCE = ("epochs=2", "iterations=20", "averaging=0.2", "learning_rate=0.002", "image_limit=60", "sheet_interval=2")
ENHANCE += ("content_weight=2",)
"""Enough for the generator to change a pixel by more than 1e-3; its options come after the demo's own."""
COMMON = ["--patients", "40", "--image-size", "32", "--epochs", "2", "--train-option", "tensorboard=False"]
COMMON += [word for option in (*ENHANCE, "tensorboard=False") for word in ("--enhance-option", option)]


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


@pytest.fixture(scope="session")
def tiny_grid(tmp_path_factory: pytest.TempPathFactory) -> list[Job]:
    """Finished jobs of a tiny grid: a source, the CNN's arms, lambda 0, a second pass, one alpha."""
    make_demo = grid.make_demo
    training_ids = {"epochs": 2, "iterations": 20, "batch_size": 4, "averaging": 0.4, "learning_rate": 0.003}
    training_ids |= {"image_limit": 40, "tensorboard": False, "content_weight": 2.0}
    source = Source(DEMO, 0, "", str(tmp_path_factory.mktemp("grid") / "work" / "quick"), quick=True)
    jobs: list[Job] = [source, *cells([source], [CNN]), OtherLambda(source, 0.0)]
    jobs += [LambdaCell(source, 0.0, arm) for arm in GENERATED]
    jobs += [SecondPass(source, 0.1, 0.5), SweepPoint(source, 0.1, 0.5)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grid, "make_demo", functools.partial(make_demo, patients=30, hosts=12))
        patch.setattr(Source, "training_ids", property(lambda _: training_ids))
        for job in jobs:
            job.execute()
    return jobs


ROWS = tuple(range(2, 14))
"""Rows of the test images that :func:`leave` makes up; two of each patient, classes "a" and "b" in turn."""


def made_up_quality(closed: float = 0.75) -> dict[str, Any]:
    """What quality.json holds, with the enhanced images' gap closed as given and the surrogates' a quarter less."""
    stages = ("floor", "plaintext", "host", "synthetic", "enhanced", "surrogate")
    likeness = {name: {"ssim": 0.5 + n / 8, "psnr": 10.0 + n, "ms_ssim": 0.25} for n, name in enumerate(stages[-3:])}
    other = {"ssim": 0.125, "psnr": 9.0, "ms_ssim": None}
    gaps = {"enhanced": closed, "surrogate": closed - 0.25}
    return {
        "section": "test",
        "images": len(ROWS),
        "images_drawn": 6,
        "distance": {name: {"mmd": n / 64, "frechet": 2.5 * n} for n, name in enumerate(stages)},
        "gap_closed": {name: {"mmd": gap, "frechet": -gap} for name, gap in gaps.items()},
        "likeness_to_host": {"plaintext": other | {"ms_ssim": 0.5}} | likeness,
        "likeness_to_plaintext": likeness | {"another plaintext": other},
    }


def leave(job: Job, scores: Sequence[float] | None = None, **done: Any) -> None:
    """Write what a finished job leaves behind, with made-up figures.

    Args:
        job: the job.
        scores: of class "b" for each of :data:`ROWS`; None gives each its own perfect 0.1 or 0.9.
        done: further content of ``done.json``.
    """
    job.folder.mkdir(parents=True, exist_ok=True)
    labels = ["ab"[row % 2] for row in ROWS]
    perfect = [0.9 if label == "b" else 0.1 for label in labels]
    if isinstance(job, Source):
        shares = {"ihm": 0.125, "iqem": 0.25, "full": 0.5}
        done = {"class_names": ["a", "b"], "withdrawn": 3, "clipped_share": shares} | done
        done = {"quality": made_up_quality(), "distance": {}} | done
        for arm in shares:
            leave_linkage(job.linkage(arm), arm)
    elif isinstance(job, OtherLambda):
        done = {"quality": made_up_quality(0.25), "distance": {}} | done
    elif isinstance(job, Cell | Rehidden):
        arm = job.arm if isinstance(job, Cell) else "again"
        lines = ["id,label,p_a,p_b,decision"]
        for row, label, score in zip(ROWS, labels, scores or perfect, strict=True):
            key = f"row-{row}" if arm == "plaintext" else f"{arm}{100 - row}"
            lines.append(f"{key},{label},{1 - score},{score},{'b' if score >= 0.5 else 'a'}")
        job.predictions.write_text("\n".join([lines[0], *sorted(lines[1:])]) + "\n")
        metrics = {"auc": {"value": 0.75, "low": 0.5, "high": 1.0}, "f1": {"value": None, "low": None, "high": None}}
        (job.folder / "metrics.json").write_text(json.dumps({"metrics": metrics}))
        history = "epoch,train_loss,val_loss,val_auc\n1,0.75,0.5,0.625\n2,0.25,,\n"
        (job.folder / "history.csv").write_text(history)
        if isinstance(job, Rehidden):
            leave_linkage(job.linkage, arm)
        if isinstance(job, SecondPass):
            done = {"quality": made_up_quality(1.0), "clipped_share": 0.5} | done
    (job.folder / "done.json").write_text(
        json.dumps({"key": job.key, "commit": "0123abc", "machine": "a processor, 2 cores"} | done)
    )


def leave_linkage(path: Path, arm: str) -> None:
    """Write a linkage of :data:`ROWS` in the order of its ids."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{arm}{100 - row},{row},P{row // 2},,{'ab'[row % 2]},test" for row in ROWS]
    path.write_text("\n".join(["id,row,patient,study,label,split", *sorted(lines)]) + "\n")
