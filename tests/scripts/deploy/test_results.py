"""The table and the objects that the app writes."""

from __future__ import annotations

import csv
import io
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from fesf.scripts.data.prediction import PredictionError
from fesf.scripts.data.prediction_object import decode_prediction
from fesf.scripts.deploy.classifier import Classified
from fesf.scripts.deploy.results import check_out, write_results
from fesf.scripts.engines.operating_point import OperatingPoint
from fesf.scripts.engines.predictions import Predictions
from tests.scripts.deploy.conftest import identity

IDS = sorted(identity(number) for number in range(3))


def classified(**others: Any) -> Classified:
    shares = np.array([[0.75, 0.25], [0.125, 0.875], [0.6, 0.4]])
    values: dict[str, Any] = {
        "predictions": Predictions(IDS, shares, None, None),
        "point": OperatingPoint(0.375, "youden", ["well", "ill"], 1, 0.5),
        "class_names": ["well", "ill"],
        "model_sha256": "ab" * 32,
        "model_version": "0.1.0",
    }
    return Classified(**values | others)


def test_table_and_objects(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    write_results(classified(), out)
    table = (out / "predictions.csv").read_text()
    rows = [f"{IDS[0]},0.75,0.25,well", f"{IDS[1]},0.125,0.875,ill", f"{IDS[2]},0.6,0.4,ill"]
    assert table.splitlines() == ["id,p_well,p_ill,decision", *rows]
    assert sorted(path.name for path in (out / "objects").iterdir()) == [f"{name}.dcm" for name in IDS]
    for row in csv.DictReader(io.StringIO(table)):
        path = out / "objects" / f"{row['id']}.dcm"
        assert stat.S_IMODE(path.stat().st_mode) == 0o644
        found = decode_prediction(path.read_bytes(), ["well", "ill"])
        assert found.identity == row["id"] == pydicom.dcmread(path).PatientID
        assert found.probabilities == (float(row["p_well"]), float(row["p_ill"]))
        assert (found.model_sha256, found.model_version) == ("ab" * 32, "0.1.0")


def test_nothing_is_written_where_one_object_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(PredictionError, match="class name"):
        write_results(classified(class_names=["well", "<ill>"]), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["predictions.csv", "objects"])
def test_an_earlier_runs_results_are_not_mixed_with_new_ones(name: str, tmp_path: Path) -> None:
    assert check_out(tmp_path) == tmp_path
    (tmp_path / name).mkdir()
    with pytest.raises(ValueError, match="predictions of an earlier run"):
        check_out(tmp_path)
