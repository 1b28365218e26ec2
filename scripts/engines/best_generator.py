"""Judging the IQEM's generator by its distance to the host domain, and keeping the best one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from ignite.metrics import Metric
from monai.utils import CommonKeys
from torch import Tensor, nn

from fesf.scripts.data.distance import HostDistance, gap_closed
from fesf.scripts.data.files import make_private_folder, to_json, write_atomic
from fesf.scripts.data.unpaired import HostHalves
from fesf.scripts.engines.output import save_state, unwrap

GENERATOR, DISTANCE = "generator.pt", "distance.json"
LEAST_STEP = 1e-3
"""Mean absolute change of an image, in [0, 1], below which a trained generator counts as the identity."""


class HostCloseness(Metric):
    """The negative squared MMD of the generator's validation images to the host domain: larger is nearer.

    The share of the gap to the floor that it closed is in the figures, and does not judge: where synthetic images lie
    near the floor already it is a quotient of noise.

    Args:
        halves: the host pool; images are compared with its held-out half.

    Attributes:
        last: figures of the latest epoch: "val_mmd", "val_frechet", "val_gap_closed", "val_step" (mean absolute
            change by the generator) and, the same each epoch, "val_mmd_synthetic" and "val_mmd_floor".
    """

    def __init__(self, halves: HostHalves) -> None:
        self.distance = HostDistance(halves.training, halves.held_out)
        self.last: dict[str, float] = {}
        self._synthetic: dict[str, float] = {}
        super().__init__(output_transform=lambda output: (output[CommonKeys.IMAGE], output[CommonKeys.PRED]))

    def reset(self) -> None:
        """Forget the epoch."""
        self._inputs: list[Tensor] = []
        self._outputs: list[Tensor] = []

    def update(self, output: tuple[Tensor, Tensor]) -> None:
        """Take a batch of synthetic images and the generator's of them."""
        self._inputs.append(output[0].detach().float().cpu())
        self._outputs.append(output[1].detach().float().cpu())

    def compute(self) -> float:
        """The closeness; see the class."""
        inputs, outputs = torch.cat(self._inputs), torch.cat(self._outputs)
        if not self._synthetic:
            self._synthetic = self.distance(inputs)
        value, floor = self.distance(outputs), self.distance.floor(len(inputs))
        self.last = {f"val_{name}": number for name, number in value.items()}
        self.last["val_gap_closed"] = gap_closed(value["mmd"], self._synthetic["mmd"], floor["mmd"])
        self.last["val_step"] = float((outputs - inputs).abs().mean())
        self.last |= {"val_mmd_synthetic": self._synthetic["mmd"], "val_mmd_floor": floor["mmd"]}
        return -value["mmd"]


class RefusedGeneratorError(ValueError):
    """The generator that training kept is none to hide with."""


class BestGenerator:
    """Handler that writes ``generator.pt`` and ``distance.json`` (0600) whenever images come nearer to the hosts.

    ``generator.pt`` is the raw state dict of the averaged generator. It was trained on patients' images: it stays in
    the hospital.

    Args:
        folder: the hospital's private folder of the IQEM.
        network: the generator that is judged and kept.
        metric: judges; its figures join the evaluator's metrics.
    """

    def __init__(self, folder: str | Path, network: nn.Module, metric: HostCloseness) -> None:
        self.folder = Path(folder)
        self.network = network
        self.metric = metric
        self._best: dict[str, Any] = {}

    def attach(self, engine: Engine) -> None:
        """Judge each epoch of an evaluator."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        figures = self.metric.last
        engine.state.metrics |= figures
        if not math.isfinite(figures["val_mmd"]):
            raise ValueError("The distance to the hosts is not finite: the generator has diverged; lower its rate.")
        if self._best and figures["val_mmd"] >= self._best["figures"]["val_mmd"]:
            return
        weights = {name: value.detach().cpu().clone() for name, value in unwrap(self.network).state_dict().items()}
        self._best = {"weights": weights, "figures": dict(figures), "epoch": int(engine.state.epoch)}
        self._write()

    def _write(self) -> None:
        make_private_folder(self.folder)
        save_state(self.folder / GENERATOR, self._best["weights"])
        (self.folder / GENERATOR).chmod(0o600)
        figures = {name: round(value, 6) for name, value in self._best["figures"].items()}
        write_atomic(self.folder / DISTANCE, to_json({"epoch": self._best["epoch"]} | figures))

    def refuse_identity(self) -> None:
        """Fail the run whose best generator changes nothing.

        Raises:
            RefusedGeneratorError: when its mean change is below :data:`LEAST_STEP`.
        """
        step = self._best["figures"]["val_step"] if self._best else 0.0
        if step < LEAST_STEP:
            raise RefusedGeneratorError(
                f"The generator stayed the identity (mean change {step:.1e}, at least {LEAST_STEP}): train longer, or"
                " lower content_weight."
            )

    def state_dict(self) -> dict[str, Any]:
        """The best generator so far."""
        return {"best": self._best}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore :meth:`state_dict` and write its files again."""
        self._best = deepcopy(state["best"])
        if self._best:
            self._write()


def load_generator(path: str | Path | None, generator: nn.Module) -> nn.Module | None:
    """The trained generator, ready to hide with; None where there is no file.

    Args:
        path: ``generator.pt``; None for no generator.
        generator: network of the architecture that was trained.

    Raises:
        ValueError: when the file is missing, or its weights do not fit the network.
    """
    if path is None:
        return None
    if not Path(path).is_file():
        raise ValueError(f"generator_file {str(path)!r} is not a file: train one with enhance.json, or leave it null.")
    try:
        generator.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:
        raise ValueError(
            f"generator_file {str(path)!r} does not fit generator_def ({type(error).__name__}): give hide.json the"
            " generator_def that enhance.json trained."
        ) from error
    return generator.eval().requires_grad_(False)
