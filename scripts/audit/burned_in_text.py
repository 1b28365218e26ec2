"""The dictionary attack on a release whose burned-in text the hospital knows: the cohort's column ``text``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from fesf.scripts.audit.scene import Floats, Scene
from fesf.scripts.audit.score import Score
from fesf.scripts.audit.text_dictionary import TextDictionary, ranks
from fesf.scripts.data.text_overlay import names

LOOKED_AT = 48
"""Surrogates by which an attacker tells font and size."""


def standing_out(likeness: Floats) -> float:
    """By how many standard deviations the best candidate exceeds the others, mean over images (N, M)."""
    spread = np.maximum(likeness.std(1), 1e-12)
    return float(((likeness.max(1) - likeness.mean(1)) / spread).mean())


@dataclass(frozen=True)
class BurnedInText:
    """Somebody with a list of names, among them those of the cohort, who does not know where or how they are written.

    They try fonts and sizes on the store and keep those with which some name stands out most. Fonts and sizes are of
    the images as they are hidden: text in a radiograph that is made small is small.

    Args:
        decoys: names of nobody in the list, beside the cohort's.
        fonts: that are tried, of :data:`fesf.scripts.data.text_overlay.FONTS`.
        sizes: that are tried, in pixels.
    """

    name: ClassVar[str] = TextDictionary.name
    letters: ClassVar[tuple[str, ...]] = ("a",)
    finding: ClassVar[str] = TextDictionary.finding
    measure: ClassVar[str] = TextDictionary.measure
    broken: ClassVar[str] = TextDictionary.broken
    margin: ClassVar[float] = 0.05
    permutations: ClassVar[int] = 2
    decoys: int = 200
    fonts: tuple[str, ...] = ("sans", "mono", "serif", "times")
    sizes: tuple[int, ...] = (8, 10, 12, 14, 16, 20, 24)

    def candidates(self, scene: Scene) -> tuple[str, ...]:
        """The cohort's texts, then names of nobody.

        Raises:
            ValueError: when the cohort has no texts.
        """
        if not scene.texts:
            raise ValueError(
                "The cohort has no column text: what is burned into the images is not known here. Name it there for"
                " images that have some, or cover it (mask_text)."
            )
        held = set(scene.texts)
        return scene.texts + tuple(name for name in names(self.decoys + len(held)) if name not in held)[: self.decoys]

    def fit(self, scene: Scene) -> tuple[TextDictionary, Floats | None]:
        """Font and size, and the amplitude that is usual in the store."""
        list_of_names = self.candidates(scene)
        some = replace(scene, victims=scene.victims.take(np.arange(min(LOOKED_AT, len(scene.victims)))))
        ways = [TextDictionary(list_of_names, {}, font, size) for font in self.fonts for size in self.sizes]
        usual = ways[0].fit(scene)
        best = max(ways, key=lambda way: standing_out(way.likeness(usual, some)))
        return best, usual

    def score(self, fitted: tuple[TextDictionary, Floats | None], scene: Scene) -> Score:
        """Rank every candidate for every victim with text.

        Raises:
            ValueError: when no victim has text.
        """
        written = scene.victims.written
        texts = np.flatnonzero(written >= 0) if written is not None else np.arange(0)
        if written is None or not len(texts):
            raise ValueError("No test patient's image has a text in the cohort's column text.")
        attack, usual = fitted
        victims = scene.victims.take(texts)
        found = ranks(attack.likeness(usual, replace(scene, victims=victims)), written[texts])
        details = {"median_rank": float(np.median(found)) + 1, "size": float(attack.size)}
        return Score((found == 0).astype(float), victims.patients, 1 / len(attack.candidates), 1.0, details)
