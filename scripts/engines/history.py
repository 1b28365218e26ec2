"""The learning curve: one row an epoch in ``history.csv``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine, Events
from monai.utils import CommonKeys

from fesf.scripts.data.files import to_csv
from fesf.scripts.engines.output import replace_file
from fesf.scripts.engines.predictions import is_first_process

COLUMNS = ("epoch", "train_loss", "val_loss", "val_auc", "val_accuracy")


class History:
    """Handler that averages the training loss of an epoch and writes the curve so far.

    The mean loss goes to ``engine.state.metrics["train_loss"]``, where StatsHandler, TensorBoard and MLflow find it.

    Args:
        path: the table, with the columns of :data:`COLUMNS`.
        evaluator: engine that validates under the number of the trainer's epoch; its metrics become the other columns,
            which stay empty where it did not run.
    """

    def __init__(self, path: str | Path, evaluator: Engine) -> None:
        self.path = Path(path)
        self.evaluator = evaluator
        self.rows: list[dict[str, Any]] = []
        self._losses: list[float] = []

    def attach(self, engine: Engine) -> None:
        """Watch a trainer; attach it after the validation handler and before those that log."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._keep_loss)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def _keep_loss(self, engine: Engine) -> None:
        output: Any = engine.state.output
        self._losses.append((output[0] if isinstance(output, list) else output)[CommonKeys.LOSS].item())

    def __call__(self, engine: Engine) -> None:
        loss, self._losses = float(np.mean(self._losses)), []
        engine.state.metrics["train_loss"] = loss
        state = self.evaluator.state
        metrics = state.metrics if state.epoch == engine.state.epoch else {}
        validated = {name: float(value) for name, value in metrics.items() if name in COLUMNS}
        self.rows.append({"epoch": engine.state.epoch, "train_loss": loss} | validated)
        if is_first_process():
            replace_file(self.path, to_csv(COLUMNS, self.rows))

    def state_dict(self) -> dict[str, Any]:
        """The rows so far."""
        return {"rows": self.rows}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore :meth:`state_dict`."""
        self.rows = [dict(row) for row in state["rows"]]
