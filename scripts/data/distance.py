"""How far images lie from the host domain: Fréchet distance and MMD on texture features, at equal numbers of images."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from fesf.networks.features import TextureFeatures

MEASURES = ("mmd", "frechet")
COMPONENTS = 8
"""Principal components of the host features that the Fréchet distance sees: covariances of a few dozen images."""
DRAWS = 20
BATCH = 64


def squared_mmd(first: Tensor, second: Tensor, bandwidth: float) -> float:
    """Unbiased squared maximum mean discrepancy with the kernel ``exp(-d^2 / (2 bandwidth^2))`` (Gretton et al. 2012).

    Args:
        first: features (N, F), N at least 2.
        second: features (M, F), M at least 2.
        bandwidth: length scale of the kernel.

    Returns:
        0 in expectation for samples of one distribution, so also negative.
    """
    n, m = len(first), len(second)
    same = [
        (_kernel(each, each, bandwidth).sum() - len(each)) / (len(each) * (len(each) - 1)) for each in (first, second)
    ]
    return float(same[0] + same[1] - 2 * _kernel(first, second, bandwidth).sum() / (n * m))


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """Squared Fréchet distance of two Gaussians fitted to features (N, F) and (M, F); biased upwards by few images.

    The same value as MONAI's FIDMetric: the trace of the root of a product of covariances is the sum of the singular
    values of the product of their factors, which exist where few images leave a covariance singular and a root not.
    """
    means = [each.double().mean(0) for each in (first, second)]
    factors = [
        torch.linalg.qr((each.double() - mean) / (len(each) - 1) ** 0.5, mode="r").R
        for each, mean in zip((first, second), means, strict=True)
    ]
    spread = (
        sum(factor.square().sum() for factor in factors) - 2 * torch.linalg.svdvals(factors[0] @ factors[1].T).sum()
    )
    return float((means[0] - means[1]).square().sum() + spread)


def gap_closed(value: float, synthetic: float, floor: float) -> float:
    """Share of the way from the synthetic images' distance to the floor: 0 is no nearer, 1 is at the floor.

    Its sign says nearer or farther even where few images put the synthetic ones below the floor.

    >>> gap_closed(0.1, synthetic=0.2, floor=0.0)
    0.5
    """
    return (synthetic - value) / max(abs(synthetic - floor), 1e-9)


class HostDistance:
    """Distance of images to held-out hosts.

    Features are standardised over all hosts; the kernel's bandwidth is the median distance between two held-out hosts.
    Both sides are drawn to the same number of images, ``draws`` times with fixed seeds, and the distances averaged.

    Args:
        hosts: the half of the host pool that trains, (N, C, *spatial).
        held_out: the other half, which images are compared with.
        draws: draws to average.

    Raises:
        ValueError: when a half has fewer than 4 images.
    """

    def __init__(self, hosts: Tensor, held_out: Tensor, draws: int = DRAWS) -> None:
        self.size = min(len(hosts), len(held_out))
        if self.size < 4:
            raise ValueError(
                f"The host pool has {len(hosts) + len(held_out)} images: measuring the distance to it needs 8 or more."
            )
        self.draws = draws
        self.network = TextureFeatures(held_out.ndim - 2, held_out.shape[1])
        self._mean, self._std = torch.zeros(()), torch.ones(())
        raw = self.features(torch.cat((hosts, held_out)))
        self._mean, self._std = raw.mean(0), raw.std(0).clamp_min(1e-6)
        features = self.features(torch.cat((hosts, held_out)))
        self.hosts, self.held_out = features[: len(hosts)], features[len(hosts) :]
        distances = torch.pdist(self.held_out)
        self.bandwidth = float(distances.median())
        self._axes = torch.linalg.svd(features - features.mean(0), full_matrices=False)[2][:COMPONENTS].T

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Standardised features (N, F) of images (N, C, *spatial) in [0, 1], float64."""
        network = self.network.to(images.device)
        raw = torch.cat([network(batch.float()) for batch in images.split(BATCH)]).double().cpu()
        return (raw - self._mean) / self._std

    def __call__(self, images: Tensor, size: int | None = None) -> dict[str, float]:
        """``{"mmd": ..., "frechet": ...}`` of images to the held-out hosts.

        Args:
            images: (N, C, *spatial) in [0, 1].
            size: images to draw from each side; None for as many as all sides have.

        Raises:
            ValueError: when there is one image.
        """
        return self._measure(self.features(images), size)

    def floor(self, size: int | None = None) -> dict[str, float]:
        """The distances between the two halves of the host pool."""
        return self._measure(self.hosts, size)

    def _measure(self, features: Tensor, size: int | None) -> dict[str, float]:
        size = min(size or self.size, self.size, len(features))
        if size < 2:
            raise ValueError("A distance to the hosts needs 2 images or more: give the section more patients.")
        rng = np.random.default_rng(0)
        values: dict[str, list[float]] = {name: [] for name in MEASURES}
        for _ in range(self.draws):
            ours, theirs = (side[rng.permutation(len(side))[:size].tolist()] for side in (features, self.held_out))
            values["mmd"].append(squared_mmd(ours, theirs, self.bandwidth))
            values["frechet"].append(frechet_distance(ours @ self._axes, theirs @ self._axes))
        return {name: float(np.mean(numbers)) for name, numbers in values.items()}


def closed(value: Mapping[str, float], synthetic: Mapping[str, float], floor: Mapping[str, float]) -> dict[str, float]:
    """:func:`gap_closed` of each measure."""
    return {name: gap_closed(value[name], synthetic[name], floor[name]) for name in MEASURES}


def _kernel(first: Tensor, second: Tensor, bandwidth: float) -> Tensor:
    return torch.exp(-torch.cdist(first, second).square() / (2 * bandwidth**2))
