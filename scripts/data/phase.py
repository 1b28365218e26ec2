"""The check that keeps plaintext out of the store: a surrogate has its host's phase, not the plaintext's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fesf.scripts.data.cohort_table import CohortError

Floats = NDArray[np.float32]

MINIMUM_COHERENCE = 0.7
"""Least coherence of a written surrogate with its host. Measured on 80 chest X-rays at 64x64 and 80 brain MRI at 128
and 512: never below 0.79, reached at alpha 0.5, beta 1 with heavy clipping; 0.96 and more at alpha 0.1, beta 0.5."""

MAXIMUM_EXCESS = 0.12
"""Most by which a surrogate may cohere with the plaintext beyond what its host does. On the same images: at most 0.06;
the plaintext itself exceeds by 0.57 and more."""

MAXIMUM_SHIFT_CHANGE = 1e-3
"""Most by which a pixel of a surrogate, in [0, 1], may change when its plaintext is shifted round: no stage may see the
phase. A generator amplifies rounding; 3e-5 is the most measured. What lets the plaintext through changes by its
contrast."""


class PhaseCheckError(CohortError):
    """A surrogate that would let more through than its plaintext's amplitude; nothing of its release is published."""


@dataclass(frozen=True, slots=True)
class PhaseCheck:
    """Result of :func:`check_phase`.

    Args:
        coherence: of the surrogate with its host, in [-1, 1].
        excess: coherence of surrogate and plaintext less that of host and plaintext, in [-2, 2].
        shift_change: largest change of a pixel when the plaintext is shifted round; 0 where it was not tried.
    """

    coherence: float
    excess: float
    shift_change: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether the image may be published."""
        return (
            self.coherence >= MINIMUM_COHERENCE
            and self.excess <= MAXIMUM_EXCESS
            and self.shift_change <= MAXIMUM_SHIFT_CHANGE
        )

    @property
    def text(self) -> str:
        """The figures with their limits."""
        return (
            f"coherence with the host {self.coherence:.3f}, at least {MINIMUM_COHERENCE}; beyond the host's with the"
            f" plaintext {self.excess:.3f}, at most {MAXIMUM_EXCESS}; change under a shift of the plaintext"
            f" {self.shift_change:.1e}, at most {MAXIMUM_SHIFT_CHANGE:.0e}"
        )


@dataclass(frozen=True, slots=True)
class Whitened:
    """What :func:`whiten` makes of an image: vectors over the half-spectrum.

    Args:
        real: real parts of the frequencies, each over the root of its amplitude.
        imaginary: imaginary parts, likewise.
        root: the roots of the amplitudes.
    """

    real: Floats
    imaginary: Floats
    root: Floats


def phase_coherence(first: Tensor, second: Tensor, spatial_dims: int) -> float:
    """How far two images agree in phase: the mean cosine of the phase difference, weighted.

    The weight of a frequency is the root of the product of both amplitudes, over the half-spectrum of ``rfftn`` without
    DC (whose phase is 0 in any image): amplitudes themselves would leave the answer to a handful of bins, and equal
    weights to the rounding of 8-bit files.

    Args:
        first: image (..., *spatial).
        second: image of the same shape.
        spatial_dims: number of spatial axes, at the end.

    Returns:
        1 for equal phases, about 0 for unrelated ones, -1 for opposite ones; 0 when an image has no amplitude at all.
    """
    return _coherence(whiten(first, spatial_dims), whiten(second, spatial_dims))


def check_phase(surrogate: Tensor, host: Tensor | Whitened, plain: Tensor, shift_change: float = 0.0) -> PhaseCheck:
    """Compare a surrogate's phase, as it will be written, with its host's and the plaintext's.

    Costs two real transforms and about as much again (docs/bench_dicom.json has its share of hiding).

    Args:
        surrogate: image (C, *spatial) after rounding to the file's grey levels.
        host: image of the same shape: the host of the pass that made the surrogate, or the generator's own output; a
            host of many surrogates comes as :func:`whiten` leaves it, which is then done once.
        plain: image of the same shape.
        shift_change: see :class:`PhaseCheck`; a generator's images move towards what all images of their kind share,
            so that their likeness to the plaintext's phase says little, and how they react to a shift says it all.
    """
    dims = surrogate.ndim - 1
    ours, plains = _whiten_each(torch.stack((surrogate, plain)), dims)
    hosts = host if isinstance(host, Whitened) else whiten(host, dims)
    return PhaseCheck(_coherence(ours, hosts), _coherence(ours, plains) - _coherence(hosts, plains), shift_change)


def whiten(image: Tensor, spatial_dims: int) -> Whitened:
    """Half-spectrum of an image (..., *spatial), each frequency over the root of its amplitude, DC left out."""
    return _whiten_each(image[None], spatial_dims)[0]


def _whiten_each(images: Tensor, spatial_dims: int) -> list[Whitened]:
    """The images (N, ..., *spatial) one by one. Real and imaginary parts lie apart, and a frequency without amplitude
    needs no branch: complex arithmetic takes twice as long, and PyTorch's a quarter longer than NumPy's."""
    axes = tuple(range(-spatial_dims, 0))
    spectra = torch.fft.rfftn(images.float(), dim=axes).flatten(-spatial_dims).cpu().numpy()
    parts = np.stack((spectra.real, spectra.imag))
    parts[..., 0] = 0
    amplitudes, imaginary = np.square(parts)
    amplitudes += imaginary
    np.sqrt(np.maximum(amplitudes, np.finfo(np.float32).tiny, out=amplitudes), out=amplitudes)
    roots = np.sqrt(amplitudes, out=amplitudes)
    parts /= roots
    return [Whitened(parts[0, n].ravel(), parts[1, n].ravel(), roots[n].ravel()) for n in range(len(images))]


def _coherence(first: Whitened, second: Whitened) -> float:
    agreement = np.dot(first.real, second.real) + np.dot(first.imaginary, second.imaginary)
    return float(agreement / np.dot(first.root, second.root))
