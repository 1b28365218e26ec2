"""What STYLE asks of configs, read from their text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser

from tests.bundle.tiny import CONFIGS

ROOT = Path(__file__).parents[2]
ALL = sorted(CONFIGS.rglob("*.json"))
# Typed twice because train.json and inference.json must each parse alone.
TWICE = ("bundle_root", "dataset_dir", "output_dir", "ckpt_dir", "device", "spatial_dims", "num_classes", "batch_size")
TWICE += ("num_workers", "amp", "network_def", "network")


def read(name: str) -> dict[str, Any]:
    return json.loads((CONFIGS / name).read_text())


def targets(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "_target_" in node:
            yield node["_target_"]
        for value in node.values():
            yield from targets(value)
    elif isinstance(node, list):
        for value in node:
            yield from targets(value)


def texts(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, (dict, list)):
        for value in node.values() if isinstance(node, dict) else node:
            yield from texts(value)


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_project_code_is_reached_by_target_alone(path: Path) -> None:
    content = json.loads(path.read_text())
    for target in targets(content):
        assert not re.match(r"(bundle|transforms|networks|scripts)\.", target), target
    for text in texts(content):
        if text.startswith("$"):
            assert "fesf" not in text, text


def test_sources_import_from_fesf_alone() -> None:
    bare = re.compile(r"^\s*(?:from|import) (?:transforms|networks|scripts)\b", re.MULTILINE)
    sources = [path for part in ("transforms", "networks", "scripts") for path in (ROOT / part).rglob("*.py")]
    assert len(sources) > 10
    assert [path.name for path in sources if bare.search(path.read_text())] == []


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_no_machine_path(path: Path) -> None:
    for text in texts(json.loads(path.read_text())):
        assert not re.match(r"[$\s'\"]*/(?!\w*')", text) or text.startswith("/plaintext"), text


@pytest.mark.parametrize("name", ["train.json", "inference.json", "plaintext.json", "hide.json"])
def test_knobs_come_first(name: str) -> None:
    """Plain values stand before the first component."""
    kinds = [
        isinstance(value, (dict, list)) and bool(list(targets(value)))
        for key, value in read(name).items()
        if key not in ("imports", "initialize", "run", "training", "inferring", "hiding", "network", "handlers")
        and not (isinstance(value, str) and value.startswith(("$", "@", "%")))
    ]
    assert kinds == sorted(kinds)


@pytest.mark.parametrize("name", ["train.json", "evaluate.json", "plaintext.json", "multi_gpu_train.json"])
def test_handlers_are_named(name: str) -> None:
    for key in texts(list(read(name))):
        assert not re.search(r"handlers#\d", key), key
    for part in ("train", "validate"):
        for text in texts(read(name).get(part, {}).get("handlers", []) + read(name).get(f"{part}#handlers", [])):
            assert re.fullmatch(r"[@%]\w+", text), text


@pytest.mark.parametrize("key", TWICE)
def test_what_is_typed_twice_is_equal(key: str) -> None:
    assert read("train.json")[key] == read("inference.json")[key]


def test_loaders_are_equal() -> None:
    train, inference = read("train.json")["load"], read("inference.json")["load"]
    assert train | {"store": ""} == inference | {"store": ""}
    assert read("evaluate.json")["checkpoint_loader"] == read("inference.json")["checkpoint_loader"]
    assert read("evaluate.json")["operating_point"] == read("inference.json")["operating_point"]


@pytest.mark.parametrize("name", ["densenet121", "resnet18"])
def test_networks_by_one_override_file(name: str) -> None:
    parser = ConfigParser()
    parser.read_config([str(CONFIGS / "train.json"), str(CONFIGS / "networks" / f"{name}.json")])
    parser["num_classes"] = 3
    network = parser.get_parsed_content("network_def").eval()
    assert type(network).__name__.lower() == {"densenet121": "densenet121", "resnet18": "resnet"}[name]
    with torch.no_grad():
        assert network(torch.rand(1, 1, 64, 64)).shape == (1, 3)


def test_the_default_network_is_a_small_one_of_monai() -> None:
    parser = ConfigParser()
    parser.read_config(str(CONFIGS / "train.json"))
    network = parser.get_parsed_content("network_def")
    assert type(network).__module__ == "monai.networks.nets.resnet"
    assert sum(parameter.numel() for parameter in network.parameters()) < 400_000
