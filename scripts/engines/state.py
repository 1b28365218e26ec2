"""Interrupting a training and going on as if nothing had happened."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from ignite.engine import Engine, Events
from monai.data.utils import set_rnd
from monai.engines import Trainer, Workflow

from fesf.scripts.engines.output import save_state, unwrap
from fesf.scripts.engines.predictions import is_first_process


class TrainingState:
    """Handler that saves all that a training needs to go on, after each epoch, and restores it.

    The random generators of an epoch are seeded from (seed, epoch, process), so that nothing of them needs saving: a
    resumed run ends in the same weights and metrics, bit for bit, at a fixed number of threads. The file loads with
    ``weights_only=True`` and is replaced at once.

    Args:
        path: the file.
        objects: by name, whatever else has a state: network, optimizer, scheduler, ...
        evaluator: engine that validates in each of the trainer's epochs.
        handlers: by name, handlers with a state; this one attaches them to the trainer, in order, before it saves.
        seed: seed of the whole training.
        resume: file to go on from; None starts afresh.
    """

    def __init__(
        self,
        path: str | Path,
        objects: Mapping[str, Any],
        evaluator: Workflow,
        handlers: Mapping[str, Any] | None = None,
        seed: int = 0,
        resume: str | Path | None = None,
    ) -> None:
        if resume is not None and not os.path.isfile(resume):
            raise ValueError(f"resume {str(resume)!r} is not a file: pass the last.pt of the interrupted training.")
        self.path = Path(path)
        self.objects = {name: unwrap(thing) for name, thing in objects.items()}
        self.evaluator = evaluator
        self.handlers = dict(handlers or {})
        self.seed = seed
        self.resume = resume

    def attach(self, engine: Trainer) -> None:
        """Watch a trainer; attach it after validation and learning-rate handlers, before those that log."""
        engine.add_event_handler(Events.STARTED, self._restore)
        engine.add_event_handler(Events.EPOCH_STARTED, self._seed)
        for handler in self.handlers.values():
            handler.attach(engine)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._save)

    def _parts(self) -> dict[str, Any]:
        return self.objects | self.handlers

    def _seed(self, engine: Engine) -> None:
        rank = dist.get_rank() if dist.is_available() and dist.is_initialized() else 0
        seed = epoch_seed(self.seed, engine.state.epoch, rank)
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        set_rnd(getattr(engine.state.dataloader, "dataset", None), seed)

    def _save(self, engine: Trainer) -> None:
        if not is_first_process():
            return
        best = self.evaluator.state
        state = {name: part.state_dict() for name, part in self._parts().items()}
        state["trainer"] = {"epoch": engine.state.epoch, "epoch_length": engine.state.epoch_length}
        state["evaluator"] = {"best_metric": float(best.best_metric), "best_metric_epoch": int(best.best_metric_epoch)}
        state |= {name: scaler.state_dict() for name, scaler in _scalers(engine).items()}
        save_state(self.path, state)

    def _restore(self, engine: Trainer) -> None:
        if self.resume is None:
            return
        state = torch.load(self.resume, map_location=engine.state.device, weights_only=True)
        if state["trainer"]["epoch"] > engine.state.max_epochs:
            raise ValueError(
                f"resume is of epoch {state['trainer']['epoch']}, epochs is {engine.state.max_epochs}: raise epochs."
            )
        if state["trainer"]["epoch_length"] != engine.state.epoch_length:
            raise ValueError(
                f"resume had {state['trainer']['epoch_length']} batches an epoch, now there are "
                f"{engine.state.epoch_length}: resume with the same data, batch_size and number of processes."
            )
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        engine.load_state_dict(state["trainer"] | {"max_epochs": engine.state.max_epochs})
        for name, value in state["evaluator"].items():
            setattr(self.evaluator.state, name, value)
        for name, scaler in _scalers(engine).items():
            if name in state:
                scaler.load_state_dict(state[name])
        engine.logger.info(f"Went on from epoch {engine.state.epoch}")


def _scalers(engine: Any) -> dict[str, Any]:
    """Gradient scalers of mixed precision by name: one of MONAI's supervised trainer, two of an adversarial one."""
    return getattr(engine, "scalers", None) or ({} if engine.scaler is None else {"scaler": engine.scaler})


def epoch_seed(seed: int, epoch: int, rank: int = 0) -> int:
    """A seed in [0, 2**32) for one epoch of one process, unrelated to its neighbours'."""
    return int(np.random.SeedSequence([seed, epoch, rank]).generate_state(1)[0])
