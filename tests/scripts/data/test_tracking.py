"""MLflow's record of the grid, on one database for the module: making one takes seconds."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from fesf.scripts.data.grid import ARMS, CNN, DEMO, OTHER_EPOCHS, Cell, Job, Source
from fesf.scripts.data.studies import PaperLoss, SweepPoint
from fesf.scripts.data.tracking import EXPERIMENT, KEY, PARENT, Tracker

from ..conftest import leave

# MLflow's own queries, with SQLAlchemy 2.1
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tracking")


@pytest.fixture(scope="module")
def jobs(root: Path) -> list[Job]:
    """Two runs of a set: the small network on two arms of each, another network on the first, and other jobs."""
    first, second = (Source(DEMO, run, "", str(root / "grid")) for run in range(2))
    made: list[Job] = [first, second, PaperLoss(first), SweepPoint(first, 0.1, 0.5), Cell(first, "vit", "full")]
    made += [Cell(source, CNN, arm) for source in (first, second) for arm in ("plaintext", "full")]
    for job in made:
        leave(job)
    return made


@pytest.fixture(scope="module")
def tracker(root: Path, jobs: list[Job]) -> Tracker:
    """A tracker that was told of every job."""
    pytest.importorskip("mlflow")
    found = Tracker(root / "deep" / "mlruns.db")
    for job in jobs:
        found(job)
    return found


def runs_of(tracker: Tracker) -> list[Any]:
    return list(tracker.client.search_runs([tracker.experiment]))


def test_a_parent_for_each_run_of_a_set_and_a_child_for_each_cell(tracker: Tracker, jobs: list[Job]) -> None:
    assert tracker.client.get_experiment(tracker.experiment).name == EXPERIMENT
    runs = runs_of(tracker)
    parents = {run.info.run_name: run for run in runs if PARENT not in run.data.tags}
    assert set(parents) == {"demo/0", "demo/1"}
    children = {(run.data.tags[PARENT], run.info.run_name): run for run in runs if PARENT in run.data.tags}
    assert set(children) == {
        (parents[f"demo/{job.source.run}"].info.run_id, f"{job.network}/{job.arm}")
        for job in jobs
        if isinstance(job, Cell)
    }
    assert len(runs) == 2 + 5
    assert {run.info.status for run in runs} == {"FINISHED"}
    for run in parents.values():
        assert (run.data.params, run.data.metrics) == ({}, {})


def test_a_child_holds_what_was_set_and_what_came_out(tracker: Tracker, jobs: list[Job]) -> None:
    found = {run.data.tags[KEY]: run for run in runs_of(tracker)}
    for job in jobs:
        if not isinstance(job, Cell):
            continue
        run = found[job.key]
        params = {"set": "demo", "run": str(job.source.run), "network": job.network, "arm": job.arm}
        assert run.data.params == params | ({"epochs": str(OTHER_EPOCHS)} if job.network == "vit" else {})
        assert run.data.metrics == {"test_auc": 0.75, "train_loss": 0.25, "val_loss": 0.5, "val_auc": 0.625}
        history = tracker.client.get_metric_history(run.info.run_id, "train_loss")
        assert [(point.step, point.value) for point in history] == [(1, 0.75), (2, 0.25)]
        assert len(tracker.client.get_metric_history(run.info.run_id, "val_auc")) == 1  # empty cells are left out
        assert found[run.data.tags[KEY]].data.tags[PARENT] == found[job.source.key].info.run_id


def test_each_is_recorded_once(tracker: Tracker, jobs: list[Job], root: Path) -> None:
    before = {run.info.run_id for run in runs_of(tracker)}
    for job in jobs:
        tracker(job)
    again = Tracker(root / "deep" / "mlruns.db")  # another call of the command
    assert again.experiment == tracker.experiment
    for job in jobs:
        again(job)
    assert {run.info.run_id for run in runs_of(tracker)} == before
    (source,) = (job for job in jobs if isinstance(job, Source) and job.run == 1)
    fresh = Cell(source, CNN, ARMS[1])
    leave(fresh)
    again(fresh)
    added = [run for run in runs_of(tracker) if run.info.run_id not in before]
    assert [run.info.run_name for run in added] == ["cnn/ihm"]
    assert added[0].data.tags[PARENT] in before


def test_no_param_or_tag_is_a_path(tracker: Tracker, root: Path) -> None:
    for run in runs_of(tracker):
        for name, value in (*run.data.params.items(), *run.data.tags.items()):
            assert not value.startswith("/"), name
            assert str(root) not in value, name
            assert str(Path.home()) not in value, name
            assert "file:" not in value, name


def test_without_mlflow_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ValueError, match=r"MLflow is not installed: pip install 'fesf\[tracking\]', or pass --no-tra"):
        Tracker(tmp_path / "sub" / "mlruns.db")
    assert not (tmp_path / "sub").exists()
