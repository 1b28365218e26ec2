"""The shape of an attack, and running one on a release beside its controls.

An attack is a module with one class: class attributes say who attacks and what for, ``fit`` learns from what the
attacker holds, ``score`` attacks the victims. What it does with ``scene.victims.plain`` beyond judging must follow
from its letters.

An attack on the release itself, such as which host hid it, or one that plaintexts and the schemes of
:data:`fesf.scripts.audit.controls.BROKEN` do not fit, has controls of its own: a method
``condition(scene, name, seed)`` that gives the scene for each role of
:data:`~fesf.scripts.audit.controls.CONDITIONS`, and ``titles``, which say what is shown in it. The roles and what is
asked of them stay. An attack whose guess can be worse than that of one who saw nothing says why in ``below``; its
negative control may then lie below chance, and still not above. ``same_fit`` names conditions that differ in the judge
alone: what was learnt for the first serves for all. ``prepared(scene)`` gives the attack with what is decided once, on
the release, before any condition. Further
methods let the page show more of it, see :func:`fesf.scripts.audit.exhibits.exhibits`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from fesf.scripts.audit.controls import CONDITIONS, condition
from fesf.scripts.audit.exhibits import exhibits
from fesf.scripts.audit.scene import Scene
from fesf.scripts.audit.score import Judged, pooled


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

    def score(self, fitted: Any, scene: Scene) -> Judged:
        """Attack the victims and judge it."""


def titles_of(attack: Attack) -> dict[str, str]:
    """What is shown in the role of each control."""
    usual = {
        "plaintext": "plaintexts",
        "broken": attack.broken,
        "permuted": "images that carry nothing of the patient",
    }
    return usual | dict(getattr(attack, "titles", {}))


def controlled(attack: Attack, scene: Scene, name: str, seed: int = 0) -> Scene:
    """The release as it is under one condition, by the attack's own controls where it has some."""
    own = getattr(attack, "condition", None)
    found: Scene = own(scene, name, seed) if own else condition(scene, name, attack.broken, seed)
    return found


@dataclass(frozen=True)
class Outcome:
    """An attack on a release and on its controls.

    Args:
        attack: the attack.
        scores: by condition.
        seed: of controls and intervals.
        shown: what the page shows beside the scores of the release.
    """

    attack: Attack
    scores: dict[str, Judged]
    seed: int = 0
    shown: Mapping[str, Any] = field(default_factory=dict)

    def summary(self) -> dict[str, dict[str, float | int]]:
        """Value, interval and chance of each condition."""
        return {name: score.summary(self.seed) for name, score in self.scores.items()}

    def faults(self) -> list[str]:
        """Why the attack does not count: controls that did not do what they must; empty when all did."""
        found, margin, titles = self.summary(), self.attack.margin, titles_of(self.attack)
        faults = [
            f"it does not succeed on {titles[name]}"
            for name in ("plaintext", "broken")
            if found[name]["low"] <= found[name]["chance"] + margin
        ]
        null = found["permuted"]
        lowest = -float("inf") if getattr(self.attack, "below", "") else null["chance"] - margin
        if not lowest <= null["low"] <= null["high"] <= null["chance"] + margin:
            faults.append(f"{titles['permuted']} are not within its margin of chance")
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
    prepare = getattr(attack, "prepared", None)
    ready: Attack = prepare(scene) if prepare else attack
    scores, shown = {}, {}
    shared: list[Any] = []
    for name in conditions:
        draws = attack.permutations if name == "permuted" else 1
        found = []
        for draw in range(draws):
            made = controlled(ready, scene, name, seed + draw)
            if name in getattr(attack, "same_fit", ()):
                shared = shared or [ready.fit(made)]
                fitted = shared[0]
            else:
                fitted = ready.fit(made)
            found.append(ready.score(fitted, made))
        scores[name] = pooled(found)
        if name == "store":
            shown = exhibits(ready, fitted, made, scores[name], seed)
    return Outcome(attack, scores, seed, shown)
