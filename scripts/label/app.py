"""The MONAI Label app: the analyst's bundle on a surrogate store. An app's main.py imports it, and nothing else."""

from __future__ import annotations

import os
from typing import Any

from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.infer_v2 import InferTask
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.interfaces.tasks.train import TrainTask
from monailabel.tasks.activelearning.random import Random

from fesf.scripts.data.provenance import versions
from fesf.scripts.label.datastore import SurrogateDatastore
from fesf.scripts.label.gate import close
from fesf.scripts.label.packing import MODEL
from fesf.scripts.label.strategy import Entropy
from fesf.scripts.label.surrogates import Surrogates
from fesf.scripts.label.tasks import SurrogateInferTask, SurrogateTrainTask


class SurrogateApp(MONAILabelApp):
    """Serves, ranks and trains on surrogates. ``--conf labels DIR`` keeps labels elsewhere than in the app,
    ``--conf public_key FILE`` requires the hospital's signature.

    Args:
        app_dir: folder that ``label_app`` made.
        studies: folder of a surrogate store.
        conf: options of the command line.

    Raises:
        StoreError: when ``studies`` is no store.
    """

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        self.bundle = os.path.join(app_dir, "model", MODEL)
        self.public_key = conf.get("public_key")
        self.surrogates = Surrogates(studies, conf.get("labels") or os.path.join(app_dir, "labels"), self.public_key)
        version = versions(["fesf"])["fesf"]
        description = "A classifier of surrogates, for images whose patients stay in their hospital"
        super().__init__(app_dir, studies, conf, f"fesf ({version})", description, version)

    def init_datastore(self) -> Datastore:
        """The store's images, by their keyed ids."""
        return SurrogateDatastore(self.surrogates)

    def init_infers(self) -> dict[str, InferTask]:
        """One model, named after the bundle's folder."""
        self.task = SurrogateInferTask(self.bundle, self.conf, self.surrogates, self.public_key)
        return {MODEL: self.task}

    def init_trainers(self) -> dict[str, TrainTask]:
        """Training of that model."""
        return {MODEL: SurrogateTrainTask(self.bundle, self.conf, self.public_key)}

    def init_strategies(self) -> dict[str, Strategy]:
        """By uncertainty, and at random to compare with."""
        return {"entropy": Entropy(self.task), "random": Random()}

    def on_init_complete(self) -> None:
        """Refuse, before a byte of it is written, what is none of the store's."""
        close(self.surrogates)
        super().on_init_complete()

    def infer(self, request: dict[str, Any], datastore: Datastore | None = None) -> Any:
        """Predict a surrogate.

        Raises:
            StoreError: when the image is none of the store's.
        """
        self.surrogates.find(request.get("image"))  # MONAI Label takes any path that exists
        return super().infer(request, datastore)
