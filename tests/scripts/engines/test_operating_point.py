"""The threshold against an exhaustive search; its file and its decisions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fesf.scripts.engines.operating_point import ARGMAX, YOUDEN, OperatingPoint, choose, load_operating_point


def youden(labels: np.ndarray, scores: np.ndarray, threshold: float) -> float:
    decided = scores >= threshold
    return decided[labels == 1].mean() - decided[labels == 0].mean()


@pytest.mark.parametrize("seed", range(5))
def test_threshold_maximises_youden(seed: int) -> None:
    generator = np.random.default_rng(seed)
    labels = np.array([0, 1] * 20)
    scores = np.round((0.3 * labels + generator.random(40)) / 1.3, 2)
    point = choose(labels, np.stack([1 - scores, scores], 1), ["a", "b"], 3, 0.9)
    best = max(youden(labels, scores, value) for value in np.linspace(0, 1, 1001))
    assert point.threshold is not None
    assert youden(labels, scores, point.threshold) == pytest.approx(best)
    assert np.abs(scores - point.threshold).min() > 1e-3  # between two images, not on one
    assert (point.criterion, point.epoch, point.key_metric, point.class_names) == (YOUDEN, 3, 0.9, ["a", "b"])


def test_all_scores_equal() -> None:
    point = choose(np.array([0, 1]), np.full((2, 2), 0.5), ["a", "b"], 1, 0.5)
    assert point.threshold == 0.5


@pytest.mark.parametrize(("labels", "classes"), [([0, 1, 2], 3), ([0, 0, 0], 2)])
def test_argmax_otherwise(labels: list[int], classes: int) -> None:
    probabilities = np.full((3, classes), 1 / classes)
    point = choose(np.array(labels), probabilities, ["a", "b", "c"][:classes], 1, float("nan"))
    assert point == OperatingPoint(None, ARGMAX, ["a", "b", "c"][:classes], 1, None)


def test_decide() -> None:
    probabilities = np.array([[0.7, 0.3], [0.69, 0.31], [0.2, 0.8]])
    assert OperatingPoint(0.31, YOUDEN, ["a", "b"], 1, 1.0).decide(probabilities).tolist() == [0, 1, 1]
    assert OperatingPoint(None, ARGMAX, ["a", "b"], 1, 1.0).decide(probabilities).tolist() == [0, 0, 1]


def test_file(tmp_path: Path) -> None:
    point = OperatingPoint(0.25, YOUDEN, ["a", "b"], 7, 0.875)
    path = point.save(tmp_path / "new" / "operating_point.json")
    assert load_operating_point(path) == point
    assert json.loads(path.read_text())["threshold"] == 0.25
    assert [file.name for file in path.parent.iterdir()] == ["operating_point.json"]


def test_file_missing_or_broken(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"is missing beside the model.*point ckpt_dir"):
        load_operating_point(tmp_path / "operating_point.json")
    for content in ("{", "[]", '{"threshold": 1}'):
        (tmp_path / "operating_point.json").write_text(content)
        with pytest.raises(ValueError, match="is not an operating point"):
            load_operating_point(tmp_path / "operating_point.json")
