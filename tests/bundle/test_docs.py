"""The bundle's README: its commands name configs, runs and ids that exist, its table names every knob."""

from __future__ import annotations

import ast
import json
import re
import shlex
from pathlib import Path

import pytest
from monai.bundle import ConfigParser

from tests.bundle.tiny import CONFIGS

ROOT = Path(__file__).parents[2]
README = (ROOT / "bundle" / "docs" / "README.md").read_text()
BLOCKS = "\n".join(re.findall(r"```bash\n(.*?)```", README, re.DOTALL)).replace("\\\n", " ")
RUNS = [line for line in BLOCKS.splitlines() if "monai.bundle run" in line]


def parse(line: str) -> tuple[str, list[str], dict[str, str]]:
    """Run id, config files and the other options of a command."""
    words = shlex.split(line[line.index("monai.bundle run") :])[2:]
    options = dict(zip(words[1::2], words[2::2], strict=True))
    configs = options.pop("--config_file")
    return words[0], ast.literal_eval(configs) if configs.startswith("[") else [configs], options


@pytest.mark.parametrize("line", RUNS)
def test_bundle_commands(line: str) -> None:
    run_id, configs, options = parse(line)
    parser = ConfigParser()
    parser.read_config([str(ROOT / config) for config in configs])
    assert run_id in parser
    for name, value in options.items():
        if name == "--tracking":
            assert (ROOT / value).is_file()
        else:
            assert name.removeprefix("--") in parser, name


def test_every_workflow_has_a_command() -> None:
    assert {parse(line)[0] for line in RUNS} == {
        "enhancing",
        "hiding",
        "measuring",
        "auditing",
        "training",
        "evaluating",
        "inferring",
    }
    named = {Path(config).name for line in RUNS for config in parse(line)[1]}
    overlays = {path.name for path in CONFIGS.glob("*.json")} - {"metadata.json", "mlflow.json"}
    assert overlays <= named


def test_table_names_every_knob() -> None:
    described = set(re.findall(r"`(\w+)`", "\n".join(re.findall(r"^\|(.*?)\|", README, re.MULTILINE))))
    for name in ("train.json", "evaluate.json", "inference.json", "plaintext.json"):
        for key, value in json.loads((CONFIGS / name).read_text()).items():
            if isinstance(value, (dict, list)) and key != "image_size":
                break
            if key not in ("imports", "save_execute_config"):
                assert key in described, f"{name}: {key}"


def test_other_commands_exist() -> None:
    for module in set(re.findall(r"-m (fesf\.[\w.]+)", BLOCKS)):
        assert (ROOT / f"{module.removeprefix('fesf.').replace('.', '/')}.py").is_file(), module
