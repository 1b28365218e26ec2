"""Amplitude differences between patients, from the store alone: host, alpha and beta drop out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fesf.scripts.audit.amplitude import relative_error
from fesf.scripts.audit.scene import Floats, Integers, Scene
from fesf.scripts.audit.score import Score
from fesf.scripts.audit.spectra import band_amplitude


def strangers(labels: Integers, patients: Integers, position: int) -> Integers:
    """Images of other patients, of the same label where there are any."""
    stranger = patients != patients[position]
    alike = stranger & (labels == labels[position])
    return np.flatnonzero(alike if alike.any() else stranger)


def cosine(first: Floats, second: Floats) -> Floats:
    """Cosine of the angle between rows, (N, F) and (N, F) to (N,); 0 where one is nothing."""
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return (first * second).sum(1) / np.maximum(norms, 1e-12)


@dataclass(frozen=True)
class AmplitudeDifferences:
    """Somebody with nothing but the store, who takes two surrogates from each other.

    With one host, what is left is beta times the difference of the plaintexts' amplitudes: how one patient differs from
    another, without a word of the recipe; its size, where beta is known. After a second pass the share is
    ``1 - (1 - beta) ** 2`` as far as the generator kept what the first pass embedded.

    Args:
        others: images of other patients, of the victim's label where there are any, that each is compared with.
        seed: draws them.
    """

    name: ClassVar[str] = "amplitude differences"
    letters: ClassVar[tuple[str, ...]] = ("a",)
    finding: ClassVar[str] = "inference"
    measure: ClassVar[str] = "cosine of seen and true amplitude difference of two patients in the band (0 is chance)"
    broken: ClassVar[str] = "spectrum mixing"
    margin: ClassVar[float] = 0.05
    permutations: ClassVar[int] = 10
    below: ClassVar[str] = "among few patients, the one whose surrogate is shown is often the one compared with"
    others: int = 10
    seed: int = 0

    def fit(self, scene: Scene) -> Floats:
        """The spread of each frequency over the store, by which it is weighted, (F,)."""
        store = np.concatenate([scene.known.seen, scene.victims.seen])
        return np.maximum(band_amplitude(store, scene.alpha)[:, 1:].std(0), 1e-12)

    def score(self, fitted: Floats, scene: Scene) -> Score:
        """Differences to other patients, seen and true; DC is left out.

        Raises:
            ValueError: when there is only one patient.
        """
        victims, rng = scene.victims, np.random.default_rng(self.seed)
        seen, truth = (band_amplitude(images, scene.alpha) for images in (victims.seen, victims.plain))
        share = 1 - (1 - scene.beta) ** 2 if scene.stage == "surrogate" else scene.beta
        values, errors = [], []
        for position in range(len(victims)):
            choice = strangers(victims.labels, victims.patients, position)
            if not len(choice):
                raise ValueError("The victims are one patient: there is no difference between patients.")
            drawn = rng.choice(choice, min(self.others, len(choice)), replace=False)
            own, other = seen[position] - seen[drawn], truth[position] - truth[drawn]
            values.append(cosine(own[:, 1:] / fitted, other[:, 1:] / fitted).mean())
            if share > 0:
                errors.append(relative_error(own / share, other).mean())
        details = {"relative_error_with_beta": float(np.mean(errors))} if errors else {}
        return Score(np.array(values), victims.patients, 0.0, 1.0, details)
