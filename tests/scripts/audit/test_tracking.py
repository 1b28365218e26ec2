"""Scores in MLflow: figures alone."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing

import pytest

from fesf.scripts.audit.tracking import log_scores
from tests.scripts.audit.test_charts import CONDITION, RESULT

LINKED = {"claimed": 3, "right": 2, "wrong": 1}


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")  # MLflow 3.17 on SQLAlchemy 2.1
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_scores_alone_are_logged(tmp_path):
    pytest.importorskip("mlflow")
    uri = f"sqlite:///{tmp_path / 'runs.db'}"
    results = {"same_image": RESULT | {"linked": LINKED, "pictures": ["AAAA"]}, "other": RESULT}
    for _ in range(2):
        log_scores(uri, results, "ab" * 32)
    with closing(sqlite3.connect(tmp_path / "runs.db")) as database:
        metrics = dict(database.execute("select key, value from metrics").fetchall())
        params = database.execute("select * from params").fetchall()
        tags = dict(database.execute("select key, value from tags").fetchall())
        runs = database.execute("select status from runs").fetchall()
    assert metrics["same_image.store.value"] == CONDITION["value"]
    assert metrics["same_image.permuted.high"] == 0.15
    assert {name: metrics[f"same_image.linked.{name}"] for name in LINKED} == LINKED
    assert len(metrics) == 2 * 4 * 4 + 3
    assert params == []
    assert tags["fesf.store"] == "ab" * 32
    assert runs == [("FINISHED",)] * 2


def test_a_missing_mlflow_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ValueError, match=r"MLflow is not installed: pip install 'fesf\[tracking\]'"):
        log_scores("sqlite://", {}, "")
