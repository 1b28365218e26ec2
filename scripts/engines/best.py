"""Keeping the best epoch: its weights and the operating point that belongs to them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events

from fesf.scripts.engines import operating_point
from fesf.scripts.engines.output import save_state, unwrap
from fesf.scripts.engines.predictions import PredictionCollector, is_first_process

MODEL = "model.pt"


class BestModel:
    """Handler that writes ``model.pt`` and ``operating_point.json`` whenever validation is better than ever before.

    MONAI's CheckpointSaver would do for the weights, but it deletes the old file before it writes the new one, and
    its memory cannot be restored from a raw state dict. ``model.pt`` is such a raw state dict, of the bare network.
    Of epochs with equal key metrics the one of the lowest validation loss is kept. The epoch's ``val_loss``
    (unweighted cross-entropy) and ``val_accuracy`` (most probable class) join the metrics.

    Args:
        folder: where both files go.
        network: the network; weights are taken from inside a parallel wrapper.
        predictions: collector; this handler attaches it to the evaluator.
        class_names: names of the classes.
    """

    def __init__(
        self, folder: str | Path, network: torch.nn.Module, predictions: PredictionCollector, class_names: Sequence[str]
    ) -> None:
        self.folder = Path(folder)
        self.network = network
        self.predictions = predictions
        self.class_names = list(class_names)
        self._best: dict[str, Any] = {}
        self._rank = (-math.inf, -math.inf)

    def attach(self, engine: Engine) -> None:
        """Judge each epoch of an evaluator that has a key metric."""
        self.predictions.attach(engine)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        gathered = self.predictions.gather()
        if gathered.labels is None:
            raise ValueError("Validation images have no label: the best epoch cannot be chosen. Hide with labels.")
        stated = gathered.probabilities[np.arange(len(gathered.ids)), gathered.labels]
        state: Any = engine.state
        # Probabilities come from a float32 softmax: zero means below its smallest number.
        state.metrics["val_loss"] = float(-np.log(np.maximum(stated, np.finfo(np.float32).tiny)).mean())
        state.metrics["val_accuracy"] = float((gathered.probabilities.argmax(1) == gathered.labels).mean())
        score = float(state.metrics[state.key_metric_name])
        rank = (score if math.isfinite(score) else -math.inf, -state.metrics["val_loss"])
        if self._best and rank <= self._rank:
            return
        self._rank = rank
        point = operating_point.choose(gathered.labels, gathered.probabilities, self.class_names, state.epoch, score)
        weights = {name: value.detach().cpu().clone() for name, value in unwrap(self.network).state_dict().items()}
        self._best = {"model": weights, "operating_point": asdict(point)}
        self._write()

    def _write(self) -> None:
        if is_first_process():
            save_state(self.folder / MODEL, self._best["model"])
            operating_point.OperatingPoint(**self._best["operating_point"]).save(self.folder / operating_point.FILE)

    def state_dict(self) -> dict[str, Any]:
        """The best epoch so far, so that a resumed run goes on comparing with it."""
        return {"best": self._best, "rank": list(self._rank)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore :meth:`state_dict` and write its two files again."""
        self._best, self._rank = deepcopy(state["best"]), tuple(state["rank"])
        self._write()
