"""Membership: was this patient among those whose surrogates trained the classifier?

The likelihood-ratio attack of Carlini et al., Membership Inference Attacks From First Principles, 2022, with few shadow
models, so with one variance for all images (their section VI), and by patient: the ratios of a patient's images are
averaged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.stats import binomtest
from tqdm import tqdm

from fesf.scripts.audit.controls import titled
from fesf.scripts.audit.scene import Floats, Integers, Scene
from fesf.scripts.audit.score import Score, placements
from fesf.scripts.audit.shadow_models import confidence, labelled, train

LEAST = 8
"""Patients without whom there is nothing to tell apart."""
EXCHANGES = 200
"""Other halves that the judge of the negative control asks for: its interval shall be of patients, not of one draw."""


@dataclass(frozen=True)
class Classified(Scene):
    """A release with a classifier that was trained on half of its patients.

    Args:
        overfit: whether the classifiers learn their images by heart.
        exchanged: whether the judge asks for other halves than the one that trained: nothing can be known then.
    """

    overfit: bool = False
    exchanged: bool = False


@dataclass(frozen=True)
class Halves:
    """Networks that each saw half of the patients.

    Args:
        confidences: of each network in each image's true class, (K, N); the first network is attacked.
        trained: whether the image trained the network, (K, N).
        patients: of the images, (N,).
    """

    confidences: Floats
    trained: np.ndarray[Any, np.dtype[np.bool_]]
    patients: Integers


def likelihood_ratios(halves: Halves) -> Floats:
    """Log likelihood ratio of each image to have trained the first network, (N,), from the other networks alone."""
    shadows, inside = halves.confidences[1:], halves.trained[1:]
    means, residuals = [], []
    for side in (inside, ~inside):
        mean = np.where(side, shadows, 0).sum(0) / np.maximum(side.sum(0), 1)
        means.append(mean)
        residuals.append((shadows - mean)[side])
    within, without = (max(float(part.std()), 1e-6) for part in residuals)
    target = halves.confidences[0]
    ratio: Floats = (
        np.log(without / within)
        - np.square((target - means[0]) / within) / 2
        + np.square((target - means[1]) / without) / 2
    )
    return ratio


def balanced_halves(patients: Integers, networks: int, seed: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Who trains which network, (K, N): the first by a coin for each patient, of the others each patient half."""
    rng = np.random.default_rng(seed)
    persons, index = np.unique(patients, return_inverse=True)
    first = rng.permutation(len(persons)) < len(persons) // 2
    shadows = np.stack([rng.permutation(networks - 1) < (networks - 1) // 2 for _ in persons], axis=1)
    return np.vstack([first, shadows])[:, index]


def exact_rate(scores: Floats, members: np.ndarray[Any, np.dtype[np.bool_]], false: int) -> tuple[float, float, float]:
    """True positive rate with its exact 95 % interval, at a threshold that so many non-members pass."""
    threshold = np.sort(scores[~members])[::-1][false]
    hits = int((scores[members] > threshold).sum())
    interval = binomtest(hits, int(members.sum())).proportion_ci(method="exact")
    return hits / int(members.sum()), float(interval.low), float(interval.high)


@dataclass(frozen=True)
class Membership:
    """Somebody with a trained classifier and a patient's surrogate, or their plaintext and the recipe.

    The classifier that is attacked is trained here, with the bundle's settings, on half of the known and attacked
    patients; the attacker trains others on halves that they draw from the same patients.

    Args:
        shadows: how many other classifiers they train, an even number.
        seed: draws the halves.
    """

    name: ClassVar[str] = "membership in training"
    letters: ClassVar[tuple[str, ...]] = ("a", "c", "f")
    finding: ClassVar[str] = "inference"
    measure: ClassVar[str] = "AUC of having trained the classifier, by patient"
    broken: ClassVar[str] = "an overfitted classifier of surrogates"
    margin: ClassVar[float] = 0.05
    permutations: ClassVar[int] = 1
    titles: ClassVar[Mapping[str, str]] = titled(
        plaintext="an overfitted classifier of plaintexts",
        broken="an overfitted classifier of surrogates",
        permuted="patients of whom the half that trained says nothing",
    )
    same_fit: ClassVar[tuple[str, ...]] = ("permuted", "store")
    shadows: int = 6
    seed: int = 0

    def condition(self, scene: Scene, name: str, seed: int) -> Scene:
        """The classifiers of each role: overfitted ones are the controls that must succeed."""
        fields = {each: getattr(scene, each) for each in Scene.__dataclass_fields__}
        made = Classified(**fields, overfit=name in ("plaintext", "broken"), exchanged=name == "permuted")
        if name == "plaintext":
            return made.with_images(lambda images: images.showing(images.plain))
        return made

    def fit(self, scene: Scene) -> Halves:
        """Train the classifiers.

        Raises:
            ValueError: when there are too few patients with a label.
        """
        seen, labels, patients = labelled(scene.known, scene.victims)
        if len(np.unique(patients)) < 2 * LEAST or len(np.unique(labels)) < 2:
            raise ValueError(f"Fewer than {2 * LEAST} patients have labels: this set cannot measure membership.")
        trained = balanced_halves(patients, self.shadows + 1, self.seed)
        overfit, classes = isinstance(scene, Classified) and scene.overfit, int(labels.max()) + 1
        found = []
        for number, half in enumerate(tqdm(trained, desc="Classifiers", mininterval=1.0)):
            network = train(seen[half], labels[half], classes, self.seed + number, overfit)
            found.append(confidence(network, seen, labels))
        return Halves(np.stack(found), trained, patients)

    def score(self, fitted: Halves, scene: Scene) -> Score:
        """How well patients who trained the first classifier are told from those who did not."""
        persons, index = np.unique(fitted.patients, return_inverse=True)
        ratios = np.bincount(index, likelihood_ratios(fitted)) / np.bincount(index)
        members = np.bincount(index, fitted.trained[0]) > 0
        values = placements(ratios, members.astype(np.int64))
        if isinstance(scene, Classified) and scene.exchanged:
            rng = np.random.default_rng(self.seed + 1)
            others = (rng.permutation(members).astype(np.int64) for _ in range(EXCHANGES))
            values = np.mean([placements(ratios, each) for each in others], axis=0)
        details = {"members": float(members.sum()), "others": float((~members).sum())}
        for false in (0, 1):
            rate, low, high = exact_rate(ratios, members, false)
            details |= {
                f"tpr_at_{false}_false": rate,
                f"tpr_at_{false}_false_low": low,
                f"tpr_at_{false}_false_high": high,
            }
        return Score(values, persons, 0.5, 1.0, details)
