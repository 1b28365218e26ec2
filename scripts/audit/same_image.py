"""The same image: which surrogate of the store is made of this very plaintext?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fesf.scripts.audit.claims import Claims, make_claims
from fesf.scripts.audit.scene import Floats, Scene
from fesf.scripts.audit.score import Score
from fesf.scripts.audit.spectra import log_amplitude, standardised


@dataclass(frozen=True)
class SameImage:
    """Somebody who holds the victims' plaintexts and looks for their surrogates by amplitude, without knowing beta."""

    name: ClassVar[str] = "same image"
    letters: ClassVar[tuple[str, ...]] = ("a", "e'")
    finding: ClassVar[str] = "singling out"
    measure: ClassVar[str] = "rank-1: the surrogate nearest to a plaintext is its own"
    broken: ClassVar[str] = "additive mixing"
    margin: ClassVar[float] = 0.05
    permutations: ClassVar[int] = 5

    def fit(self, scene: Scene) -> None:
        """Nothing to learn: what all surrogates share drops out of the store itself."""

    def score(self, fitted: None, scene: Scene) -> Score:
        """Match every victim's plaintext with all surrogates, by correlation of the band's log amplitudes."""
        victims, likeness = scene.victims, self.likeness(scene)
        own = likeness.diagonal()[:, None]
        better = (likeness > own).sum(1) + ((likeness == own).sum(1) - 1) / 2
        count = len(victims)
        details = {"mean_rank_percentile": float(np.mean(better / max(count - 1, 1)))}
        return Score((better == 0).astype(float), victims.patients, 1 / count, 1.0, details)

    def likeness(self, scene: Scene) -> Floats:
        """How alike each plaintext is to each surrogate, (N, N)."""
        gallery = standardised(log_amplitude(scene.victims.seen, scene.alpha))
        return standardised(log_amplitude(scene.victims.plain, scene.alpha)) @ gallery.T

    def claims(self, fitted: None, scene: Scene) -> Claims:
        """Which surrogate each plaintext is said to be; each is a candidate of its own."""
        each, patients = np.arange(len(scene.victims)), scene.victims.patients
        own = np.eye(len(each), dtype=bool)
        return make_claims(self.likeness(scene), np.ones_like(own), own, each, patients)
