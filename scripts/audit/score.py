"""How well an attack did: a value for each attacked image, and its mean over patients with an interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from fesf.scripts.audit.scene import Floats, Integers

DRAWS = 2000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Score:
    """What an attack got from each victim; more is worse for the victim.

    Args:
        values: one for each attacked image, (N,).
        patients: whose image it is, (N,).
        chance: the value of one who saw nothing.
        best: the value of one who got everything; infinity where there is no such bound.
        details: further figures, by name.

    Raises:
        ValueError: when nothing was attacked, the shapes disagree or a value is not finite.
    """

    values: Floats
    patients: Integers
    chance: float
    best: float = float("inf")
    details: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.values.ndim != 1 or not len(self.values) or self.values.shape != self.patients.shape:
            raise ValueError(
                f"values {self.values.shape} and patients {self.patients.shape}: expected one of each for an image,"
                " and at least one image."
            )
        if not np.isfinite(self.values).all():
            raise ValueError("A value is not finite: an attack must give a number for every victim.")

    def by_patient(self) -> Floats:
        """Mean value of each patient: somebody with many images counts once."""
        _, index = np.unique(self.patients, return_inverse=True)
        return np.bincount(index, self.values) / np.bincount(index)

    def summary(self, seed: int = 0) -> dict[str, float | int]:
        """The mean over patients with its 95 % percentile interval; the bootstrap draws patients.

        Returns:
            ``{"value", "low", "high", "chance", "images", "patients"}``.
        """
        means = self.by_patient()
        drawn = np.random.default_rng(seed).integers(len(means), size=(DRAWS, len(means)))
        low, high = np.quantile(means[drawn].mean(1), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        return {
            "value": float(means.mean()),
            "low": float(low),
            "high": float(high),
            "chance": float(self.chance),
            "images": len(self.values),
            "patients": len(means),
        }

    def pool(self, scores: Sequence[Score]) -> Score:
        """Scores of several draws as one: each patient's values of all draws count together; details are averaged."""
        return Score(
            np.concatenate([score.values for score in scores]),
            np.concatenate([score.patients for score in scores]),
            float(np.mean([score.chance for score in scores])),
            self.best,
            {name: float(np.mean([score.details[name] for score in scores])) for name in self.details},
        )


def placements(values: Floats, answers: Integers) -> Floats:
    """Of each image the share of those with the other answer that it is told apart from, ties half; (N,).

    Its mean over the images of either answer is the area under the ROC curve.
    """
    found = np.empty(len(values))
    for answer in (0, 1):
        own, other = values[answers == answer], values[answers != answer]
        difference = (own[:, None] - other) * (1 if answer else -1)
        found[answers == answer] = (difference > 0).mean(1) + (difference == 0).mean(1) / 2
    return found


class Judged(Protocol):
    """What an attack's outcome needs of a score: a :class:`Score` or :class:`~fesf.scripts.audit.ranking.AreaScore`."""

    @property
    def details(self) -> Mapping[str, float]:
        """Further figures, by name."""

    def summary(self, seed: int = 0) -> dict[str, float | int]:
        """``{"value", "low", "high", "chance", "images", "patients"}``."""

    def pool(self, scores: Sequence[Any]) -> Judged:
        """Scores of several draws, this one the first, as one."""


def pooled(scores: Sequence[Judged]) -> Judged:
    """Scores of several draws of one kind as one."""
    return scores[0] if len(scores) == 1 else scores[0].pool(scores)
