"""What a store and the public pool say of the recipe: the host by phase, the band by deviation, beta by regression."""

from __future__ import annotations

import numpy as np
from scipy.stats import ttest_ind

from fesf.scripts.audit.scene import Floats, Integers
from fesf.scripts.audit.spectra import band_mask

PIECE = 256
"""Images whose spectra are held together, which bounds the memory."""
EDGE = 5.0
"""From this t statistic the change of the spread counts as the band's edge."""


def reach(shape: tuple[int, int]) -> Floats:
    """The smallest alpha whose band holds each frequency of ``rfft2``, (H, W // 2 + 1), in [0, 0.5]."""
    rows, columns = np.abs(np.fft.fftfreq(shape[0])), np.fft.rfftfreq(shape[1])
    return np.maximum(rows[:, None], columns)


def phases(images: Floats) -> Floats:
    """Phase factors of the half spectrum without DC, (N, 2 F), real and imaginary parts, each image with length 1."""
    spectra = np.fft.rfft2(images).reshape(len(images), -1)[:, 1:]
    factors = spectra / np.maximum(np.abs(spectra), 1e-12)
    return np.concatenate([factors.real, factors.imag], axis=1) / np.sqrt(factors.shape[1])


def contours(images: Floats, alpha: float) -> Floats:
    """Log amplitudes outside the band, centred, each image with length 1, (N, F)."""
    outside = ~band_mask(images.shape[1:], alpha)[:, : images.shape[2] // 2 + 1]
    values = np.log(np.abs(np.fft.rfft2(images))[:, outside] + 1e-3)
    values -= values.mean(1, keepdims=True)
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)


def nearest_host(seen: Floats, pool: Floats, alpha: float | None = None) -> Integers:
    """Which image of the pool (M, H, W) each image (N, H, W) is most like: by phase, or outside a band; (N,)."""

    def read(images: Floats) -> Floats:
        return phases(images) if alpha is None else contours(images, alpha)

    candidates = read(pool).T
    pieces = [seen[start : start + PIECE] for start in range(0, len(seen), PIECE)]
    return np.concatenate([(read(piece) @ candidates).argmax(1) for piece in pieces])


def spread(seen: Floats, hosts: Floats | None = None) -> Floats:
    """Log of how amplitudes vary over the store, as a share of their mean, (H, W // 2 + 1).

    Args:
        seen: surrogates, (N, H, W).
        hosts: their hosts, (N, H, W), whose amplitudes are taken off, so that they may differ; None for one host, which
            drops out by itself.
    """
    amplitude = np.abs(np.fft.rfft2(seen))
    varied = amplitude if hosts is None else amplitude - np.abs(np.fft.rfft2(hosts))
    return np.log(varied.std(0) + 1e-6) - np.log(amplitude.mean(0) + 1e-6)


def band_edge(found: Floats, shape: tuple[int, int]) -> tuple[float, float]:
    """Where the spread (H, W // 2 + 1) changes most between two rings of the spectrum and the two that follow.

    Rings are the frequencies that a band gains when alpha grows by one step. After one pass the spread falls at the
    edge; after a second pass, in generated images that vary in all frequencies, it may rise.

    Returns:
        Alpha, and the edge's t statistic (Welch), to be compared with :data:`EDGE`; 0.5 where there is no such edge.
    """
    steps = reach(shape)
    rings = np.unique(steps)
    best = (0.5, 0.0)
    for last in range(1, len(rings) - 1):
        inside, beyond = (
            found[np.isin(steps, rings[part])] for part in (slice(last - 1, last + 1), slice(last + 1, last + 3))
        )
        t = abs(float(ttest_ind(inside, beyond, equal_var=False).statistic))
        if t > best[1]:
            best = float(rings[last]), t
    return best if best[1] > EDGE else (0.5, best[1])


def smallest_ratio(mixed: Floats, hosts: Floats) -> float:
    """Beta from ``A_sy >= (1 - beta) A_ho``: somewhere a plaintext has next to no amplitude.

    Args:
        mixed, hosts: amplitudes in the band, (N, F), of surrogates before clipping and of their hosts. The stronger
            half of the hosts' amplitudes is used, on which rounding weighs least.
    """
    strong = hosts >= np.median(hosts, axis=1, keepdims=True)
    return float(1 - (mixed[strong] / np.maximum(hosts[strong], 1e-12)).min())


def regressed(mixed: Floats, hosts: Floats, public: Floats) -> float:
    """Beta by regression through the origin: ``A_sy - A_ho = beta (A_pl - A_ho)``, public images' mean for ``A_pl``.

    Each frequency weighs as a share of its amplitude in the pool.

    Args:
        mixed, hosts: amplitudes in the band, (N, F).
        public: those of the pool, (M, F).
    """
    usual = np.maximum(public.mean(0), 1e-12)
    moved, way = (mixed - hosts) / usual, 1 - hosts / usual
    return float((moved * way).sum() / np.maximum(np.square(way).sum(), 1e-12))
