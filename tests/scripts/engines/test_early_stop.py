"""Early stopping counts, stops, and remembers."""

from __future__ import annotations

import pytest
from ignite.engine import Engine, Events

from fesf.scripts.engines.early_stop import EarlyStop

SCORES = [0.5, 0.7, 0.6, 0.7, 0.65, 0.9, 0.9, 0.9]


def train(stop: EarlyStop, scores: list[float] = SCORES, state: dict | None = None, every: int = 1) -> int:
    """Number of epochs that ran, with a validation every so many."""
    trainer = Engine(lambda engine, batch: None)
    stop.evaluator.state.key_metric_name = "val_auc"

    def validate(engine: Engine) -> None:
        stop.evaluator.state.epoch = engine.state.epoch
        stop.evaluator.state.metrics["val_auc"] = scores[engine.state.epoch - 1]

    trainer.add_event_handler(Events.EPOCH_COMPLETED(every=every), validate)
    stop.attach(trainer)
    if state is not None:
        stop.load_state_dict(state)
    trainer.run([0], max_epochs=len(scores))
    return trainer.state.epoch


def evaluator() -> Engine:
    return Engine(lambda engine, batch: None)


def test_stops_after_patience() -> None:
    assert train(EarlyStop(3, evaluator())) == 5  # 0.6, 0.7 and 0.65 are not above 0.7
    assert train(EarlyStop(4, evaluator())) == 8


def test_counts_validations() -> None:
    assert train(EarlyStop(1, evaluator()), [0.9, 0.9, 0.5, 0.9, 0.9, 0.5, 0.9], every=3) == 6


def test_counter_survives() -> None:
    first = EarlyStop(3, evaluator())
    train(first, SCORES[:3])
    state = first.state_dict()
    assert (state["counter"], state["best_score"]) == (1, 0.7)
    assert train(EarlyStop(3, evaluator()), SCORES[3:], state) == 2


def test_a_finished_run_does_not_go_on() -> None:
    first = EarlyStop(3, evaluator())
    train(first)
    assert train(EarlyStop(3, evaluator()), SCORES, first.state_dict()) == 0


def test_before_attach() -> None:
    stop = EarlyStop(1, evaluator())
    assert stop.state_dict() == {}
    stop.load_state_dict({"counter": 1})


def test_patience() -> None:
    with pytest.raises(ValueError, match="patience=0 must be at least 1"):
        EarlyStop(0, evaluator())
