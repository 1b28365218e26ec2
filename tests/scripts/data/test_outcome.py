"""Joining predictions with the linkage; jobs that predict nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fesf.scripts.data.grid import CNN, DEMO, Cell, Source
from fesf.scripts.data.outcome import outcome_of, read_outcome
from fesf.scripts.data.studies import OtherLambda, SweepPoint

from ..conftest import ROWS, leave

LINKAGE = "id,row,patient,study,label,split\nffff,2,Zoe,,b,test\n0001,3,Adam,,a,test\nabcd,4,Zoe,,b,training\n"


@pytest.mark.parametrize("plaintext", [True, False])
def test_both_arms_come_in_the_order_of_the_cohorts_rows(tmp_path: Path, plaintext: bool) -> None:
    ids = ("row-3", "row-2") if plaintext else ("0001", "ffff")
    lines = [f"{ids[0]},a,0.75,0.25,a", f"{ids[1]},b,0.625,0.375,a"]
    (tmp_path / "predictions.csv").write_text("\n".join(["id,label,p_a,p_b,decision", *lines]))
    (tmp_path / "linkage.csv").write_text(LINKAGE)
    found = read_outcome(tmp_path / "predictions.csv", tmp_path / "linkage.csv", ["a", "b"])
    assert found.rows == [2, 3]
    assert found.groups == ["Zoe", "Adam"]
    assert found.labels.tolist() == [1, 0]
    assert found.probabilities.tolist() == [[0.625, 0.375], [0.75, 0.25]]
    assert found.decisions.tolist() == [0, 0]
    assert found.metrics()["accuracy"].tolist() == [0.5]
    assert found.metrics(np.array([[3.0, 1.0]]))["accuracy"].tolist() == [0.25]


def test_columns_follow_the_names_not_the_files_order(tmp_path: Path) -> None:
    (tmp_path / "predictions.csv").write_text("id,label,p_b,p_a,decision\nffff,b,0.25,0.75,a\n")
    (tmp_path / "linkage.csv").write_text(LINKAGE)
    found = read_outcome(tmp_path / "predictions.csv", tmp_path / "linkage.csv", ["b", "a"])
    assert (found.labels.tolist(), found.decisions.tolist()) == ([0], [1])
    assert found.probabilities.tolist() == [[0.25, 0.75]]


def test_only_what_predicts_has_an_outcome(tmp_path: Path) -> None:
    source = Source(DEMO, 0, "", str(tmp_path))
    cell, point, paper = Cell(source, CNN, "iqem"), SweepPoint(source, 0.1, 0.5), OtherLambda(source, 0.0)
    scores = np.linspace(0.05, 0.95, len(ROWS)).tolist()
    for job in (source, cell, point, paper):
        leave(job, scores)
    for job in (cell, point):
        found = outcome_of(job)
        assert found is not None
        assert (found.rows, found.probabilities[:, 1].tolist()) == (list(ROWS), scores)
    assert outcome_of(source) is None
    assert outcome_of(paper) is None
    leave(source, refused="The generator stayed the identity.")
    assert outcome_of(cell) is None  # though predictions of before lie there
