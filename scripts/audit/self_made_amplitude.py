"""Amplitude recovery with pairs of one's own: who has the recipe needs nobody's images to read amplitudes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fesf.scripts.audit.amplitude import lines, relative_error, solve
from fesf.scripts.audit.scene import Floats, Scene
from fesf.scripts.audit.score import Score
from fesf.scripts.audit.self_made import one_pass, self_made
from fesf.scripts.audit.spectra import band_amplitude

WRITTEN = {
    "float": (False, False, False),
    "8_bit": (False, True, False),
    "clipped": (True, False, False),
    "clipped_8_bit": (True, True, False),
    "clipped_declipped": (True, False, True),
    "clipped_8_bit_declipped": (True, True, True),
}
"""How a surrogate of one pass is written and read: clipped, rounded to the store's levels, declipped by attackers."""


def errors_of_one_pass(scene: Scene) -> dict[str, float]:
    """Mean relative error of the solved amplitude after one pass with the public host, by how it is written."""
    truth, found = band_amplitude(scene.victims.plain, scene.alpha), {}
    for name, (clip, rounded, declip) in WRITTEN.items():
        seen = one_pass(scene, scene.victims.plain, clip, scene.levels if rounded else None)
        error = relative_error(solve(seen, scene.host, scene.alpha, scene.beta, declip), truth)
        found[f"one_pass_{name}"] = float(error.mean())
    return found


def recovered(found: Floats, scene: Scene, details: Mapping[str, float]) -> Score:
    """Amplitudes of the victims, (N, F), by their error against that of the mean of all: which knows no patient."""
    truth = band_amplitude(scene.victims.plain, scene.alpha)
    error, typical = relative_error(found, truth), relative_error(found.mean(0), truth)
    own = {"relative_error": float(error.mean()), "relative_error_mean_amplitude": float(typical.mean())}
    return Score(1 - error / typical, scene.victims.patients, 0.0, 1.0, own | dict(details))


@dataclass(frozen=True)
class Reading:
    """How the attacker reads amplitudes: a line for each frequency, or the equation, solved after declipping."""

    slope: Floats
    offset: Floats
    solves: bool

    def read(self, seen: Floats, scene: Scene) -> Floats:
        """Amplitudes of the plaintexts, (N, F)."""
        if self.solves:
            return solve(seen, scene.host, scene.alpha, scene.beta, declip=True)
        return np.maximum(self.slope * band_amplitude(seen, scene.alpha) + self.offset, 0)


@dataclass(frozen=True)
class SelfMadeAmplitude:
    """Somebody with host, alpha and beta, who hides public images and learns from these pairs.

    They try two readings on their own pairs and keep the better one. Where a generator took part, their pairs are not
    like the store's: only the lines are tried, and moved so that the store's mean gives the pool's. The details hold
    what writing costs: one pass in float, in 8 bits, clipped, declipped.
    """

    name: ClassVar[str] = "amplitude recovery by self-made pairs"
    letters: ClassVar[tuple[str, ...]] = ("a", "c")
    finding: ClassVar[str] = "inference"
    measure: ClassVar[str] = "share of the mean amplitude's error that recovery removes (1 is exact, 0 no better)"
    broken: ClassVar[str] = "spectrum mixing"
    margin: ClassVar[float] = 0.05
    permutations: ClassVar[int] = 2
    below: ClassVar[str] = "another patient's amplitude is a worse guess than the mean amplitude"

    def fit(self, scene: Scene) -> Reading:
        """Lines and equation, judged on the public pool."""
        pairs = self_made(scene)
        slope, offset = lines(pairs, scene.alpha)
        truth = band_amplitude(pairs.plain, scene.alpha)
        if scene.stage != "synthetic" and not scene.scheme:
            store = np.concatenate([scene.known.seen, scene.victims.seen])
            offset = truth.mean(0) - slope * band_amplitude(store, scene.alpha).mean(0)
        fitted = Reading(slope, offset, solves=False)
        if scene.stage != "synthetic" or scene.beta == 0:
            return fitted
        solving = Reading(fitted.slope, fitted.offset, solves=True)
        line, solved = (relative_error(way.read(pairs.seen, scene), truth).mean() for way in (fitted, solving))
        return solving if solved < line else fitted

    def score(self, fitted: Reading, scene: Scene) -> Score:
        """Error of the amplitude that is read, see :func:`recovered`."""
        details = {"solves": float(fitted.solves)} | (errors_of_one_pass(scene) if scene.beta > 0 else {})
        return recovered(fitted.read(scene.victims.seen, scene), scene, details)
