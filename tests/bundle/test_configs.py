"""What STYLE asks of configs, read from their text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
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


@pytest.mark.parametrize(
    "name", ["train.json", "inference.json", "plaintext.json", "hide.json", "enhance.json", "audit.json"]
)
def test_knobs_come_first(name: str) -> None:
    """Plain values stand before the first component."""
    kinds = [
        isinstance(value, (dict, list)) and bool(list(targets(value)))
        for key, value in read(name).items()
        if key not in ("imports", "initialize", "run", "network", "handlers")
        and not key.endswith("ing")  # run ids
        and not (isinstance(value, str) and value.startswith(("$", "@", "%")))
    ]
    assert kinds == sorted(kinds)


@pytest.mark.parametrize(
    "name", ["train.json", "evaluate.json", "plaintext.json", "multi_gpu_train.json", "enhance.json"]
)
def test_handlers_are_named(name: str) -> None:
    for key in texts(list(read(name))):
        assert not re.search(r"handlers#\d", key), key
    for part in ("train", "validate"):
        for text in texts(read(name).get(part, {}).get("handlers", []) + read(name).get(f"{part}#handlers", [])):
            assert re.fullmatch(r"[@%]\w+", text), text


@pytest.mark.parametrize("key", TWICE)
def test_what_is_typed_twice_is_equal(key: str) -> None:
    assert read("train.json")[key] == read("inference.json")[key]


# What hide.json and enhance.json do under one name, each in its way.
APART = {"imports", "recipe", "pool", "generator", "network_def", "network", "initialize", "run"}


def test_the_hospitals_configs_are_equal_where_they_share_a_name() -> None:
    """A generator must be trained on what hide.json makes: the same images, hosts and band."""
    hiding, enhancing = read("hide.json"), read("enhance.json")
    shared = set(hiding) & set(enhancing)
    assert {name for name in shared if hiding[name] != enhancing[name]} == APART
    assert shared - APART >= {
        "cohort", "hosts_dir", "host", "hospital_dir", "previous_splits", "release_id", "alpha", "beta", "image_size",
        "intensity_range", "fractions", "on_bad_row", "seed", "device", "save_execute_config", "preprocessing",
        "generator_def",
    }  # fmt: skip
    assert enhancing["pool"].items() <= hiding["pool"].items()
    settled = [
        {name: value for name, value in config["recipe"].items() if name != "recipe"} for config in (enhancing, hiding)
    ]
    assert settled[0].items() <= settled[1].items()
    assert enhancing["recipe"]["recipe"].items() <= hiding["recipe"]["recipe"].items()
    network, first_pass = hiding["network_def"], enhancing["hiding_network"]
    assert first_pass.items() <= network.items()
    assert set(network) - set(first_pass) == {"generator", "second_alpha", "second_beta", "stage"}
    measuring = read("quality.json")
    for name in (set(measuring) & set(enhancing)) - APART - {"splits"}:
        assert measuring[name] == enhancing[name], name
    assert (
        measuring["quality"]["source"].items()
        <= (enhancing["val_synthetic"] | {"section": "@section", "cohort": "@cohort"}).items()
    )


def test_an_audit_names_its_release_as_it_was_hidden() -> None:
    hiding, auditing = read("hide.json"), read("audit.json")
    shared = (set(hiding) & set(auditing)) - {"imports", "initialize", "run", "tracking_uri"}
    assert {name for name in shared if hiding[name] != auditing[name]} == set()
    assert shared >= {"cohort", "hosts_dir", "host", "store_dir", "hospital_dir", "secret_file", "save_execute_config"}


def test_the_hospitals_configs_parse_equal() -> None:
    parsers = []
    for name in ("hide.json", "enhance.json"):
        parser = ConfigParser()
        parser.read_config(str(CONFIGS / name))
        parsers.append(parser)
    hiding, enhancing = (parser.get_parsed_content for parser in parsers)
    for name in (set(read("hide.json")) & set(read("enhance.json"))) - APART - {"plain_errors"}:
        first, second = hiding(name), enhancing(name)
        if name == "generator_def":
            first, second = ({key: value.shape for key, value in each.state_dict().items()} for each in (first, second))
        if name == "preprocessing":
            first, second = (
                (each.keys, each.spatial_size, each.intensity_range, each.pixel_spacing, each.mask_text)
                for each in (first, second)
            )
        assert first == second, name
    common = [parser.get_parsed_content("recipe") for parser in parsers]
    assert common[0] == common[1]
    assert enhancing("output_dir").startswith(enhancing("hospital_dir") + "/")


def test_loaders_are_equal() -> None:
    train, inference = read("train.json")["load"], read("inference.json")["load"]
    assert train | {"store": ""} == inference | {"store": ""}
    assert read("evaluate.json")["checkpoint_loader"] == read("inference.json")["checkpoint_loader"]
    assert read("evaluate.json")["operating_point"] == read("inference.json")["operating_point"]


def test_the_default_network_is_a_small_one_of_monai() -> None:
    parser = ConfigParser()
    parser.read_config(str(CONFIGS / "train.json"))
    network = parser.get_parsed_content("network_def")
    assert type(network).__module__ == "monai.networks.nets.resnet"
    assert sum(parameter.numel() for parameter in network.parameters()) < 400_000
