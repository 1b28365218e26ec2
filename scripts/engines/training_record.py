"""What MLflow keeps of a training on surrogates: config, store, code, pictures and a model that can be served.

Nothing of it knows the hospital: a training reads a store alone.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fesf.scripts.data.files import to_json
from fesf.scripts.data.logged_config import logged_config, logged_params, manifest_sha256
from fesf.scripts.data.provenance import commit
from fesf.scripts.data.store import LoadImageStored, class_names, load_datalist
from fesf.scripts.engines import operating_point
from fesf.scripts.engines.best import MODEL

SHOWN = 8
"""Surrogates on the picture."""
EXAMPLE = 2
"""Surrogates in the input example."""
CONFIG = "config/training.json"
PICTURE = "pictures/surrogates.png"
SERVED = "model"
STORE_TAG, COMMIT_TAG, VERSION_TAG = "fesf.store", "mlflow.source.git.commit", "fesf.version"


class TrainingRecord:
    """Logs a training to a run of MLflow.

    Args:
        store: folder of the store; None (a workflow of the hospital, or single images) logs nothing.
        ckpt_dir: where the training leaves ``model.pt`` and ``operating_point.json``.
        config_file: the config that MONAI wrote out, or ``save_execute_config``; None logs no config and no model.
        output_dir: where it lies.
        registered_model: name under which the registry shall hold the model; None does not register it.
    """

    def __init__(
        self,
        store: str | Path | None,
        ckpt_dir: str | Path,
        config_file: str | Path | None,
        output_dir: str | Path = ".",
        registered_model: str | None = None,
    ) -> None:
        self.store = store
        self.ckpt_dir = Path(ckpt_dir)
        self.config_file = config_file
        self.output_dir = Path(output_dir)
        self.registered_model = registered_model

    def _config(self) -> dict[str, Any] | None:
        if not self.config_file:
            return None
        # MONAI 1.6.1 joins folder and name into an expression even where the folder is no expression.
        name = re.split(r"[/\\]", str(self.config_file).rstrip("'"))[-1]
        config: dict[str, Any] = json.loads((self.output_dir / name).read_text())
        return config

    def begin(self, client: Any, run_id: str) -> None:
        """Parameters, config, store and code."""
        config = self._config()
        if self.store is not None and config is not None:
            log_start(client, run_id, config, self.store)

    def end(self, client: Any, run_id: str) -> None:
        """Picture and model."""
        config = self._config()
        if self.store is not None and config is not None:
            log_end(client, run_id, config, self.store, self.ckpt_dir, self.registered_model)


def log_start(client: Any, run_id: str, config: Mapping[str, Any], store: str | Path) -> None:
    """Log the parameters, the config without places, the store's digest and the code's commit.

    Args:
        client: an ``MlflowClient``.
        run_id: the run.
        config: all ids of the training.
        store: folder of the store.
    """
    digest = manifest_sha256(store)
    shown = logged_config(config, digest)
    for name, value in logged_params(shown).items():
        client.log_param(run_id, name, value)
    for name, value in {STORE_TAG: digest, COMMIT_TAG: commit(), VERSION_TAG: _fesf_version()}.items():
        client.set_tag(run_id, name, value)
    folder, _, name = CONFIG.rpartition("/")
    with tempfile.TemporaryDirectory() as work:
        path = Path(work) / name
        path.write_bytes(to_json(shown))
        client.log_artifact(run_id, str(path), folder)


def log_end(
    client: Any,
    run_id: str,
    config: Mapping[str, Any],
    store: str | Path,
    ckpt_dir: str | Path,
    registered_model: str | None = None,
) -> None:
    """Log a picture of surrogates and the model with signature and input example; register it where a name is given.

    Args:
        client, run_id, config, store: as in :func:`log_start`.
        ckpt_dir: folder with ``model.pt`` and ``operating_point.json``.
        registered_model: name in the registry.
    """
    items = load_datalist(store, "training")[:SHOWN]
    load = LoadImageStored("image", store)  # digests are checked here, too
    images = np.stack([np.asarray(load(item)["image"]) for item in items])
    with tempfile.TemporaryDirectory() as work:
        folder, _, name = PICTURE.rpartition("/")
        (Path(work) / name).write_bytes(_picture(images))
        client.log_artifact(run_id, str(Path(work) / name), folder)
        shown = logged_config(config, manifest_sha256(store))
        served = save_classifier(Path(work) / SERVED, shown, ckpt_dir, images[:EXAMPLE], class_names(store))
        client.log_artifacts(run_id, str(served), SERVED)
    if registered_model:
        _register(client, run_id, registered_model)


def save_classifier(
    folder: Path, config: Mapping[str, Any], ckpt_dir: str | Path, example: NDArray[np.float32], names: list[str]
) -> Path:
    """Write the classifier as a model of MLflow's pyfunc flavour: code, config and raw weights, nothing pickled.

    Args:
        folder: to make.
        config: of the training; its ``network_def`` is the network.
        ckpt_dir: folder with ``model.pt`` and ``operating_point.json``.
        example: surrogates (N, 1, *spatial), the input example; their size is the signature's.
        names: of the classes, in the order of the probabilities.

    Returns:
        The folder.
    """
    from mlflow.models import ModelSignature
    from mlflow.pyfunc import save_model
    from mlflow.types import Schema, TensorSpec

    with tempfile.TemporaryDirectory() as work:
        (Path(work) / "training.json").write_bytes(to_json(config))
        (Path(work) / "class_names.json").write_bytes(to_json(names))
        save_model(
            path=str(folder),
            python_model=str(Path(__file__).with_name("served_classifier.py")),
            artifacts={
                "config": f"{work}/training.json",
                "class_names": f"{work}/class_names.json",
                "weights": str(Path(ckpt_dir) / MODEL),
                "operating_point": str(Path(ckpt_dir) / operating_point.FILE),
            },
            signature=ModelSignature(
                Schema([TensorSpec(np.dtype(np.float32), (-1, *example.shape[1:]))]),
                Schema([TensorSpec(np.dtype(np.float32), (-1, len(names)))]),
            ),
            input_example=example,
            pip_requirements=[f"{name}=={version(name)}" for name in ("monai", "torch", "numpy")],
        )
    _forget_places(folder)
    return folder


def _forget_places(folder: Path) -> None:
    """MLflow writes into MLmodel where each file was copied from: a folder of this machine."""
    from mlflow.models import Model

    model = Model.load(str(folder))
    for item in model.flavors["python_function"]["artifacts"].values():
        item["uri"] = item["path"]
    model.save(str(folder / "MLmodel"))


def _register(client: Any, run_id: str, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    client.create_model_version(name, f"runs:/{run_id}/{SERVED}", run_id)


def _picture(images: NDArray[np.float32]) -> bytes:
    from fesf.scripts.data.pictures import sheet

    half = (len(images) + 1) // 2
    rows = [images[:half, 0], images[half : 2 * half, 0]] if len(images) % 2 == 0 else [images[:, 0]]
    return sheet([list(np.asarray(row, np.float64)) for row in rows if len(row)])


def _fesf_version() -> str:
    try:
        return version("fesf")
    except PackageNotFoundError:  # the vendored bundle
        return "not installed"
