"""Saving and restoring a training; that it ends the same, bit for bit, is tested on the configs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Events
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator, SupervisedTrainer, Workflow
from monai.transforms import RandScaleIntensityd

from fesf.scripts.engines import state as module
from fesf.scripts.engines.state import TrainingState, epoch_seed

ITEMS = [{"image": torch.full((1, 2), float(index)), "label": torch.zeros(1, 1)} for index in range(6)]


class Scaler:
    """A stand-in for the GPU's gradient scaler."""

    def __init__(self) -> None:
        self.scale = 1.0

    def state_dict(self) -> dict[str, float]:
        return {"scale": self.scale}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.scale = state["scale"]


class Trainer(SupervisedTrainer):
    """A trainer on the CPU that has a scaler all the same."""

    scalers: dict[str, Any]

    def run(self) -> None:
        Workflow.run(self)  # leaves out the lines that make a scaler


def make(folder: Path, epochs: int, resume: Path | None = None, scaler: Any = None) -> tuple[Trainer, list[Any]]:
    torch.manual_seed(0)
    network = torch.nn.Linear(2, 1)
    optimizer = torch.optim.Adam(network.parameters(), 0.1)
    data = Dataset(ITEMS, RandScaleIntensityd("image", 0.5, prob=1.0))
    evaluator = SupervisedEvaluator(torch.device("cpu"), [], network)
    state = TrainingState(
        folder / "last.pt", {"network": network, "optimizer": optimizer}, evaluator, seed=3, resume=resume
    )
    trainer = Trainer(
        torch.device("cpu"), epochs, DataLoader(data, batch_size=2, shuffle=True), network, optimizer,
        torch.nn.MSELoss(), train_handlers=[state], decollate=False,
    )  # fmt: skip
    trainer.scaler = scaler
    seen: list[Any] = []
    trainer.add_event_handler(Events.GET_BATCH_COMPLETED, lambda e: seen.append(e.state.batch["image"].clone()))
    evaluator.state.best_metric, evaluator.state.best_metric_epoch = np.float64(0.5), 1
    trainer.state.evaluator = evaluator
    return trainer, seen


def test_order_and_augmentation_depend_on_seed_and_epoch_alone(tmp_path: Path) -> None:
    trainer, seen = make(tmp_path, 2)
    trainer.run()
    torch.rand(100)  # whatever was drawn between
    resumed, again = make(tmp_path, 3, tmp_path / "last.pt")
    resumed.run()
    whole, everything = make(tmp_path / "whole", 3)
    whole.run()
    assert (len(seen), len(again)) == (6, 3)
    assert all(map(torch.equal, seen + again, everything))
    first, second = torch.cat(seen[:3]), torch.cat(seen[3:])
    assert not torch.equal(first, second)


def test_everything_is_restored(tmp_path: Path) -> None:
    scaler = Scaler()
    scaler.scale = 8.0
    trainer, _ = make(tmp_path, 2, scaler=scaler)
    trainer.run()
    saved = torch.load(tmp_path / "last.pt", weights_only=True)
    assert saved["trainer"] == {"epoch": 2, "epoch_length": 3}
    assert saved["evaluator"] == {"best_metric": 0.5, "best_metric_epoch": 1}
    resumed, _ = make(tmp_path, 2, tmp_path / "last.pt", Scaler())
    resumed.state.evaluator.state.best_metric = -1
    resumed.run()
    assert resumed.scaler.scale == 8.0
    assert resumed.state.epoch == 2
    assert resumed.state.evaluator.state.best_metric == 0.5
    assert torch.equal(resumed.network.weight, trainer.network.weight)
    assert resumed.optimizer.state_dict()["state"][0]["step"] == 6


def test_scalers_of_an_adversarial_trainer_are_kept_by_name(tmp_path: Path) -> None:
    def with_scalers(folder: Path, g: float, d: float, resume: Path | None = None) -> Trainer:
        trainer, _ = make(folder, 1, resume)
        trainer.scalers = {"g_scaler": Scaler(), "d_scaler": Scaler()}
        for scaler, scale in zip(trainer.scalers.values(), (g, d), strict=True):
            scaler.scale = scale
        return trainer

    with_scalers(tmp_path, 4.0, 16.0).run()
    saved = torch.load(tmp_path / "last.pt", weights_only=True)
    assert (saved["g_scaler"], saved["d_scaler"]) == ({"scale": 4.0}, {"scale": 16.0})
    assert "scaler" not in saved
    resumed = with_scalers(tmp_path / "again", 1.0, 1.0, tmp_path / "last.pt")
    resumed.run()
    assert [scaler.scale for scaler in resumed.scalers.values()] == [4.0, 16.0]


def test_without_scalers_none_is_saved(tmp_path: Path) -> None:
    trainer, _ = make(tmp_path, 1)
    trainer.scalers = {}
    trainer.run()
    saved = torch.load(tmp_path / "last.pt", weights_only=True)
    assert set(saved) == {"network", "optimizer", "trainer", "evaluator"}


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere.pt' is not a file: pass the last.pt of the interrupted"):
        make(tmp_path, 1, tmp_path / "nowhere.pt")


def test_only_the_first_process_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "is_first_process", lambda: False)
    make(tmp_path, 1)[0].run()
    assert not list(tmp_path.iterdir())


def test_epoch_seeds_differ() -> None:
    seeds = {epoch_seed(seed, epoch, rank) for seed in range(4) for epoch in range(20) for rank in range(4)}
    assert len(seeds) == 4 * 20 * 4
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert epoch_seed(1, 2, 3) == epoch_seed(1, 2, 3)
