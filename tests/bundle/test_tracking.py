"""MLflow by --tracking: the analyst's runs are recorded, in a local database."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from tests.bundle.tiny import CONFIGS, run


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")  # MLflow 3.17 on SQLAlchemy 2.1
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # MONAI's handler leaves the validator's SQLite connection open
def test_mlflow(tmp_path: Path, store: Path) -> None:
    pytest.importorskip("mlflow")
    run(
        "train.json",
        tracking=str(CONFIGS / "mlflow.json"),
        dataset_dir=str(store), ckpt_dir=str(tmp_path), output_dir=str(tmp_path), epochs=2,
    )  # fmt: skip
    database = sqlite3.connect(tmp_path / "mlruns.db")
    try:
        logged = database.execute("select key, step from metrics").fetchall()
        experiments = database.execute("select name from experiments").fetchall()
        status = database.execute("select status from runs").fetchall()
    finally:
        database.close()
    assert set(logged) == {
        (key, step) for key in ("train_loss", "val_auc", "val_loss", "val_accuracy") for step in (1, 2)
    }
    assert ("fesf",) in experiments
    assert status == [("FINISHED",)]
    (config,) = tmp_path.glob("config_*.json")
    assert json.loads(config.read_text())["dataset_dir"] == str(store)
