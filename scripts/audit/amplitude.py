"""Amplitude recovery: read the plaintext's amplitude in the band from the surrogate's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fesf.scripts.audit.declip import declipped_amplitude
from fesf.scripts.audit.scene import Floats, Images, Scene
from fesf.scripts.audit.score import Score
from fesf.scripts.audit.spectra import band_amplitude


def solve(seen: Floats, host: Floats, alpha: float, beta: float, declip: bool = False) -> Floats:
    """Solve ``A_sy = (1 - beta) A_ho + beta A_pl`` for the plaintext's amplitude, at least 0; (N, F) with DC first.

    Args:
        seen: surrogates, (N, H, W).
        host: the image that hid them, (H, W).
        alpha: half-width of the band.
        beta: the plaintext's share.
        declip: undo clipping first (:mod:`fesf.scripts.audit.declip`).

    Raises:
        ValueError: when beta is 0: nothing of the plaintext is there.
    """
    if beta == 0:
        raise ValueError("beta is 0: the band holds nothing of the plaintext.")
    mixed = declipped_amplitude(seen, host, alpha) if declip else band_amplitude(seen, alpha)
    return np.maximum((mixed - (1 - beta) * band_amplitude(host[None], alpha)) / beta, 0)


def relative_error(found: Floats, truth: Floats) -> Floats:
    """Norm of the error over the norm of the truth, DC left out: amplitudes (N, F) or (F,) against (N, F) give (N,)."""
    return np.linalg.norm((found - truth)[:, 1:], axis=1) / np.linalg.norm(truth[:, 1:], axis=1)


def lines(pairs: Images, alpha: float) -> tuple[Floats, Floats]:
    """From seen to plain amplitude: slope and offset of each frequency of the band by least squares, (F,) each."""
    seen, plain = (band_amplitude(images, alpha) for images in (pairs.seen, pairs.plain))
    centred = seen - seen.mean(0)
    slope = (centred * (plain - plain.mean(0))).sum(0) / np.maximum(np.square(centred).sum(0), 1e-12)
    return slope, plain.mean(0) - slope * seen.mean(0)


@dataclass(frozen=True)
class AmplitudeRecovery:
    """Somebody with true pairs, who fits a line for each frequency of the band.

    The line finds host and beta by itself, and also serves where the pass's host is a generator's image that nobody
    outside has. What solving the equation with the public host gives stands beside it.
    """

    name: ClassVar[str] = "amplitude recovery"
    letters: ClassVar[tuple[str, ...]] = ("a", "d")
    finding: ClassVar[str] = "inference"
    measure: ClassVar[str] = "share of the mean amplitude's error that recovery removes (1 is exact, 0 no better)"
    broken: ClassVar[str] = "spectrum mixing"
    margin: ClassVar[float] = 0.05
    permutations: ClassVar[int] = 5

    def fit(self, scene: Scene) -> tuple[Floats, Floats]:
        """Slope and offset of each frequency by least squares, (F,) each."""
        return lines(scene.known, scene.alpha)

    def score(self, fitted: tuple[Floats, Floats], scene: Scene) -> Score:
        """Error of the fitted amplitude against that of the known plaintexts' mean amplitude."""
        victims, (slope, offset) = scene.victims, fitted
        truth = band_amplitude(victims.plain, scene.alpha)
        error = relative_error(slope * band_amplitude(victims.seen, scene.alpha) + offset, truth)
        typical = relative_error(band_amplitude(scene.known.plain, scene.alpha).mean(0), truth)
        details = {"relative_error": float(error.mean()), "relative_error_mean_amplitude": float(typical.mean())}
        if scene.beta > 0:
            solved = relative_error(solve(victims.seen, scene.host, scene.alpha, scene.beta), truth)
            details["relative_error_solved_with_public_host"] = float(solved.mean())
        return Score(1 - error / typical, victims.patients, 0.0, 1.0, details)
