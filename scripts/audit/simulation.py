"""Amplitude recovery by running the pipeline on guesses until what comes out is the surrogate.

The pipeline sees nothing of a plaintext but its amplitude, so any image with the right one gives the same surrogate:
the guesses need not look like the patient.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fesf.scripts.audit.amplitude import lines
from fesf.scripts.audit.controls import condition, titled, under
from fesf.scripts.audit.gateway import gateway, refuse_hidden_once, true_pairs
from fesf.scripts.audit.scene import Floats, Scene
from fesf.scripts.audit.score import Score
from fesf.scripts.audit.self_made import one_pass
from fesf.scripts.audit.self_made_amplitude import Reading, SelfMadeAmplitude, recovered
from fesf.scripts.audit.spectra import band_amplitude, half_band

STEP = 0.8
"""Share of the correction that the lines ask for."""


def carrying(amplitude: Floats, carrier: Floats, alpha: float) -> Floats:
    """Images whose band has these amplitudes (N, F), the rest from a carrier (H, W); in [0, 1], which moves them."""
    spectrum = np.fft.rfft2(carrier)
    band = half_band(carrier.shape, alpha)
    unit = np.exp(1j * np.angle(spectrum))
    made = np.repeat(spectrum[None], len(amplitude), axis=0)
    made[:, band] = amplitude * unit[band]
    rows = np.arange(carrier.shape[0] // 2 + 1, carrier.shape[0])
    made[:, rows, 0] = made[:, carrier.shape[0] - rows, 0].conj()
    return np.fft.irfft2(made, s=carrier.shape).clip(0, 1)


def simulated(first: Reading, scene: Scene, steps: int) -> tuple[Floats, Floats]:
    """Amplitudes of the victims, (N, F), and by how much the answers to the best guesses miss their surrogates', (N,).

    Args:
        first: the first guess, and the slope by which an error is corrected.
        scene: its ``gateway`` is asked once a step for each victim.
        steps: how often.
    """
    aim = band_amplitude(scene.victims.seen, scene.alpha)
    carrier = scene.pool[int(np.square(scene.pool - scene.pool.mean(0)).mean((1, 2)).argmin())]
    guess = best = first.read(scene.victims.seen, scene)
    least = np.full(len(aim), np.inf)
    for _ in range(steps):
        images = carrying(guess, carrier, scene.alpha)
        asked = band_amplitude(images, scene.alpha)
        off = aim - band_amplitude(gateway(scene, images), scene.alpha)
        missed = np.linalg.norm(off, axis=1) / np.maximum(np.linalg.norm(aim, axis=1), 1e-12)
        better = missed < least
        mended = np.maximum(asked + first.slope * off, 0)  # what was asked for may not fit into [0, 1]
        best, least = np.where(better[:, None], mended, best), np.where(better, missed, least)
        guess = np.maximum(asked + STEP * first.slope * off, 0)
    return best, least


@dataclass(frozen=True)
class AdaptiveQueries(SelfMadeAmplitude):
    """Somebody whom the gateway answers often: they send guesses at a victim until the victim's surrogate comes back.

    The public pool, sent first, says how the gateway answers. Their guesses are images, so this reads amplitudes of
    schemes that are blind to phase, as these are; the scheme known to be broken is one pass without clipping.

    Args:
        steps: queries for each victim.
    """

    name: ClassVar[str] = "amplitude recovery by adaptive queries"
    letters: ClassVar[tuple[str, ...]] = ("a", "b", "g")
    broken: ClassVar[str] = "one pass, floats"
    titles: ClassVar[Mapping[str, str]] = titled(broken="hidden once, floats")
    steps: int = 8

    def condition(self, scene: Scene, name: str, seed: int) -> Scene:
        """One pass with the public host, not clipped and not rounded, as the scheme known to be broken."""
        if name == "broken":
            return under(scene, lambda plain: one_pass(scene, plain, clip=False))
        return condition(scene, name, self.broken, seed)

    def fit(self, scene: Scene) -> Reading:
        """Lines from the answers to the public pool."""
        return Reading(*lines(true_pairs(scene, scene.pool), scene.alpha), solves=False)

    def score(self, fitted: Reading, scene: Scene) -> Score:
        """Error of the best guess's amplitude; that of the first guess beside it."""
        found, missed = simulated(fitted, scene, self.steps)
        first = recovered(fitted.read(scene.victims.seen, scene), scene, {})
        details = {"first_guess": float(first.by_patient().mean()), "answers_missed": float(missed.mean())}
        return recovered(found, scene, details)


@dataclass(frozen=True)
class StolenGenerator(AdaptiveQueries):
    """Somebody with host, recipe and the generator's weights: they run it all themselves, as often as they want."""

    name: ClassVar[str] = "amplitude recovery by the stolen generator"
    letters: ClassVar[tuple[str, ...]] = ("a", "c", "h")
    steps: int = 30

    def condition(self, scene: Scene, name: str, seed: int) -> Scene:
        """As for somebody who asks the gateway.

        Raises:
            ValueError: when no generator took part, or it is not at hand.
        """
        refuse_hidden_once(scene)
        return super().condition(scene, name, seed)
