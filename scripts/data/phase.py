"""The check that keeps plaintext out of the store: a surrogate has its host's phase, not the plaintext's."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

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

    real: Tensor
    imaginary: Tensor
    root: Tensor


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
    ours, plains = _whiten_each(torch.stack((surrogate.float(), plain.float())), dims)
    hosts = host if isinstance(host, Whitened) else whiten(host, dims)
    return PhaseCheck(_coherence(ours, hosts), _coherence(ours, plains) - _coherence(hosts, plains), shift_change)


def whiten(image: Tensor, spatial_dims: int) -> Whitened:
    """Half-spectrum of an image (..., *spatial), each frequency over the root of its amplitude, DC left out."""
    return _whiten_each(image.float()[None], spatial_dims)[0]


def _whiten_each(images: Tensor, spatial_dims: int) -> list[Whitened]:
    """The images (N, ..., *spatial) one by one. Real and imaginary parts lie apart: complex arithmetic takes twice as
    long, and a frequency without amplitude needs no branch."""
    spectra = torch.fft.rfftn(images, dim=tuple(range(-spatial_dims, 0))).flatten(-spatial_dims)
    real, imaginary = (part.contiguous() for part in (spectra.real, spectra.imag))
    real[..., 0] = imaginary[..., 0] = 0.0
    amplitudes = (real * real).addcmul_(imaginary, imaginary).clamp_min_(torch.finfo(real.dtype).tiny).sqrt_()
    share, root = amplitudes.rsqrt(), amplitudes.sqrt_()
    parts = (real.mul_(share), imaginary.mul_(share), root)
    return [Whitened(*vectors) for vectors in zip(*(part.flatten(1) for part in parts), strict=True)]


def _coherence(first: Whitened, second: Whitened) -> float:
    agreement = torch.dot(first.real, second.real) + torch.dot(first.imaginary, second.imaginary)
    return float(agreement / torch.dot(first.root, second.root))
