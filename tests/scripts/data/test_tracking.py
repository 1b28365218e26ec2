"""MLflow's record of the grid, on one database for the module: making one takes seconds."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigWorkflow

from fesf.scripts.data.grid import ARMS, CNN, DEMO, OTHER_EPOCHS, Cell, Job, Source
from fesf.scripts.data.studies import OtherLambda, SweepPoint
from fesf.scripts.data.tracking import EXPERIMENT, KEY, PARENT, Tracker
from fesf.scripts.engines.training_record import COMMIT_TAG, CONFIG, PICTURE, STORE_TAG

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
    made: list[Job] = [first, second, OtherLambda(first, 0.0), SweepPoint(first, 0.1, 0.5), Cell(first, "vit", "full")]
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


@pytest.fixture(scope="module")
def surrogates(
    tracker: Tracker,
    tmp_path_factory: pytest.TempPathFactory,
    store: Path,
    cohort: tuple[Path, Path],
    trained: tuple[Path, ConfigWorkflow],
) -> dict[str, Any]:
    """Runs of two cells whose store and model are there, by arm."""
    source = Source(DEMO, 7, "", str(tmp_path_factory.mktemp("whole")))
    leave(source)
    found = {}
    for arm in ("plaintext", "full"):
        cell = Cell(source, CNN, arm)
        leave(cell)
        shutil.copytree(trained[0], cell.folder / "models")
        shutil.copytree(store, source.store(arm))  # there is none of plaintexts; the arm alone must decide
        found[arm] = cell
    shutil.copytree(cohort[0].parent, source.cohort.parent)
    for cell in found.values():
        tracker(cell)
    runs = {run.data.tags[KEY]: run for run in runs_of(tracker)}
    return {arm: runs[cell.key] for arm, cell in found.items()}


def artifacts(tracker: Tracker, run: Any) -> set[str]:
    client, run_id = tracker.client, run.info.run_id
    return {item.path for folder in ("config", "pictures", "model") for item in client.list_artifacts(run_id, folder)}


def test_a_cell_on_surrogates_leaves_config_store_commit_picture_and_model(
    tracker: Tracker, surrogates: dict[str, Any], store: Path, tmp_path: Path
) -> None:
    run = surrogates["full"]
    assert {CONFIG, PICTURE, "model/MLmodel"} <= artifacts(tracker, run)
    assert run.data.tags[STORE_TAG] == hashlib.sha256((store / "manifest.json").read_bytes()).hexdigest()
    assert run.data.tags[COMMIT_TAG]
    wanted = {"set": "demo", "run": "7", "arm": "full", "network": "ResNet", "seed": "7", "num_classes": "2"}
    assert wanted.items() <= run.data.params.items()
    assert run.data.metrics["test_auc"] == 0.75
    config = json.loads(Path(tracker.client.download_artifacts(run.info.run_id, CONFIG, str(tmp_path))).read_text())
    assert (config["dataset_dir"], config["seed"], config["num_classes"]) == ("store", 7, 2)
    assert str(store.parent) not in json.dumps(config)


def test_a_cell_on_plaintexts_leaves_figures_alone(tracker: Tracker, surrogates: dict[str, Any]) -> None:
    run = surrogates["plaintext"]
    assert artifacts(tracker, run) == set()
    assert run.data.params == {"set": "demo", "run": "7", "network": CNN, "arm": "plaintext"}
    assert STORE_TAG not in run.data.tags


def test_a_server_that_was_named_is_used(tmp_path: Path, root: Path, tracker: Tracker) -> None:
    """A database of another name stands in for it: check_mlflow speaks to a real one."""
    uri = f"sqlite:///{root / 'deep' / 'mlruns.db'}"
    named = Tracker(tmp_path / "own" / "mlruns.db", uri)
    assert named.experiment == tracker.experiment
    assert not (tmp_path / "own").exists()


def test_without_mlflow_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ValueError, match=r"MLflow is not installed: pip install 'fesf\[tracking\]', or pass --no-tra"):
        Tracker(tmp_path / "sub" / "mlruns.db")
    assert not (tmp_path / "sub").exists()
