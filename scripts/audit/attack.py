"""The shape of an attack, and running one on a release beside its controls.

An attack is a module with one class: class attributes say who attacks and what for, ``fit`` learns from what the
attacker holds, ``score`` attacks the victims. What it does with ``scene.victims.plain`` beyond judging must follow
from its letters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from fesf.scripts.audit.controls import CONDITIONS, condition
from fesf.scripts.audit.scene import Scene
from fesf.scripts.audit.score import Score, pooled


class Attack(Protocol):
    """One attack.

    Attributes:
        name: as the page heads it.
        letters: what the attacker holds, of :data:`fesf.scripts.audit.threats.HOLDS`.
        finding: singling out, linkability or inference.
        measure: what the score is, with its unit.
        broken: the scheme of :data:`fesf.scripts.audit.controls.BROKEN` that must fall to it.
        margin: half-width of the band around chance in which the negative control's interval must lie.
        permutations: how many the negative control averages: its interval shall be of patients, not of one draw.
    """

    name: ClassVar[str]
    letters: ClassVar[tuple[str, ...]]
    finding: ClassVar[str]
    measure: ClassVar[str]
    broken: ClassVar[str]
    margin: ClassVar[float]
    permutations: ClassVar[int]

    def fit(self, scene: Scene) -> Any:
        """What the attacker learns before they see a victim."""

    def score(self, fitted: Any, scene: Scene) -> Score:
        """Attack the victims and judge it."""


@dataclass(frozen=True)
class Outcome:
    """An attack on a release and on its controls.

    Args:
        attack: the attack.
        scores: by condition.
        seed: of controls and intervals.
    """

    attack: Attack
    scores: dict[str, Score]
    seed: int = 0

    def summary(self) -> dict[str, dict[str, float | int]]:
        """Value, interval and chance of each condition."""
        return {name: score.summary(self.seed) for name, score in self.scores.items()}

    def faults(self) -> list[str]:
        """Why the attack does not count: controls that did not do what they must; empty when all did."""
        found, margin = self.summary(), self.attack.margin
        faults = [
            f"it does not succeed on {title}"
            for name, title in (("plaintext", "plaintexts"), ("broken", self.attack.broken))
            if found[name]["low"] <= found[name]["chance"] + margin
        ]
        null = found["permuted"]
        if not null["chance"] - margin <= null["low"] <= null["high"] <= null["chance"] + margin:
            faults.append("images that carry nothing of the patient are not within its margin of chance")
        return faults

    def verdict(self) -> str:
        """One sentence on the release; a failed attack says that this attack failed, no more."""
        faults, store = self.faults(), self.summary()["store"]
        if faults:
            return f"does not count: {'; '.join(faults)}"
        if store["low"] > store["chance"] + self.attack.margin:
            return "succeeds"
        if store["low"] > store["chance"]:
            return "does better than chance, within its margin"
        return "failed"


def run_attack(attack: Attack, scene: Scene, seed: int = 0, conditions: Sequence[str] = CONDITIONS) -> Outcome:
    """Fit and score an attack afresh under each condition.

    Args:
        attack: the attack.
        scene: the release.
        seed: of controls and intervals.
        conditions: which of :data:`fesf.scripts.audit.controls.CONDITIONS`.
    """
    scores = {}
    for name in conditions:
        draws = attack.permutations if name == "permuted" else 1
        made = [condition(scene, name, attack.broken, seed + draw) for draw in range(draws)]
        scores[name] = pooled([attack.score(attack.fit(each), each) for each in made])
    return Outcome(attack, scores, seed)
