"""Early stopping whose counter survives an interruption."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ignite.engine import Engine, Events
from ignite.handlers import EarlyStopping


class EarlyStop:
    """Handler that stops a trainer after ``patience`` validations without a better key metric.

    MONAI's EarlyStopHandler has no state to save; this is ignite's, attached to the trainer after its validation.

    Args:
        patience: number of validations, at least 1.
        evaluator: engine whose key metric counts; it runs under the number of the trainer's epoch.

    Raises:
        ValueError: when ``patience`` is less than 1.
    """

    def __init__(self, patience: int, evaluator: Engine) -> None:
        if patience < 1:
            raise ValueError(f"{patience=} must be at least 1: give the validations to wait for a better one.")
        self.patience = patience
        self.evaluator = evaluator
        self._handler: EarlyStopping | None = None
        self._state: dict[str, Any] = {}

    def attach(self, engine: Engine) -> None:
        """Watch a trainer; attach it after the validation handler."""
        self._handler = EarlyStopping(self.patience, self._score, engine)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._judge)
        engine.add_event_handler(Events.STARTED, self._stop_if_done)

    def _judge(self, engine: Engine) -> None:
        if self._handler is not None and self.evaluator.state.epoch == engine.state.epoch:
            self._handler(engine)

    def _score(self, _: Engine) -> float:
        state: Any = self.evaluator.state
        return float(state.metrics[state.key_metric_name])

    def _stop_if_done(self, engine: Engine) -> None:
        if self._handler is not None and self._handler.counter >= self.patience:
            engine.terminate()

    def state_dict(self) -> dict[str, Any]:
        """Counter and best score."""
        return {} if self._handler is None else dict(self._handler.state_dict())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore :meth:`state_dict`; only after :meth:`attach`."""
        if self._handler is not None:
            self._handler.load_state_dict(dict(state))
