"""Undo clipping: the pixels that were not clipped, and the side on which the others were, give the band back."""

from __future__ import annotations

import numpy as np

from fesf.scripts.audit.scene import Floats
from fesf.scripts.audit.spectra import band_mask, half_band

STEPS = 400
TOLERANCE = 1e-5
"""Largest change of a pixel in one step at which it ends: a fraction of an 8-bit grey level."""


def declipped_amplitude(seen: Floats, host: Floats, alpha: float, steps: int = STEPS) -> Floats:
    """Amplitudes in the band of surrogates before they were clipped, in the order of ``band_amplitude``, (N, F).

    Who knows the host knows the phase everywhere and the amplitude outside the band, so that only the band's
    amplitudes are unknown: far fewer numbers than pixels. They are fitted to the pixels strictly between 0 and 1; a
    pixel at 0 only says that it was not above, one at 1 that it was not below. Projections onto both sets, accelerated
    (Papoulis 1975; Nesterov 1983, restarted as in O'Donoghue and Candes 2015).

    Args:
        seen: surrogates of one pass, (N, H, W) in [0, 1].
        host: the image that hid them, (H, W).
        alpha: half-width of the band.
        steps: at most so many.
    """
    shape = host.shape
    mask = band_mask(shape, alpha)[:, : shape[1] // 2 + 1]
    spectrum = np.fft.rfft2(host)
    unit = np.where(mask, np.exp(1j * np.angle(spectrum)), 0)
    low, high = seen <= 0, seen >= 1

    def correction(pixels: Floats) -> Floats:
        """Of the band's amplitudes, by how much the pixels are off where they say anything."""
        off = pixels - seen
        off = np.where(low, np.maximum(off, 0), np.where(high, np.minimum(off, 0), off))
        return (np.fft.rfft2(off) * unit.conj()).real

    change = np.zeros((len(seen), *unit.shape))
    ahead, weight = change, 1.0
    for _ in range(steps):
        step = correction(host + np.fft.irfft2(ahead * unit, s=shape))
        following = ahead - step
        if np.abs(following - change).max() / np.sqrt(host.size) < TOLERANCE:
            change = following
            break
        if (step * (following - change)).sum() > 0:  # uphill: start the momentum again
            weight = 1.0
        heavier = (1 + np.sqrt(1 + 4 * weight**2)) / 2
        ahead = following + (weight - 1) / heavier * (following - change)
        change, weight = following, heavier
    return np.maximum(np.abs(spectrum) + change, 0)[:, half_band(shape, alpha)]
