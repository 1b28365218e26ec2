"""MLflow by --tracking: the analyst's runs are recorded, the model can be served and the run repeated."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fesf.scripts.data.logged_config import manifest_sha256
from fesf.scripts.data.store import LoadImageStored, load_datalist
from tests.bundle.tiny import CONFIGS, root_cause, run, write_store

pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),  # MLflow on SQLAlchemy 2.1
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # MLflow leaves SQLite connections open
    pytest.mark.filterwarnings("ignore:.*Add type hints to the `predict` method"),  # the signature says it
]


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory, store: Path) -> tuple[Path, Any, Any]:
    """Folder of a tracked training, the client of its database, and its run."""
    mlflow = pytest.importorskip("mlflow")
    folder = tmp_path_factory.mktemp("tracked")
    run(
        "train.json",
        tracking=str(CONFIGS / "mlflow.json"),
        dataset_dir=str(store), ckpt_dir=str(folder), output_dir=str(folder), epochs=2, registered_model="tiny",
    )  # fmt: skip
    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlruns.db", registry_uri=f"sqlite:///{folder}/mlruns.db")
    (logged,) = client.search_runs([client.get_experiment_by_name("fesf").experiment_id])
    return folder, client, logged


def test_metrics_parameters_and_origin(tracked: tuple[Path, Any, Any], store: Path) -> None:
    folder, client, logged = tracked
    assert logged.info.status == "FINISHED"
    with open(folder / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for name in ("train_loss", "val_auc", "val_loss", "val_accuracy"):
        found = [(point.step, point.value) for point in client.get_metric_history(logged.info.run_id, name)]
        assert found == [(int(row["epoch"]), pytest.approx(float(row[name]))) for row in rows]
    assert set(logged.data.metrics) == {"train_loss", "val_auc", "val_loss", "val_accuracy"}
    assert logged.data.params.items() >= {"epochs": "2", "batch_size": "8", "network": "ResNet"}.items()
    assert logged.data.tags["fesf.store"] == manifest_sha256(store)
    assert logged.data.tags["mlflow.source.git.commit"]
    logged_text = json.dumps([logged.data.params, logged.data.tags])
    assert str(folder) not in logged_text
    assert str(store) not in logged_text


def test_the_logged_config_alone_repeats_the_run(
    tracked: tuple[Path, Any, Any], store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, client, logged = tracked
    config = client.download_artifacts(logged.info.run_id, "config/training.json", str(tmp_path))
    text = Path(config).read_text()
    assert str(folder) not in text
    assert str(store) not in text
    (tmp_path / "store").symlink_to(store)
    monkeypatch.chdir(tmp_path)
    from monai.bundle import ConfigWorkflow

    again = ConfigWorkflow(config, workflow_type="train", logging_file=False)
    again.initialize()
    again.run()
    again.finalize()
    assert (tmp_path / "eval" / "history.csv").read_bytes() == (folder / "history.csv").read_bytes()
    (tmp_path / "store").unlink()
    write_store(tmp_path / "store", sections={"training": 12, "validation": 12, "test": 12})
    other = ConfigWorkflow(config, workflow_type="train", logging_file=False)
    other.initialize()
    with pytest.raises(RuntimeError) as error:
        other.run()
    assert "this config was logged for another store" in str(root_cause(error.value))


def test_the_registered_model_gives_inferences_probabilities(
    tracked: tuple[Path, Any, Any], store: Path, tmp_path: Path
) -> None:
    import mlflow

    folder, client, logged = tracked
    (version,) = client.search_model_versions("name='tiny'")
    assert version.run_id == logged.info.run_id
    path = client.download_artifacts(logged.info.run_id, "model", str(tmp_path))
    assert not list(Path(path).rglob("*.pkl"))
    for name in ("MLmodel", "artifacts/training.json", "conda.yaml"):
        text = (Path(path) / name).read_text()
        assert str(folder) not in text
        assert "/tmp" not in text
    model = mlflow.pyfunc.load_model(path)
    assert [spec.shape for spec in model.metadata.signature.inputs.inputs] == [(-1, 1, 32, 32)]
    items, load = load_datalist(store, "test"), LoadImageStored("image", store)
    images = np.stack([np.asarray(load(item)["image"]) for item in items])
    found = model.predict(images)
    run("inference.json", kind="infer", dataset_dir=str(store), ckpt_dir=str(folder), output_dir=str(tmp_path))
    with open(tmp_path / "predictions.csv", newline="") as file:
        rows = {row["id"]: [float(row["p_clear"]), float(row["p_opacity"])] for row in csv.DictReader(file)}
    np.testing.assert_allclose(found, [rows[item["id"]] for item in items], rtol=0, atol=1e-6)


def test_the_picture_shows_surrogates(tracked: tuple[Path, Any, Any], store: Path, tmp_path: Path) -> None:
    from PIL import Image

    _, client, logged = tracked
    picture = np.asarray(
        Image.open(client.download_artifacts(logged.info.run_id, "pictures/surrogates.png", str(tmp_path)))
    )
    first = np.asarray(Image.open(load_datalist(store, "training")[0]["image"]))
    factor = (picture.shape[0] - 4) // 2 // first.shape[0]
    shown = picture[: first.shape[0] * factor : factor, : first.shape[1] * factor : factor]
    np.testing.assert_array_equal(shown, first)
