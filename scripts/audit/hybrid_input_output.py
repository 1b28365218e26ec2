"""Phase retrieval: an image from its amplitudes, its support and the fact that it is not negative."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from fesf.scripts.audit.scene import Floats

FEEDBACK = 0.9
LAST = 60
"""Steps at the end that reduce the error, after those of hybrid input-output."""


def retrieve(
    amplitude: Floats, known: NDArray[np.bool_], support: NDArray[np.bool_], start: Floats, steps: int
) -> tuple[Floats, Floats]:
    """Hybrid input-output, then error reduction (Fienup 1982, Applied Optics 21, 2758).

    Args:
        amplitude: of the half spectrum, (N, H, W // 2 + 1).
        known: the frequencies at which it is known, (H, W // 2 + 1); at others the image keeps what it has.
        support: the pixels that may be other than 0, (H, W).
        start: images to start from, (N, H, W).
        steps: in all, of which the last reduce the error.

    Returns:
        Images, (N, H, W) in [0, 1], and by how much their amplitudes miss the known ones, relative to these, (N,).
    """
    images = start
    for step in range(steps):
        spectra = fft.rfft2(images)
        exchanged = spectra * (amplitude / np.maximum(np.abs(spectra), 1e-12))
        found = fft.irfft2(np.where(known, exchanged, spectra), s=images.shape[-2:])
        fits = support & (found >= 0)
        images = np.where(fits, found, images - FEEDBACK * found if step < steps - LAST else 0)
    images = np.where(support, images, 0).clip(0, 1)
    missed = np.where(known, np.abs(fft.rfft2(images)) - amplitude, 0)
    size = np.linalg.norm(np.where(known, amplitude, 0), axis=(1, 2))
    return images, np.linalg.norm(missed, axis=(1, 2)) / np.maximum(size, 1e-12)


def aligned(images: Floats, truth: Floats) -> Floats:
    """Each image (N, H, W) shifted, and turned by 180 degrees where that helps, so that it is nearest to its truth.

    Amplitudes say nothing of either, so no score may depend on them. Shifts are circular, by whole pixels.
    """
    spectra, placed = fft.rfft2(truth).conj(), []
    for image, spectrum in zip(images, spectra, strict=True):
        ways = []
        for turned in (image, image[::-1, ::-1]):
            likeness = fft.irfft2(fft.rfft2(turned) * spectrum, s=image.shape)
            row, column = np.unravel_index(likeness.argmax(), image.shape)
            ways.append((likeness.max(), np.roll(turned, (-int(row), -int(column)), (0, 1))))
        placed.append(max(ways, key=lambda way: way[0])[1])
    return np.stack(placed)
