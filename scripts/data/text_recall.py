"""How much text a detector finds: made-up text on given backgrounds, and boxes labelled by hand in public files."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fesf.scripts.data.text_overlay import FONTS, SCRIPTS, Array, Overlay, burn_in, coverage, text_box
from fesf.transforms import load_image
from fesf.transforms.text import MaskText

LABELS = Path(__file__).with_name("burned_in_text.csv")
"""Boxes of all text in public DICOM files, by eye: file, left, top, right, bottom (pixels, ends exclusive)."""
SIZES = (8, 10, 12, 16, 20, 28, 40)
CONTRASTS = {"white": None, "faint": 0.2}
"""Ink is white, or so much brighter (on a bright ground darker) than the ground under it."""
FOUND = 0.9
"""Share of a text's ink, or of a labelled box, that must be covered for it to count as found."""


@dataclass(frozen=True)
class Trial:
    """One made-up text: what it was, and the share of its ink that the mask covers."""

    background: str
    font: str
    size: int
    script: str
    contrast: str
    covered: float


def draw_overlay(
    image: Array, text: str, font: str, size: int, contrast: str, taken: NDArray[np.bool_], rng: np.random.Generator
) -> Overlay | None:
    """A text at a random free place; None when 50 places were taken or too bright for white ink.

    Args:
        image: the background (rows, columns) in [0, 1].
        text, font, size: what is written.
        contrast: a key of :data:`CONTRASTS`.
        taken: where other text is; the new one is added.
        rng: draws the place.
    """
    left, top, right, bottom = text_box(text, font, size)
    rows, columns = image.shape
    if right + 4 > columns or bottom + 4 > rows:
        return None
    for _ in range(50):
        x, y = int(rng.integers(0, columns - right)), int(rng.integers(0, rows - bottom))
        place = (slice(y + top, y + bottom), slice(x + left, x + right))
        ground, more = float(image[place].mean()), CONTRASTS[contrast]
        if taken[max(0, y + top - size) : y + bottom + size, max(0, x + left - size) : x + right + size].any():
            continue
        if more is None and ground > 0.5:
            continue
        taken[place] = True
        value = 1.0 if more is None else ground + more if ground < 0.5 else ground - more
        return Overlay(text, font, size, x, y, value)
    return None


def try_background(name: str, image: Array, mask: MaskText, seed: int) -> tuple[list[Trial], dict[str, Any]]:
    """Write a text of each size into one background and look which of them the mask covers.

    Args:
        name: of the background's kind.
        image: (rows, columns) in [0, 1].
        mask: finds and widens boxes.
        seed: draws fonts, scripts, contrasts and places.

    Returns:
        One trial for each text that found a place; boxes and covered share of the background without text.
    """
    rng = np.random.default_rng(seed)
    taken, written, overlays = np.zeros(image.shape, dtype=bool), image, []
    for size in sorted(SIZES, reverse=True):
        script = "Latin" if rng.random() < 0.5 else str(rng.choice(list(SCRIPTS)))
        fonts = list(FONTS) if script == "Latin" else ["sans"]
        text, font = str(rng.choice(SCRIPTS[script])), str(rng.choice(fonts))
        contrast = str(rng.choice(list(CONTRASTS)))
        overlay = draw_overlay(image, text, font, size, contrast, taken, rng)
        if overlay is not None:
            overlays.append((overlay, script, contrast))
            written = burn_in(written, overlay)
    covered = covered_by(mask.boxes(written.T[None]), image.shape)
    trials = []
    for overlay, script, contrast in overlays:
        ink = coverage(overlay, (image.shape[0], image.shape[1])) > 0.1
        share = float(covered[ink].mean())
        trials.append(Trial(name, overlay.font, overlay.size, script, contrast, share))
    boxes = mask.boxes(image.T[None])
    return trials, {
        "background": name,
        "boxes": len(boxes),
        "area": round(float(covered_by(boxes, image.shape).mean()), 5),
    }


def covered_by(boxes: Iterable[Sequence[int]], shape: Sequence[int]) -> NDArray[np.bool_]:
    """Where boxes (left, top, right, bottom) lie in a picture (rows, columns)."""
    covered = np.zeros(tuple(shape), dtype=bool)
    for left, top, right, bottom in boxes:
        covered[top:bottom, left:right] = True
    return covered


def recall(trials: Sequence[Trial], by: str) -> dict[str, dict[str, float | int]]:
    """Share of the texts that were found, and mean share of ink that was covered, by one attribute of the trials."""
    groups: dict[Any, list[float]] = {}
    for trial in trials:
        groups.setdefault(getattr(trial, by), []).append(trial.covered)
    return {
        str(key): {
            "texts": len(shares),
            "found": round(float(np.mean(np.array(shares) >= FOUND)), 3),
            "ink_covered": round(float(np.mean(shares)), 3),
        }
        for key, shares in sorted(groups.items())
    }


def read_labels(path: Path = LABELS) -> dict[str, list[tuple[int, ...]]]:
    """Labelled boxes by the name of their file."""
    labels: dict[str, list[tuple[int, ...]]] = {}
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            box = tuple(int(row[name]) for name in ("left", "top", "right", "bottom"))
            labels.setdefault(row["file"], []).append(box)
    return labels


def try_real_files(folders: Sequence[Path], mask: MaskText) -> list[dict[str, Any]]:
    """What of the labelled text declared regions, detector, and both remove; files that are not there are left out.

    Returns:
        For each file: name, number of labelled boxes, how many of them are covered by each means, number of the
        detector's boxes that touch no label, and the share of the image that both remove.
    """
    found = []
    for name, labels in read_labels().items():
        path = next((folder / name for folder in folders if (folder / name).is_file()), None)
        if path is None:
            continue
        whole = load_image(path, scale=False, frame=0)[..., 0]
        outside = np.isnan(load_image(path, scale=False, frame=0, padding=np.nan, regions=True)[0, ..., 0].numpy().T)
        boxes = mask.boxes(whole)
        masked = covered_by(boxes, outside.shape)
        both = outside | masked
        text = covered_by(labels, outside.shape)
        found.append(
            {
                "file": name,
                "texts": len(labels),
                **{
                    means: sum(_share(gone, box) >= FOUND for box in labels)
                    for means, gone in (("regions", outside), ("detector", masked), ("both", both))
                },
                "boxes_without_text": sum(not text[t:b, x:r].any() for x, t, r, b in boxes.tolist()),
                "area": round(float(both.mean()), 4),
            }
        )
    return found


def _share(covered: NDArray[np.bool_], box: Sequence[int]) -> float:
    left, top, right, bottom = box
    return float(covered[top:bottom, left:right].mean())


def totals(files: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Sums over the real files."""
    return {name: sum(file[name] for file in files) for name in ("texts", "regions", "detector", "both")}
