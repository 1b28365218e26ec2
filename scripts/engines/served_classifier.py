"""The classifier as MLflow serves it. MLflow reads this file from the logged model: code as text, no pickle.

Loading a model from a registry runs the code that it brings, of any flavour: take models from registries that you
trust.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel
from monai.bundle import ConfigParser


class ServedClassifier(PythonModel):
    """Probabilities of surrogates (N, 1, *spatial) in [0, 1], as ``inference.json`` gives them."""

    def load_context(self, context: Any) -> None:
        """Make ``network_def`` of the logged config and load the raw weights."""
        parser = ConfigParser()
        parser.read_config(context.artifacts["config"])
        self.network = parser.get_parsed_content("network_def")
        self.network.load_state_dict(torch.load(context.artifacts["weights"], weights_only=True, map_location="cpu"))
        self.network.eval()

    # Without hints: MLflow would take them for the schema, in place of the signature.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        """Probabilities, float32 (N, C), in the order of ``class_names.json``."""
        images = torch.from_numpy(np.ascontiguousarray(model_input, dtype=np.float32))
        with torch.inference_mode():
            return np.asarray(self.network(images).softmax(1))


set_model(ServedClassifier())
