"""How good the images of each stage look: distance to the host domain, likeness to the host and to the plaintext."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.metrics import MultiScaleSSIMMetric
from torch import Tensor

from fesf.networks.surrogate import SurrogateNet
from fesf.scripts.data.distance import HostDistance, closed
from fesf.scripts.data.files import make_private_folder, to_json, write_atomic
from fesf.scripts.data.hosts import HostPool
from fesf.scripts.data.pictures import similarity
from fesf.scripts.data.unpaired import HostHalves, read_plaintexts

SCALES = (0.0710, 0.4530, 0.4760)
"""Weights of MS-SSIM: the first three of Wang et al. 2003, scaled to sum 1; five scales need more than 160 pixels."""
LEAST_SIDE = 20
"""Pixels an axis from which three scales fit."""


def distances(images: Mapping[str, Tensor], halves: HostHalves, host: Tensor) -> dict[str, Any]:
    """Distances to the held-out hosts, with controls beside them, at one number of images throughout.

    Args:
        images: by name ("plaintext", "synthetic", "enhanced", "surrogate"), (N, 1, *spatial) in [0, 1].
        halves: the host pool.
        host: the one image that hides, (1, *spatial).

    Returns:
        ``{"images_drawn", "distance": {"floor", "host", *images: {"mmd", "frechet"}}, "gap_closed": {stage: ...}}``;
        the floor is the distance of the two halves of the host domain, "host" that of copies of the one host.
    """
    distance = HostDistance(halves.training, halves.held_out)
    size = min(distance.size, *(len(stack) for stack in images.values()))
    found = {"floor": distance.floor(size), "host": distance(host.expand(size, *host.shape), size)}
    found |= {name: distance(stack, size) for name, stack in images.items()}
    stages = [name for name in images if name not in ("plaintext", "synthetic")]
    gaps = {name: closed(found[name], found["synthetic"], found["floor"]) for name in stages}
    return {"images_drawn": size, "distance": found, "gap_closed": gaps}


def likeness(first: Tensor, second: Tensor) -> dict[str, float | None]:
    """Mean SSIM, PSNR (dB) and MS-SSIM of images with their partners, what an onlooker sees.

    Args:
        first: (N, 1, *spatial) in [0, 1].
        second: the same shape.

    Returns:
        ``{"ssim", "psnr", "ms_ssim"}``; PSNR over the pairs that are not equal, MS-SSIM with a negative contrast as 0
        (MONAI's choice) and for images of :data:`LEAST_SIDE` pixels an axis or more; None where nothing is left.
    """
    pairs = [
        similarity(one[0].double().numpy(), other[0].double().numpy()) for one, other in zip(first, second, strict=True)
    ]
    values = {name: [pair[name] for pair in pairs] for name in ("ssim", "psnr")}
    values["ms_ssim"] = []
    if min(first.shape[2:]) >= LEAST_SIDE:
        multi = MultiScaleSSIMMetric(first.ndim - 2, data_range=1.0, kernel_size=5, kernel_sigma=1.0, weights=SCALES)
        values["ms_ssim"] = torch.as_tensor(multi(first.float(), second.float())).flatten().tolist()
    return {name: _mean(numbers) for name, numbers in values.items()}


def _mean(values: Sequence[float]) -> float | None:
    finite = [value for value in values if math.isfinite(value)]
    return float(np.mean(finite)) if finite else None


class QualityReport:
    """Measure every stage on the images of one section and write ``quality.json`` (0600) in the hospital.

    Args:
        network: the pipeline; its ``stage`` says how far to go.
        pool: the hosts.
        halves: the pool in halves, the same seed as the IQEM's.
        path: the file.
        source: arguments of :func:`fesf.scripts.data.unpaired.read_plaintexts`.
    """

    def __init__(
        self, network: SurrogateNet, pool: HostPool, halves: HostHalves, path: str | Path, source: Mapping[str, Any]
    ) -> None:
        self.network = network
        self.pool = pool
        self.halves = halves
        self.path = Path(path)
        self.source = dict(source)

    def measure(self) -> dict[str, Any]:
        """The figures; see :func:`distances` and :func:`likeness`."""
        plain = torch.stack([image for _, image in read_plaintexts(**self.source)])
        device = self.network.host.device
        made: dict[str, list[Tensor]] = {}
        for image in plain:
            for name, batch in self.network.stages(image[None].to(device)).items():
                made.setdefault(name, []).append(batch[0].cpu())
        images = {"plaintext": plain} | {name: torch.stack(stack) for name, stack in made.items()}
        host = self.pool.host.expand_as(plain)
        figures = distances(images, self.halves, self.pool.host)
        to_host = {name: likeness(stack, host) for name, stack in images.items()}
        to_plaintext = {name: likeness(stack, plain) for name, stack in images.items() if name != "plaintext"}
        other = {"another plaintext": likeness(plain.roll(1, 0), plain)}
        return {
            "section": self.source["section"],
            "images": len(plain),
            **figures,
            "likeness_to_host": to_host,
            "likeness_to_plaintext": to_plaintext | other,
        }

    def run(self) -> None:
        """Measure and write."""
        figures = self.measure()
        make_private_folder(self.path.parent)
        write_atomic(self.path, to_json(figures))
        for name, values in figures["distance"].items():
            gap = figures["gap_closed"].get(name)
            closed_text = f", closes {gap['mmd']:+.2f} and {gap['frechet']:+.2f} of the gap" if gap else ""
            print(f"  {name:<10} MMD {values['mmd']:.4f}, Fréchet {values['frechet']:.2f}{closed_text}")
