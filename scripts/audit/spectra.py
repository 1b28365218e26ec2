"""What an attacker reads in an image's spectrum."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fesf.scripts.audit.scene import Floats
from fesf.transforms.functional import low_frequency_mask


def band_mask(shape: Sequence[int], alpha: float) -> NDArray[np.bool_]:
    """The low band as :func:`fesf.transforms.functional.low_frequency_mask` has it, (H, W)."""
    return low_frequency_mask(shape, alpha).numpy()


def half_band(shape: Sequence[int], alpha: float) -> NDArray[np.bool_]:
    """The band in the half spectrum of ``rfft2``, (H, W // 2 + 1), each pair of conjugate frequencies once."""
    mask = band_mask(shape, alpha)[:, : shape[1] // 2 + 1].copy()
    mask[shape[0] // 2 + 1 :, 0] = False  # conjugates of the rows above
    return mask


def band_amplitude(images: Floats, alpha: float) -> Floats:
    """Amplitudes of the low band, each pair of conjugate frequencies once.

    Args:
        images: (N, H, W).
        alpha: half-width of the band as a share of each axis.

    Returns:
        (N, F), the mean of the image (DC) first.
    """
    return np.abs(np.fft.rfft2(images))[:, half_band(images.shape[1:], alpha)]


def log_amplitude(images: Floats, alpha: float) -> Floats:
    """Logarithms of :func:`band_amplitude` without DC, damped below the noise of 8-bit rounding, (N, F)."""
    noise = np.sqrt(images[0].size / 12) / 255  # standard deviation of a bin when every pixel is rounded to 1/255
    return np.log(band_amplitude(images, alpha)[:, 1:] + noise)


def standardised(features: Floats) -> Floats:
    """Each feature with mean 0 and deviation 1 over the images, then each image with length 1, (N, F).

    What all images share, such as one host, drops out. Rows of zeros stay zero.
    """
    centred = features - features.mean(0)
    scaled = centred / np.maximum(centred.std(0), 1e-12)
    return scaled / np.maximum(np.linalg.norm(scaled, axis=1, keepdims=True), 1e-12)
