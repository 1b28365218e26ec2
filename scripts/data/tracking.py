"""MLflow's record of a grid: a parent run for each fold or seed of a set, a child run for each network and arm."""

from __future__ import annotations

import csv
from pathlib import Path

from fesf.scripts.data.grid import Cell, Job

EXPERIMENT = "fesf reproduction"
PARENT = "mlflow.parentRunId"
KEY = "fesf.key"


class Tracker:
    """Writes finished cells to MLflow, each once: the digest of what made it is a tag.

    Args:
        database: SQLite file; made when missing.

    Raises:
        ValueError: when MLflow is not installed.
    """

    def __init__(self, database: str | Path) -> None:
        try:
            from mlflow import MlflowClient
            from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME
        except ImportError:
            raise ValueError("MLflow is not installed: pip install 'fesf[tracking]', or pass --no-tracking.") from None
        database = Path(database).resolve()
        database.parent.mkdir(parents=True, exist_ok=True)
        self._name = MLFLOW_RUN_NAME
        self.client = MlflowClient(f"sqlite:///{database}")
        known = self.client.get_experiment_by_name(EXPERIMENT)
        artifacts = (database.parent / "mlruns").as_uri()
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
        for name, value in params.items():
            self.client.log_param(child, name, value)
        for name, value in job.metrics().items():
            self.client.log_metric(child, f"test_{name}", value)
        with open(job.folder / "history.csv", newline="") as file:
            for line in csv.DictReader(file):
                for name in ("train_loss", "val_loss", "val_auc"):
                    if line[name]:
                        self.client.log_metric(child, name, float(line[name]), step=int(line["epoch"]))
        self.client.set_terminated(child)

    def _run(self, key: str, name: str, tags: dict[str, str]) -> str:
        if key not in self._known:
            run = self.client.create_run(self.experiment, tags={self._name: name, KEY: key} | tags)
            self._known[key] = run.info.run_id
            if not tags:  # a parent holds no figures of its own
                self.client.set_terminated(run.info.run_id)
        return self._known[key]
