"""How much text a detector finds, judged with detectors that find all, nothing or half of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fesf.scripts.data.text_overlay import text_box
from fesf.scripts.data.text_recall import (
    SIZES,
    Trial,
    covered_by,
    draw_overlay,
    read_labels,
    recall,
    totals,
    try_background,
    try_real_files,
)
from fesf.transforms import load_image
from fesf.transforms.text import MaskText
from tests.transforms.dicom_files import SHIPPED


def bright(picture: np.ndarray) -> np.ndarray:
    """The box around everything that is not dark."""
    rows, columns = np.nonzero(picture > 5)
    if not len(rows):
        return np.zeros((0, 4), dtype=np.int64)
    return np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]])


def nothing(picture: np.ndarray) -> np.ndarray:
    return np.zeros((0, 4), dtype=np.int64)


def left_half(picture: np.ndarray) -> np.ndarray:
    return np.array([[0, 0, picture.shape[1] // 2, picture.shape[0]]])


def test_overlays_take_dark_free_places() -> None:
    rng = np.random.default_rng(0)
    image = np.full((120, 200), 0.8, dtype=np.float32)
    image[:60] = 0.1
    taken = np.zeros(image.shape, dtype=bool)
    placed = draw_overlay(image, "AB", "sans", 20, "white", taken, rng)
    assert placed is not None
    assert placed.value == 1.0
    left, top, right, bottom = text_box("AB", "sans", 20)
    assert placed.top + bottom <= 75  # on average dark enough
    assert taken.sum() == (right - left) * (bottom - top)
    faint = draw_overlay(np.full((120, 200), 0.8, dtype=np.float32), "AB", "sans", 20, "faint", taken, rng)
    assert faint is not None
    assert faint.value == pytest.approx(0.6)
    assert draw_overlay(np.ones((120, 200), dtype=np.float32), "AB", "sans", 20, "white", taken, rng) is None
    assert draw_overlay(image, "A LONG LINE OF TEXT", "sans", 40, "faint", taken, rng) is None
    assert draw_overlay(image, "AB", "sans", 20, "faint", np.ones(image.shape, dtype=bool), rng) is None


def test_made_up_text_is_judged_by_its_ink() -> None:
    image = np.full((400, 500), 0.1, dtype=np.float32)
    image[0, 0] = 1.0  # keeps the detector's stretching the same with and without text
    trials, without = try_background("flat", image, MaskText(nothing), 1)
    assert {trial.covered for trial in trials} == {0.0}
    assert (without["boxes"], without["area"]) == (0, 0.0)
    assert {trial.size for trial in trials} == set(SIZES)
    found, without = try_background("flat", image, MaskText(bright, margin=0), 1)
    assert [replace_covered(t) for t in found] == [replace_covered(t) for t in trials]  # the seed places them
    white = [trial for trial in found if trial.contrast == "white"]
    assert white
    assert all(trial.covered == 1.0 for trial in white)
    assert (without["boxes"], without["area"]) == (1, round(1 / 200_000, 5))


def replace_covered(trial: Trial) -> tuple[object, ...]:
    return trial.background, trial.font, trial.size, trial.script, trial.contrast


def test_recall_by_an_attribute() -> None:
    trials = [Trial("a", "sans", 8, "Latin", "white", share) for share in (1.0, 0.9, 0.5)]
    trials.append(Trial("b", "sans", 40, "Greek", "white", 0.0))
    assert recall(trials, "size") == {
        "8": {"texts": 3, "found": 0.667, "ink_covered": 0.8},
        "40": {"texts": 1, "found": 0.0, "ink_covered": 0.0},
    }
    assert list(recall(trials, "script")) == ["Greek", "Latin"]


def test_boxes_cover_what_they_name() -> None:
    covered = covered_by([(1, 2, 4, 5), (9, 0, 10, 1)], (6, 10))
    assert covered.sum() == 10
    assert covered[2:5, 1:4].all()
    assert covered[0, 9]


def test_labels_lie_inside_their_images(shared_data: Path) -> None:
    labels = read_labels()
    assert sum(map(len, labels.values())) == 127
    for name, boxes in labels.items():
        folder = SHIPPED if (SHIPPED / name).is_file() else shared_data / "dicom_pydicom_data"
        columns, rows = load_image(folder / name, frame=0).shape[1:3]
        for left, top, right, bottom in boxes:
            assert 0 <= left < right <= columns, name
            assert 0 <= top < bottom <= rows, name


def test_real_files_by_regions_detector_and_both() -> None:
    files = {each["file"]: each for each in try_real_files([SHIPPED, Path("nowhere")], MaskText(left_half, margin=0))}
    assert set(files) == {"examples_rgb_color.dcm", "examples_ybr_color.dcm", "GDCMJ2K_TextGBR.dcm"}
    heart = files["examples_ybr_color.dcm"]  # its region begins at column 84 and row 31
    left = [box for box in read_labels()["examples_ybr_color.dcm"] if box[2] <= 160]
    outside = [box for box in read_labels()["examples_ybr_color.dcm"] if box[3] <= 32 or box[2] <= 84]  # nine tenths
    assert heart["texts"] == 18
    assert heart["detector"] == len(left)
    assert heart["regions"] == len(outside)
    assert heart["both"] == len(set(left) | set(outside))
    no_region = files["examples_rgb_color.dcm"]
    assert (no_region["regions"], no_region["both"]) == (0, no_region["detector"])
    assert no_region["area"] == 0.5
    assert totals(list(files.values()))["texts"] == 18 + 19 + 3
    empty = {each["file"]: each for each in try_real_files([SHIPPED], MaskText(nothing))}
    assert {each["detector"] for each in empty.values()} == {0}
    assert {each["boxes_without_text"] for each in empty.values()} == {0}
