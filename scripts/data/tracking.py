"""MLflow's record of a grid: a parent run for each fold or seed of a set, a child run for each network and arm."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from fesf.scripts.data.grid import STAGES, Cell, Job
from fesf.scripts.data.run_folder import configs_folder
from fesf.scripts.data.store_format import MANIFEST
from fesf.scripts.engines.best import MODEL
from fesf.scripts.engines.training_record import log_end, log_start

EXPERIMENT = "fesf reproduction"
PARENT = "mlflow.parentRunId"
KEY = "fesf.key"


class Tracker:
    """Writes finished cells to MLflow, each once: the digest of what made it is a tag.

    A cell that was trained on surrogates leaves what a training with ``mlflow.json`` does: parameters, config, the
    store's digest, commit, pictures of surrogates, the model. One that was trained on plaintexts leaves parameters and
    figures alone.

    Args:
        database: SQLite file; made when missing.
        uri: address of a tracking server that was asked for by name; None writes to ``database``.

    Raises:
        ValueError: when MLflow is not installed.
    """

    def __init__(self, database: str | Path, uri: str | None = None) -> None:
        try:
            from mlflow import MlflowClient
            from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME
        except ImportError:
            raise ValueError("MLflow is not installed: pip install 'fesf[tracking]', or pass --no-tracking.") from None
        self._name = MLFLOW_RUN_NAME
        artifacts = None  # a server has a place of its own
        if uri is None:
            database = Path(database).resolve()
            database.parent.mkdir(parents=True, exist_ok=True)
            artifacts = (database.parent / "mlruns").as_uri()
        self.client = MlflowClient(uri or f"sqlite:///{database}")
        known = self.client.get_experiment_by_name(EXPERIMENT)
        self.experiment = known.experiment_id if known else self.client.create_experiment(EXPERIMENT, artifacts)
        runs = self.client.search_runs([self.experiment], max_results=50_000)
        self._known = {run.data.tags.get(KEY): run.info.run_id for run in runs}

    def __call__(self, job: Job) -> None:
        """Record a finished job; other jobs than cells, and cells without images, leave no run."""
        if not isinstance(job, Cell) or job.is_void or job.key in self._known:
            return
        source = job.source
        parent = self._run(source.key, f"{source.name}/{source.run}", {})
        child = self._run(job.key, f"{job.network}/{job.arm}", {PARENT: parent})
        params = {"set": source.name, "run": source.run, "network": job.network, "arm": job.arm} | job.training_ids
        config = training_config(job) if is_whole(job) else None
        if config is not None:
            log_start(self.client, child, config, source.store(job.arm))
            params = {name: params[name] for name in ("set", "run", "arm")}  # the config says the rest
        for name, value in params.items():
            self.client.log_param(child, name, value)
        for name, value in job.metrics().items():
            self.client.log_metric(child, f"test_{name}", value)
        with open(job.folder / "history.csv", newline="") as file:
            for line in csv.DictReader(file):
                for name in ("train_loss", "val_loss", "val_auc"):
                    if line[name]:
                        self.client.log_metric(child, name, float(line[name]), step=int(line["epoch"]))
        if config is not None:
            log_end(self.client, child, config, source.store(job.arm), job.folder / "models")
        self.client.set_terminated(child)

    def _run(self, key: str, name: str, tags: dict[str, str]) -> str:
        if key not in self._known:
            run = self.client.create_run(self.experiment, tags={self._name: name, KEY: key} | tags)
            self._known[key] = run.info.run_id
            if not tags:  # a parent holds no figures of its own
                self.client.set_terminated(run.info.run_id)
        return self._known[key]


def is_whole(cell: Cell) -> bool:
    """Whether a cell was trained on surrogates that lie here, with its model."""
    if cell.arm not in STAGES:
        return False
    return (cell.source.store(cell.arm) / MANIFEST).is_file() and (cell.folder / "models" / MODEL).is_file()


def training_config(cell: Cell) -> dict[str, Any]:
    """All ids of the training of a cell on a store, as it ran."""
    parser = ConfigParser()
    parser.read_config([str(configs_folder() / f"{name}.json") for name in ("train", *cell.overlays)])
    for name, value in cell.training.items():
        parser[name] = str(value) if isinstance(value, Path) else value
    config: dict[str, Any] = parser.get()
    return config
