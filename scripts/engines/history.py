"""The learning curve: one row an epoch in ``history.csv``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine, Events
from monai.utils import CommonKeys

from fesf.scripts.data.files import to_csv
from fesf.scripts.engines.output import replace_file
from fesf.scripts.engines.predictions import is_first_process

LOSSES = {"train_loss": CommonKeys.LOSS}
METRICS = ("val_loss", "val_auc", "val_accuracy")


class History:
    """Handler that averages the training loss of an epoch and writes the curve so far.

    The means go to ``engine.state.metrics``, where StatsHandler, TensorBoard and MLflow find them.

    Args:
        path: the table; its columns are epoch, the losses and the metrics.
        evaluator: engine that validates under the number of the trainer's epoch; its metrics stay empty where it did
            not run.
        losses: by column, the key of the trainer's output that is averaged.
        metrics: the evaluator's metrics that are columns.
    """

    def __init__(
        self,
        path: str | Path,
        evaluator: Engine,
        losses: Mapping[str, str] = LOSSES,
        metrics: Sequence[str] = METRICS,
    ) -> None:
        self.path = Path(path)
        self.evaluator = evaluator
        self.rows: list[dict[str, Any]] = []
        self.losses, self.metrics = dict(losses), tuple(metrics)
        self._values: dict[str, list[float]] = {name: [] for name in self.losses}

    def attach(self, engine: Engine) -> None:
        """Watch a trainer; attach it after the validation handler and before those that log."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._keep_loss)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def _keep_loss(self, engine: Engine) -> None:
        output: Any = engine.state.output
        item = output[0] if isinstance(output, list) else output
        for name, key in self.losses.items():
            self._values[name].append(item[key].item())

    def __call__(self, engine: Engine) -> None:
        means = {name: float(np.mean(values)) for name, values in self._values.items()}
        self._values = {name: [] for name in self.losses}
        engine.state.metrics |= means
        state = self.evaluator.state
        metrics = state.metrics if state.epoch == engine.state.epoch else {}
        validated = {name: float(value) for name, value in metrics.items() if name in self.metrics}
        self.rows.append({"epoch": engine.state.epoch} | means | validated)
        if is_first_process():
            replace_file(self.path, to_csv(("epoch", *self.losses, *self.metrics), self.rows))

    def state_dict(self) -> dict[str, Any]:
        """The rows so far."""
        return {"rows": self.rows}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore :meth:`state_dict`."""
        self.rows = [dict(row) for row in state["rows"]]
