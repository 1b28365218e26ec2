"""The Image Hidden Module written straight from its formula with numpy.fft in float64, and images to try it on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from fesf.transforms import functional, routes

Reference = Callable[..., NDArray[np.complex128]]


def hide_by_formula(plain: NDArray, host: NDArray, alpha: float, beta: float) -> NDArray[np.complex128]:
    """x_sy before the real part is taken; every axis of the arrays is spatial."""
    mask = np.ones(plain.shape, dtype=bool)
    for axis, size in enumerate(plain.shape):
        u = np.rint(np.fft.fftfreq(size) * size)
        shape = [-1 if other == axis else 1 for other in range(plain.ndim)]
        mask &= (np.abs(u) <= np.floor(alpha * size)).reshape(shape)
    spectrum = np.fft.fftn(np.asarray(host, dtype=np.float64))
    a_pl, a_ho = np.abs(np.fft.fftn(np.asarray(plain, dtype=np.float64))), np.abs(spectrum)
    phase = np.where(a_ho > 1e-12 * a_ho.max(), np.angle(spectrum), 0.0)
    a_sy = mask * ((1 - beta) * a_ho + beta * a_pl) + (1 - mask) * a_ho
    return np.fft.ifftn(a_sy * np.exp(1j * phase))


@pytest.fixture(scope="session")
def reference() -> Reference:
    return hide_by_formula


@pytest.fixture(scope="session")
def images() -> Callable[..., Tensor]:
    """Return seeded images in [0, 1] of a spatial shape, with a falling spectrum as photographs have."""

    def make(
        shape: Sequence[int], seed: int = 0, dtype: torch.dtype = torch.float32, lead: Sequence[int] = ()
    ) -> Tensor:
        rng = np.random.default_rng(seed)
        noise = rng.random((*lead, *shape))
        axes = tuple(range(-len(shape), 0))
        radius = np.sqrt(sum(np.square(g) for g in np.meshgrid(*(np.fft.fftfreq(n) * n for n in shape), indexing="ij")))
        smooth = np.fft.ifftn(np.fft.fftn(noise, axes=axes) / (1 + radius), axes=axes).real
        low, high = smooth.min(axis=axes, keepdims=True), smooth.max(axis=axes, keepdims=True)
        return torch.from_numpy((smooth - low) / np.where(high > low, high - low, 1.0)).to(dtype)

    return make


@pytest.fixture(params=["rule", "FourierBand", "MatrixBand"])
def route(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each route in turn, whatever the rule would choose ("rule" leaves the choice to it)."""
    if request.param != "rule":
        monkeypatch.setattr(functional, "choose_route", lambda *_: getattr(routes, request.param))
    return str(request.param)
