"""The intensity rule: its forms, and percentiles of the training patients, computed once and kept."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fesf.scripts.data import intensity as module
from fesf.scripts.data.cohort import CohortError, LoadImageCohortd
from fesf.scripts.data.hosts import HostPool
from fesf.scripts.data.intensity import check_rule, kept_rule, limits, settle
from fesf.scripts.data.recipe import Recipe

RULE = {"percentiles": [10, 90]}
SPLITS = ("training", "training", "validation", "test")


def pixels(number: int, maximum: int = 60000) -> np.ndarray:
    return np.random.default_rng(number).integers(0, maximum, (8, 8)).astype(np.uint16)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four patients of one image each, the others' brighter; two hosts of eight bits; a hospital folder."""
    (tmp_path / "hosts").mkdir()
    with open(tmp_path / "cohort.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", "label", "patient", "split"])
        for number, split in enumerate(SPLITS):
            Image.fromarray(pixels(number, 3000 * (1 + 9 * (split != "training")))).save(tmp_path / f"{number}.png")
            table.writerow([f"{number}.png", "x", f"P{number}", split])
    for number in range(2):
        Image.fromarray((pixels(9 + number) // 256).astype(np.uint8)).save(tmp_path / "hosts" / f"{number}.png")
    return tmp_path


def places(folder: Path, hospital: str = "hospital", **others: Any) -> dict[str, Any]:
    return {"cohort": folder / "cohort.csv", "hosts_dir": folder / "hosts", "hospital_dir": folder / hospital} | others


def test_rules_in_their_one_form() -> None:
    assert check_rule(None) is None
    assert check_rule("window") == "window"
    assert check_rule([0, 4095]) == (0.0, 4095.0)
    assert check_rule(RULE) == {"percentiles": (10.0, 90.0)}
    assert limits(check_rule([0, 1])) == (0.0, 1.0)
    assert limits("window") is limits(None) is None
    settled = check_rule(RULE | {"range": [1, 2], "hosts": [3, 4]})
    assert (limits(settled), limits(settled, "hosts")) == ((1.0, 2.0), (3.0, 4.0))
    with pytest.raises(ValueError, match="percentiles, which are not known here: hide the cohort first"):
        limits(check_rule(RULE))


def test_percentiles_of_the_training_patients_alone(folder: Path) -> None:
    recipe = settle(Recipe("r1", image_size=[8, 8], intensity_range=RULE), **places(folder))
    training = np.percentile(np.concatenate([pixels(n, 3000).ravel() for n in (0, 1)]), [10, 90])
    hosts = np.percentile(np.concatenate([(pixels(9 + n) // 256).ravel() for n in (0, 1)]), [10, 90])
    expected = {"percentiles": (10, 90), "range": tuple(training), "hosts": tuple(hosts)}
    assert recipe.intensity_range == expected
    kept = folder / "hospital" / "intensity.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert json.loads(kept.read_text()) == {name: list(value) for name, value in expected.items()}
    scale = recipe.document("", "own", {})["intensity_rule"]["scale"]
    assert scale == expected
    image = LoadImageCohortd("image", (8, 8), recipe.intensity_range).prepare(str(folder / "0.png"))[0].numpy().T
    np.testing.assert_allclose(
        image, np.clip((pixels(0, 3000) - training[0]) / (training[1] - training[0]), 0, 1), atol=1e-5
    )
    host = HostPool(folder / "hosts", recipe, "0.png").host[0].numpy().T
    np.testing.assert_allclose(host, np.clip((pixels(9) // 256 - hosts[0]) / (hosts[1] - hosts[0]), 0, 1), atol=1e-5)


def test_kept_percentiles_are_used_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = Recipe("r1", image_size=[8, 8], intensity_range=RULE)
    first = settle(chosen, **places(folder))
    monkeypatch.setattr(module, "_compute", lambda *_: pytest.fail("computed again"))
    assert settle(chosen, **places(folder)) == first
    later = settle(chosen, **places(folder, "later", previous_splits=folder / "hospital" / "splits.csv"))
    assert later == first
    assert (folder / "later" / "intensity.json").is_file()
    assert kept_rule(RULE, folder / "hospital" / "splits.csv") == first.intensity_range
    assert kept_rule([0, 5], folder / "nowhere" / "splits.csv") == (0.0, 5.0)
    for other in (folder / "nowhere", folder / "hospital"):
        with pytest.raises(ValueError, match=r"does not hold the percentiles \[1.0, 9.0\]: hide first"):
            kept_rule({"percentiles": [1, 9]}, other / "splits.csv")
    with pytest.raises(ValueError, match=r"asks for percentiles \[1.0, 9.0\], intensity.json of the hospital holds"):
        settle(Recipe("r1", intensity_range={"percentiles": [1, 9]}), **places(folder))
    (folder / "hospital" / "intensity.json").write_text('{"range": [0, 1]}')
    with pytest.raises(ValueError, match=r"intensity\.json of the hospital cannot be read"):
        settle(chosen, **places(folder))


def test_nothing_is_read_or_kept_without_need(folder: Path) -> None:
    for rule in (None, "window", [0, 9]):
        recipe = Recipe("r1", intensity_range=rule)
        assert settle(recipe, "nowhere.csv", "nowhere", folder / "hospital") is recipe
    settle(Recipe("r1", image_size=[8, 8], intensity_range=RULE), **places(folder, dry_run="true"))
    assert not (folder / "hospital").exists()


def test_withdrawn_patients_do_not_count(folder: Path) -> None:
    (folder / "withdrawn.csv").write_text("patient\nP1\n")
    recipe = settle(Recipe("r1", intensity_range=RULE), **places(folder, withdrawn=folder / "withdrawn.csv"))
    assert recipe.intensity_range["range"] == tuple(np.percentile(pixels(0, 3000), [10, 90]))


def test_bad_images_stop_or_are_left_out(folder: Path) -> None:
    (folder / "0.png").write_bytes(b"no image")
    with pytest.raises(CohortError, match=r"^Row 2 of the cohort: its image cannot be read \(\w+\)\.$") as caught:
        settle(Recipe("r1", intensity_range=RULE), **places(folder))
    assert str(folder) not in str(caught.value)
    recipe = settle(Recipe("r1", intensity_range=RULE, on_bad_row="quarantine"), **places(folder))
    assert recipe.intensity_range["range"] == tuple(np.percentile(pixels(1, 3000), [10, 90]))
    for number in (0, 1):
        Image.fromarray(np.full((8, 8), 7, np.uint16)).save(folder / f"{number}.png")
    with pytest.raises(ValueError, match="of the training images are equal: take them further apart"):
        settle(Recipe("r1", intensity_range=RULE), **places(folder, "other"))


def test_large_images_are_sampled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIXELS", 20)
    sampled = module._pixels(str(folder / "0.png"), None, 3)
    assert sampled.size == 20
    assert set(sampled) <= set(pixels(0, 3000).ravel().astype(np.float32))
