"""The best epoch is kept, with the operating point that belongs to it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from ignite.engine import Engine, State

from fesf.scripts.engines import best as module
from fesf.scripts.engines.best import BestModel
from fesf.scripts.engines.predictions import PredictionCollector, Predictions


class Scripted(PredictionCollector):
    """Predictions of a chosen quality."""

    scores: tuple[float, ...] = (0.1, 0.9)
    labels: np.ndarray | None = np.array([0, 1])

    def gather(self) -> Predictions:
        scores = np.array(self.scores)
        return Predictions(["a", "b"], np.stack([1 - scores, scores], 1), self.labels, None)


def judge(best: BestModel, epoch: int, auc: float, scores: tuple[float, float], weight: float) -> dict[str, float]:
    engine = Engine(lambda engine, batch: None)
    engine.state = State(epoch=epoch, metrics={"val_auc": auc}, key_metric_name="val_auc")
    best.predictions.scores = scores  # type: ignore[attr-defined]
    with torch.no_grad():
        best.network.weight.fill_(weight)  # type: ignore[operator,union-attr]
    best(engine)
    return engine.state.metrics


def kept(folder: Path) -> tuple[int, float]:
    point = json.loads((folder / "operating_point.json").read_text())
    return point["epoch"], torch.load(folder / "model.pt", weights_only=True)["weight"].item()


def make(folder: Path) -> BestModel:
    return BestModel(folder, torch.nn.Linear(1, 1), Scripted(), ["no", "yes"])


def test_keeps_the_best(tmp_path: Path) -> None:
    best = make(tmp_path)
    metrics = judge(best, 1, 0.8, (0.2, 0.6), 1.0)
    assert metrics["val_loss"] == pytest.approx(-(np.log(0.8) + np.log(0.6)) / 2)
    assert metrics["val_accuracy"] == 1
    assert kept(tmp_path) == (1, 1.0)
    judge(best, 2, 0.7, (0.01, 0.99), 2.0)  # a lower AUC
    assert kept(tmp_path) == (1, 1.0)
    judge(best, 3, 0.8, (0.3, 0.6), 3.0)  # an equal AUC at a higher loss
    assert kept(tmp_path) == (1, 1.0)
    judge(best, 4, 0.8, (0.1, 0.9), 4.0)  # an equal AUC at a lower loss
    assert kept(tmp_path) == (4, 4.0)
    judge(best, 5, 0.9, (0.4, 0.5), 5.0)  # a higher AUC
    assert kept(tmp_path) == (5, 5.0)


def test_undefined_auc_is_never_better(tmp_path: Path) -> None:
    best = make(tmp_path)
    judge(best, 1, float("nan"), (0.4, 0.5), 1.0)
    assert kept(tmp_path) == (1, 1.0)
    judge(best, 2, 0.1, (0.4, 0.5), 2.0)
    judge(best, 3, float("nan"), (0.0, 1.0), 3.0)
    assert kept(tmp_path) == (2, 2.0)


def test_memory_survives_and_files_come_back(tmp_path: Path) -> None:
    first = make(tmp_path / "first")
    judge(first, 1, 0.8, (0.2, 0.6), 1.0)
    second = make(tmp_path / "second")
    second.load_state_dict(first.state_dict())
    assert kept(tmp_path / "second") == (1, 1.0)
    judge(second, 2, 0.7, (0.1, 0.9), 2.0)
    assert kept(tmp_path / "second") == (1, 1.0)


def test_kept_weights_are_a_copy(tmp_path: Path) -> None:
    best = make(tmp_path)
    judge(best, 1, 0.8, (0.2, 0.6), 1.0)
    judge(best, 2, 0.1, (0.2, 0.6), 2.0)
    assert best.state_dict()["best"]["model"]["weight"].item() == 1.0


def test_only_the_first_process_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "is_first_process", lambda: False)
    judge(make(tmp_path), 1, 0.8, (0.2, 0.6), 1.0)
    assert not list(tmp_path.iterdir())


def test_labels_are_needed(tmp_path: Path) -> None:
    best = make(tmp_path)
    best.predictions.labels = None  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="Validation images have no label"):
        judge(best, 1, 0.5, (0.2, 0.6), 1.0)
