"""Scores that rank: the area under the ROC curve, with a bootstrap over the patients on both sides of a pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fesf.scripts.audit.scene import Floats, Integers
from fesf.scripts.audit.score import CONFIDENCE, DRAWS

AT_ONCE = 2_000_000
"""Numbers that are drawn together, which bounds the memory."""


@dataclass(frozen=True)
class Ranking:
    """Items, or pairs of them, some of which are what the attacker looks for.

    Args:
        likeness: how much each looks like it, (P,).
        positive: whether it is, (P,).
        first: whose it is, (P,).
        second: whose the other one of a pair is, (P,); the same where there are no pairs.
        weight: of each, (P,).

    Raises:
        ValueError: when there are not both kinds.
    """

    likeness: Floats
    positive: NDArray[np.bool_]
    first: Integers
    second: Integers
    weight: Floats

    def __post_init__(self) -> None:
        if self.positive.all() or not self.positive.any():
            raise ValueError("A ranking needs both what is looked for and what is not.")

    def areas(self, counts: Floats) -> Floats:
        """Weighted area under the ROC curve, ties counting half.

        Args:
            counts: how often each patient was drawn, (D, patients).

        Returns:
            (D,); NaN where one kind was not drawn.
        """
        order = np.argsort(self.likeness, kind="stable")
        starts = np.flatnonzero(np.diff(self.likeness[order], prepend=-np.inf))
        first, second = self.first[order], self.second[order]
        drawn = counts[:, first] * np.where(first == second, 1, counts[:, second]) * self.weight[order]
        right = np.add.reduceat(drawn * self.positive[order], starts, axis=1)
        wrong = np.add.reduceat(drawn * ~self.positive[order], starts, axis=1)
        below = np.cumsum(wrong, axis=1) - wrong / 2
        total = right.sum(1) * wrong.sum(1)
        return np.divide((right * below).sum(1), total, out=np.full(len(counts), np.nan), where=total > 0)


def shares(groups: Integers) -> Floats:
    """Weights that sum to one in each group, (N,)."""
    _, index, counts = np.unique(groups, return_inverse=True, return_counts=True)
    return 1 / counts[index]


@dataclass(frozen=True)
class AreaScore:
    """The mean area under the ROC curves of some rankings; 0.5 is chance, 1 the worst for the victims.

    Args:
        rankings: of one task each, such as one class against the rest.
        images: how many images were attacked.
        chance: the value of one who saw nothing.
        details: further figures, by name.
    """

    rankings: tuple[Ranking, ...]
    images: int
    chance: float = 0.5
    details: Mapping[str, float] = field(default_factory=dict)

    @property
    def value(self) -> float:
        """The mean area."""
        whole = 1 + max(int(max(each.first.max(), each.second.max())) for each in self.rankings)
        return float(np.mean([each.areas(np.ones((1, whole)))[0] for each in self.rankings]))

    def summary(self, seed: int = 0) -> dict[str, float | int]:
        """The mean with its 95 % percentile interval; the bootstrap draws patients, for both sides of a pair.

        Returns:
            ``{"value", "low", "high", "chance", "images", "patients"}``.
        """
        patients = np.unique(np.concatenate([part for each in self.rankings for part in (each.first, each.second)]))
        whole = int(patients.max()) + 1
        rng, drawn = np.random.default_rng(seed), []
        step = max(1, AT_ONCE // max(len(each.likeness) for each in self.rankings))
        for start in range(0, DRAWS, step):
            chosen = rng.choice(patients, (min(step, DRAWS - start), len(patients)))
            counts = np.stack([np.bincount(row, minlength=whole) for row in chosen]).astype(float)
            drawn.append(np.mean([each.areas(counts) for each in self.rankings], axis=0))
        low, high = np.nanquantile(np.concatenate(drawn), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        return {
            "value": self.value,
            "low": float(low),
            "high": float(high),
            "chance": float(self.chance),
            "images": self.images,
            "patients": len(patients),
        }

    def pool(self, scores: Sequence[AreaScore]) -> AreaScore:
        """Scores of several draws as one: the mean area, each patient drawn for all of them; details are averaged."""
        return AreaScore(
            tuple(ranking for score in scores for ranking in score.rankings),
            sum(score.images for score in scores),
            float(np.mean([score.chance for score in scores])),
            {name: float(np.mean([score.details[name] for score in scores])) for name in self.details},
        )
