"""What an evaluator predicted, gathered and written."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from ignite.engine import Engine

from fesf.scripts.engines import predictions as module
from fesf.scripts.engines.operating_point import OperatingPoint
from fesf.scripts.engines.predictions import PredictionCollector, Predictions, PredictionWriter

POINT = OperatingPoint(0.3, "youden", ["no", "yes"], 1, 1.0)


def evaluator(
    collected: PredictionCollector | PredictionWriter, *, labels: str = "index", patients: bool = True
) -> Engine:
    """An engine whose batch (b, a), (c) of scores ends as MONAI's evaluator leaves it: decollated."""

    def step(engine: Engine, batch: list[tuple[str, float, int]]) -> list[dict]:
        outputs = []
        for _, score, label in batch:
            output = {"pred": torch.tensor([1 - score, score])}
            if labels != "none":
                output["label"] = torch.tensor(label) if labels == "index" else torch.eye(2)[label]
            outputs.append(output)
        engine.state.batch = [{"id": name, **({"patient": f"p-{name}"} if patients else {})} for name, _, _ in batch]
        return outputs

    engine = Engine(step)
    collected.attach(engine)
    engine.run([[("b", 0.25, 0), ("a", 0.5, 1)], [("c", 0.75, 1)]], max_epochs=2)
    return engine


@pytest.mark.parametrize("labels", ["index", "one-hot"])
def test_collects_one_epoch_sorted_by_id(labels: str) -> None:
    collector = PredictionCollector()
    evaluator(collector, labels=labels)
    gathered = collector.gather()
    assert gathered.ids == ["a", "b", "c"]
    assert gathered.patients == ["p-a", "p-b", "p-c"]
    assert gathered.labels is not None
    assert gathered.labels.tolist() == [1, 0, 1]
    np.testing.assert_allclose(gathered.probabilities[:, 1], [0.5, 0.25, 0.75])


def test_labels_and_patients_may_be_absent() -> None:
    collector = PredictionCollector()
    evaluator(collector, labels="none", patients=False)
    assert collector.gather().labels is None
    assert collector.gather().patients is None


def test_empty() -> None:
    with pytest.raises(ValueError, match="the data set is empty"):
        PredictionCollector().gather()


def test_gathers_over_processes_once_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    collector = PredictionCollector()
    evaluator(collector)

    def gather(parts: list, rows: list) -> None:
        parts[:] = [rows, [rows[0], ("d", [0.9, 0.1], 0, "p-d")]]

    monkeypatch.setattr(module.dist, "is_initialized", lambda: True)
    monkeypatch.setattr(module.dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(module.dist, "all_gather_object", gather)
    assert collector.gather().ids == ["a", "b", "c", "d"]


def test_writer(tmp_path: Path) -> None:
    path = tmp_path / "out" / "predictions.csv"
    evaluator(PredictionWriter(path, PredictionCollector(), POINT, ["no", "yes"]))
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["id", "p_no", "p_yes", "decision"]  # neither label nor patient
    assert [row["id"] for row in rows] == ["a", "b", "c"]
    assert [row["decision"] for row in rows] == ["yes", "no", "yes"]
    assert [float(row["p_yes"]) for row in rows] == [0.5, 0.25, 0.75]


def test_only_the_first_process_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "is_first_process", lambda: False)
    evaluator(PredictionWriter(tmp_path / "predictions.csv", PredictionCollector(), POINT, ["no", "yes"]))
    assert not list(tmp_path.iterdir())


def test_table_keeps_float32_apart() -> None:
    scores = np.array([0.1, np.nextafter(np.float32(0.1), np.float32(1))], dtype=np.float32).astype(float)
    table = Predictions(["a", "b"], np.stack([1 - scores, scores], 1), np.array([0, 1]), ["x", "y"])
    lines = table.table(POINT, ["no", "yes"]).decode().splitlines()
    assert lines[0] == "id,patient,label,p_no,p_yes,decision"
    assert lines[1].startswith("a,x,no,")
    assert lines[1].endswith(",no")
    assert lines[1].split(",")[4] != lines[2].split(",")[4]
