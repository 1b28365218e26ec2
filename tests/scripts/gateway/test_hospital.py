"""The gateway hides as the release did, or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from fesf.networks import EnhancementGenerator
from fesf.scripts.data.files import file_sha256
from fesf.scripts.data.hosts import HostPool
from fesf.scripts.data.recipe import Recipe
from fesf.scripts.gateway.hospital import load_pipeline, read_recipe
from tests.scripts.gateway.made import SIZE


@pytest.fixture
def hospital(config: Path) -> Path:
    return config.parent


def rewrite(hospital: Path, recipe: Recipe, **changes: Any) -> None:
    host = HostPool(hospital / "hosts", recipe).host_sha256
    document = recipe.document(host, "own", {}) | changes
    (hospital / "kept" / "release.json").write_text(json.dumps(document))


@pytest.mark.parametrize(
    "changes",
    [{}, {"alpha": 0.2, "beta": 0.7, "seed": 5, "bit_depth": 16}, {"intensity_range": [0, 4095], "mask_text": False},
     {"intensity_range": "window", "pixel_spacing": [1.0, 2.0]}],
)  # fmt: skip
def test_a_recipe_comes_back_from_its_document(hospital: Path, changes: dict[str, Any]) -> None:
    recipe = Recipe("r2", image_size=SIZE, **changes)
    (hospital / "kept" / "release.json").write_text(json.dumps(recipe.document("ab" * 32, "own", {})))
    assert read_recipe(hospital / "kept") == (Recipe("r2", image_size=SIZE, output="dicom", **changes), "ab" * 32)


def test_the_pipeline_is_the_releases(hospital: Path) -> None:
    recipe, pool, network = load_pipeline(hospital / "kept", hospital / "hosts")
    assert recipe.encoding == {"type": "dicom", "bits": 8, "patient_identity_removed": "NO"}
    assert torch.equal(network.host, pool.host)
    assert network.stage == "synthetic"


def test_with_a_generator(hospital: Path) -> None:
    torch.manual_seed(0)
    path = hospital / "generator.pt"
    torch.save(EnhancementGenerator(2).state_dict(), path)
    rewrite(hospital, Recipe("r1", image_size=SIZE, generator_sha256=file_sha256(path)))
    recipe, _, network = load_pipeline(hospital / "kept", hospital / "hosts", None, path)
    assert recipe.stage == network.stage == "surrogate"
    for other in (None, hospital / "secret"):
        with pytest.raises(ValueError, match="generator_file: it is another"):
            load_pipeline(hospital / "kept", hospital / "hosts", None, other)


def test_another_host_is_refused(hospital: Path) -> None:
    _, pool, _ = load_pipeline(hospital / "kept", hospital / "hosts")
    for path in sorted((hospital / "hosts").iterdir()):
        if file_sha256(path) == pool.host_sha256:
            load_pipeline(hospital / "kept", hospital / "hosts", path.name)
            continue
        with pytest.raises(ValueError, match="the host is another than the release's"):
            load_pipeline(hospital / "kept", hospital / "hosts", path.name)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"alpha": 0.1}'])
def test_a_folder_of_no_release_is_refused(hospital: Path, content: str) -> None:
    (hospital / "kept" / "release.json").write_text(content)
    with pytest.raises(ValueError, match="is no release's"):
        read_recipe(hospital / "kept")


def test_volumes_are_refused(hospital: Path) -> None:
    recipe = Recipe("r1", image_size=(8, 8, 8))
    (hospital / "kept" / "release.json").write_text(json.dumps(recipe.document("ab" * 32, "own", {})))
    with pytest.raises(ValueError, match="of volumes"):
        read_recipe(hospital / "kept")
