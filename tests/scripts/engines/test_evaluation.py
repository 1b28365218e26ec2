"""The report of an evaluation, from predictions whose metrics are known."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from ignite.engine import Engine

from fesf.scripts.engines import evaluation as module
from fesf.scripts.engines.evaluation import EvaluationReport, class_shares
from fesf.scripts.engines.operating_point import OperatingPoint
from fesf.scripts.engines.predictions import PredictionCollector, Predictions

POINT = OperatingPoint(0.3, "youden", ["no", "yes"], 1, 1.0)
SCORES = np.array([0.1, 0.2, 0.4, 0.35, 0.9, 0.8])
TRAINING = [{"label": 0}, {"label": 0}, {"label": 1}, {"label": 0}]


class Fixed(PredictionCollector):
    """A collector that has seen what it is given."""

    def __init__(self, predictions: Predictions) -> None:
        super().__init__()
        self.predictions = predictions

    def gather(self) -> Predictions:
        return self.predictions


def predictions(patients: bool = True, labels: bool = True) -> Predictions:
    return Predictions(
        [f"i{index}" for index in range(6)],
        np.stack([1 - SCORES, SCORES], 1),
        np.array([0, 0, 0, 1, 1, 1]) if labels else None,
        ["a", "a", "b", "c", "d", "d"] if patients else None,
    )


def report(folder: Path, given: Predictions) -> EvaluationReport:
    return EvaluationReport(folder, Fixed(given), POINT, ["no", "yes"], TRAINING, draws=50)


def test_files(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    engine = Engine(lambda engine, batch: [])
    engine.logger = logging.getLogger("evaluation")
    handler = report(tmp_path, predictions())
    handler.attach(engine)
    with caplog.at_level(logging.INFO):
        engine.run([[]])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "confusion.png", "metrics.json", "predictions_test.csv", "reliability.png", "roc.png",
    ]  # fmt: skip
    content = json.loads((tmp_path / "metrics.json").read_text())
    assert content == handler.summary(predictions())
    assert content["unit"] == "patients"
    assert (content["n_images"], content["n_patients"]) == (6, 4)
    assert (content["split"], content["threshold"], content["bootstrap"]) == ("test", 0.3, 50)
    assert content["metrics"]["accuracy"]["value"] == pytest.approx(5 / 6)
    assert content["metrics"]["auc"]["value"] == pytest.approx(8 / 9)
    assert content["majority_class"]["accuracy"] == 0.5
    assert content["majority_class"]["brier"] == pytest.approx((0.25**2 + 0.75**2) / 2)
    assert content["confusion_matrix"] == [[2, 1], [0, 3]]
    assert "test accuracy: 0.833 (" in caplog.text
    assert "over patients" in caplog.text
    table = (tmp_path / "predictions_test.csv").read_text().splitlines()
    assert table[0] == "id,patient,label,p_no,p_yes,decision"
    assert table[3] == "i2,b,no,0.6,0.4,yes"


def test_intervals_over_images_where_patients_are_not_disclosed(tmp_path: Path) -> None:
    content = report(tmp_path, predictions(patients=False)).summary(predictions(patients=False))
    assert content["unit"] == "images"
    assert content["n_patients"] is None


def test_labels_are_needed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"run inference.json"):
        report(tmp_path, predictions(labels=False)).summary(predictions(labels=False))


def test_undefined_metrics_are_logged_as_such(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one_class = Predictions(["a"], np.array([[0.4, 0.6]]), np.array([1]), None)
    engine = Engine(lambda engine, batch: [])
    engine.logger = logging.getLogger("evaluation")
    with caplog.at_level(logging.INFO):
        report(tmp_path, one_class)(engine)
    assert "test auc: undefined (undefined to undefined, over images)" in caplog.text
    assert json.loads((tmp_path / "metrics.json").read_text())["metrics"]["auc"]["value"] is None


def test_only_the_first_process_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "is_first_process", lambda: False)
    report(tmp_path, predictions())(Engine(lambda engine, batch: []))
    assert not list(tmp_path.iterdir())


def test_class_shares() -> None:
    assert class_shares(TRAINING, 3) == [0.75, 0.25, 0]
