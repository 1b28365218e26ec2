"""The learning curve."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from ignite.engine import Engine

from fesf.scripts.engines import history as module
from fesf.scripts.engines.history import History


def run(
    path: Path, epochs: int = 2, rows: dict | None = None, *, decollated: bool = False, validate: bool = True
) -> tuple[History, Engine]:
    evaluator = Engine(lambda engine, batch: None)
    evaluator.state.metrics = {"val_auc": 0.75, "val_loss": 0.5, "other": 3.0}

    def step(engine: Engine, batch: float) -> object:
        evaluator.state.epoch = engine.state.epoch if validate else 0
        output = {"loss": torch.tensor(batch * engine.state.epoch)}
        return [output, output] if decollated else output

    trainer = Engine(step)
    history = History(path, evaluator)
    if rows:
        history.load_state_dict(rows)
    history.attach(trainer)
    trainer.run([1.0, 2.0], max_epochs=epochs)
    return history, trainer


@pytest.mark.parametrize("decollated", [False, True])
def test_one_row_an_epoch(tmp_path: Path, decollated: bool) -> None:
    path = tmp_path / "history.csv"
    _, trainer = run(path, decollated=decollated)
    assert path.read_text().splitlines() == [
        "epoch,train_loss,val_loss,val_auc,val_accuracy",
        "1,1.5,0.5,0.75,",
        "2,3.0,0.5,0.75,",
    ]
    assert trainer.state.metrics["train_loss"] == 3.0


def test_other_losses_and_metrics(tmp_path: Path) -> None:
    """As enhance.json asks for them."""
    evaluator = Engine(lambda engine, batch: None)

    def step(engine: Engine, batch: float) -> dict[str, torch.Tensor]:
        evaluator.state.epoch = engine.state.epoch
        evaluator.state.metrics = {"val_mmd": 0.5, "val_auc": 0.7}
        return {"generator_loss": torch.tensor(batch), "discriminator_loss": torch.tensor(10 * batch)}

    trainer = Engine(step)
    losses = {"g": "generator_loss", "d": "discriminator_loss"}
    history = History(tmp_path / "history.csv", evaluator, losses, ["val_mmd", "val_step"])
    history.attach(trainer)
    trainer.run([1.0, 3.0], max_epochs=2)
    lines = (tmp_path / "history.csv").read_text().splitlines()
    assert lines == ["epoch,g,d,val_mmd,val_step", "1,2.0,20.0,0.5,", "2,2.0,20.0,0.5,"]
    assert trainer.state.metrics == {"g": 2.0, "d": 20.0}


def test_epochs_without_validation_leave_gaps(tmp_path: Path) -> None:
    run(tmp_path / "history.csv", epochs=1, validate=False)
    assert (tmp_path / "history.csv").read_text().splitlines()[1] == "1,1.5,,,"


def test_resumed_curve_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    state = run(tmp_path / "first.csv")[0].state_dict()
    history, _ = run(path, epochs=1, rows=state)
    assert len(path.read_text().splitlines()) == 4
    assert len(state["rows"]) == 2  # the restored state is a copy
    assert len(history.rows) == 3


def test_only_the_first_process_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "is_first_process", lambda: False)
    run(tmp_path / "history.csv")
    assert not list(tmp_path.iterdir())
