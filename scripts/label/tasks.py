"""MONAI Label's tasks for the analyst's bundle: predicting surrogates and training on labelled ones."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monailabel.interfaces.datastore import Datastore
from monailabel.tasks.infer.bundle import BundleInferTask
from monailabel.tasks.train.bundle import BundleConstants, BundleTrainTask
from monailabel.utils.others.generic import device_list, name_to_device

from fesf.scripts.data.store_format import SECTIONS
from fesf.scripts.engines.operating_point import FILE, OperatingPoint, load_operating_point
from fesf.scripts.label.datastore import SurrogateDatastore
from fesf.scripts.label.parameters import TRAINING, allowed
from fesf.scripts.label.surrogates import Surrogates

BATCH = 32
MODELS = "models"


def _point(bundle: str) -> OperatingPoint:
    return load_operating_point(Path(bundle) / MODELS / FILE)


class SurrogateInferTask(BundleInferTask):
    """Predicts surrogates with the bundle's inference.json, whose loader checks digests.

    ``Restored``, which the stock task appends, needs an image of the input's size and fails on probabilities. The stock
    task also offers every ``*.pt`` in ``models`` and takes the shortest name without strict loading, which would be a
    training's state; here it is ``model.pt``, strictly.

    Args:
        path: folder of the bundle.
        conf: of the server.
        surrogates: the store.
        public_key: the hospital's public key, or None.
    """

    def __init__(self, path: str, conf: dict[str, str], surrogates: Surrogates, public_key: str | None = None) -> None:
        self.places = {"dataset_dir": surrogates.store, "public_key": public_key}
        super().__init__(path, conf, add_post_restore=False, load_strict=True)
        self._config.pop("model_filename", None)
        self.labels = {name: number for number, name in enumerate(_point(path).class_names)}

    def _load_bundle_config(self, path: str, config: str) -> Any:
        parser = super()._load_bundle_config(path, config)
        parser.config.update(self.places)
        return parser

    def writer(self, data: dict[str, Any], extension: Any = None, dtype: Any = None) -> tuple[Any, Any]:
        """Adds the decision at the operating point, as predictions.csv has it."""
        file, result = super().writer(data, extension, dtype)
        point = _point(self.bundle_path)
        scores = np.array([[float(value) for value in data[self.output_label_key]]])
        return file, result | {"decision": point.class_names[int(point.decide(scores)[0])]}

    def probabilities(self, images: Sequence[str]) -> np.ndarray:
        """Predictions of many surrogates.

        Args:
            images: paths, N of them.

        Returns:
            Shape (N, C), float64.
        """
        device = name_to_device("cuda")
        request = {"device": device}
        before, after = self.pre_transforms(request), self.post_transforms(request)
        network, inferer = self._get_network(device, None), self.inferer(request)
        rows: list[np.ndarray] = []
        for start in range(0, len(images), BATCH):
            loaded = [self._through(before, {self.input_key: path}) for path in images[start : start + BATCH]]
            batch = torch.stack([torch.as_tensor(item[self.input_key]) for item in loaded]).to(device)
            with torch.no_grad():
                outputs = inferer(batch, network)
            found = [self._through(after, {self.output_label_key: output}) for output in outputs]
            rows += [item[self.output_label_key].detach().double().cpu().numpy() for item in found]
        return np.stack(rows)

    @staticmethod
    def _through(transforms: Sequence[Any], item: dict[str, Any]) -> dict[str, Any]:
        for transform in transforms:
            item = transform(item)
        return item


class SurrogateConstants(BundleConstants):
    """Where train.json takes epochs and data: ids on which its schedule and its class weights hang, too."""

    def key_train_trainer_max_epochs(self) -> str:
        return "epochs"

    def key_train_dataset_data(self) -> str:
        return "training_data"

    def key_validate_dataset_data(self) -> str:
        return "validation_data"


class SurrogateTrainTask(BundleTrainTask):
    """Trains the bundle's train.json on labelled surrogates; ``model.pt`` and the operating point are replaced.

    The store's sections stay what they are: no random split, which would put images of one patient on both sides.

    Args:
        path: folder of the bundle.
        conf: of the server.
        public_key: the hospital's public key, or None.
    """

    def __init__(self, path: str, conf: dict[str, str], public_key: str | None = None) -> None:
        self.public_key = public_key
        super().__init__(path, conf, SurrogateConstants())

    def config(self) -> dict[str, Any]:
        """Options of a training."""
        return {"device": device_list(), "pretrained": True, "max_epochs": self.bundle_config.get("epochs")}

    def stats(self) -> dict[str, Any]:
        """Epoch and validation AUC of the model that is served."""
        try:
            point = _point(self.bundle_path)
        except ValueError:
            return {}
        return {"epoch": point.epoch, "val_auc": point.key_metric, "threshold": point.threshold}

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any]:
        assert isinstance(datastore, SurrogateDatastore)
        self.store = datastore.surrogates.store
        given = {"max_epochs": self.bundle_config.get("epochs"), **allowed(request, TRAINING)}
        super().__call__(given | {"multi_gpu": False}, datastore)
        return self.stats()

    def _fetch_datalist(self, request: dict[str, Any], datastore: Any) -> dict[str, list[dict[str, Any]]]:
        data = {section: datastore.surrogates.items(section) for section in SECTIONS[:2]}
        for section, items in data.items():
            if not items:
                raise ValueError(f"No surrogate of the {section} section has a label: send labels first.")
        return data

    def _partition_datalist(self, datalist: Any, request: dict[str, Any], shuffle: bool = False) -> tuple[Any, Any]:
        return datalist["training"], datalist["validation"]

    def _load_checkpoint(self, model_pytorch: str, pretrained: bool, train_handlers: list[Any]) -> None:
        if pretrained and os.path.isfile(model_pytorch):
            loader = {"_target_": "CheckpointLoader", "load_path": model_pytorch, "load_dict": {"model": "@network"}}
            train_handlers.insert(0, loader)

    def _update_overrides(self, overrides: dict[str, Any]) -> dict[str, Any]:
        overrides["device"] = f"$torch.device({overrides['device']!r})"
        overrides |= {"dataset_dir": self.store, "public_key": self.public_key}
        return overrides
