"""Patients linked with confidence: claims that an attacker would dare, and how many of them are right.

An attack that names a candidate for every probe is right now and then by luck. What counts for a patient is whether the
attacker can tell: so a claim is made only where the best candidate leads the second by a margin, and the margin is
chosen on known patients, of whom the attacker knows the truth.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from fesf.scripts.audit.scene import Floats, Integers, Scene

PRECISION = 0.95
"""Share of claims on known patients that must be right at the chosen margin."""
FEWEST = 10
"""Claims on known patients that a margin must rest on, in the mean of all divisions."""
DIVISIONS = 10
"""How often the known patients are divided into galleries: one division alone chooses the margin by chance."""


@dataclass(frozen=True)
class Claims:
    """The best candidate of every probe.

    Args:
        right: whether it is the right one, (P,).
        margins: by how much it leads the best candidate of anybody else, (P,); minus infinity where there is nobody.
        patients: whose probe it is, (P,).
    """

    right: NDArray[np.bool_]
    margins: Floats
    patients: Integers

    def boldest(self) -> Claims:
        """One claim a patient: that with the largest margin, so that many images do not count as many patients."""
        order = np.argsort(-self.margins, kind="stable")
        first = order[np.unique(self.patients[order], return_index=True)[1]]
        return Claims(self.right[first], self.margins[first], self.patients[first])


def make_claims(
    likeness: Floats, allowed: NDArray[np.bool_], own: NDArray[np.bool_], persons: Integers, patients: Integers
) -> Claims:
    """Name the most alike candidate of every probe that has one.

    Args:
        likeness: of each probe to every candidate, (P, N).
        allowed: which candidates are compared, (P, N).
        own: which of them are right, (P, N).
        persons: who each candidate is to the attacker, (N,); a number of its own for each where they cannot tell.
        patients: of the probes, (P,).
    """
    usable = allowed.any(1)
    likeness, own, patients = np.where(allowed, likeness, -np.inf)[usable], own[usable], patients[usable]
    rows, best = np.arange(len(likeness)), likeness.argmax(1)
    second = np.where(persons != persons[best][:, None], likeness, -np.inf).max(1, initial=-np.inf)
    margins = np.where(np.isfinite(second), likeness[rows, best] - second, -np.inf)
    return Claims(own[rows, best], margins, patients)


def margin_for(claims: Claims, fewest: int = FEWEST) -> float | None:
    """The smallest margin from which on the share of :data:`PRECISION` of the claims is right; None for none.

    At least ``fewest`` claims must reach it.
    """
    order = np.argsort(-claims.margins, kind="stable")
    margins, right = claims.margins[order], claims.right[order]
    share = np.cumsum(right) / np.arange(1, len(right) + 1)
    last = np.append(margins[1:] < margins[:-1], True)  # of claims with one margin all are made, or none
    fits = np.flatnonzero(last & (share >= PRECISION) & np.isfinite(margins))
    fits = fits[fits + 1 >= fewest]
    return float(margins[fits[-1]]) if len(fits) else None


def known_groups(scene: Scene, seed: int) -> Iterator[Scene]:
    """The known patients as victims, in groups about as many as the victims are: margins shrink with the gallery."""
    patients = np.random.default_rng(seed).permutation(np.unique(scene.known.patients))
    count = max(1, len(patients) // len(np.unique(scene.victims.patients)))
    for group in np.array_split(patients, count):
        inside = np.isin(scene.known.patients, group)
        if inside.any():
            known, victims = (scene.known.take(np.flatnonzero(part)) for part in (~inside, inside))
            yield replace(scene, known=known, victims=victims)


def linked(attack: Any, fitted: Any, scene: Scene, seed: int = 0) -> dict[str, Any]:
    """How many victims an attack links with confidence.

    Args:
        attack: has ``claims(fitted, scene)``, which gives :class:`Claims`.
        fitted: what it learnt, nothing of it from the known patients: the margin is chosen on them.
        scene: the release.
        seed: divides the known patients.

    Returns:
        ``{"patients", "claimed", "right", "wrong", "low", "high", "margin", "known_claims"}``: the victims, those for
        whom a claim is made, those of them claimed rightly and wrongly, the exact 95 % interval of the share of victims
        that is linked rightly, the margin (None: no margin was found, nobody is claimed) and on how many known patients
        it rests.
    """
    groups = (group for draw in range(DIVISIONS) for group in known_groups(scene, seed + draw))
    known = [attack.claims(fitted, group).boldest() for group in groups]
    pool = Claims(
        np.concatenate([claims.right for claims in known] or [np.zeros(0, bool)]),
        np.concatenate([claims.margins for claims in known] or [np.zeros(0)]),
        np.concatenate([claims.patients for claims in known] or [np.zeros(0, np.int64)]),
    )
    margin = margin_for(pool, DIVISIONS * FEWEST) if len(pool.right) else None
    found = attack.claims(fitted, scene).boldest()
    made = found.margins >= margin if margin is not None else np.zeros(len(found.right), bool)
    patients, right = len(np.unique(scene.victims.patients)), int((made & found.right).sum())
    interval = binomtest(right, patients).proportion_ci(method="exact")
    return {
        "patients": patients,
        "claimed": int(made.sum()),
        "right": right,
        "wrong": int((made & ~found.right).sum()),
        "low": float(interval.low),
        "high": float(interval.high),
        "margin": margin,
        "known_claims": len(np.unique(pool.patients)),
    }
