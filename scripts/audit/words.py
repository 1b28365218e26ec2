"""What the audit's page says in words: the risks, what was not tried, and what the page does not prove."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fesf.scripts.audit.threats import HOLDS

RISKS = {
    "singling out": "Can a record in the store be picked out as one person's?",
    "linkability": "Can two records of one person be found to belong together?",
    "inference": "Can something of a person be worked out from their record?",
}
"""The three questions of the Article 29 Working Party's Opinion 05/2014 on anonymisation techniques, in our words."""

NOT_TRIED = (
    "Attackers with more pairs than the training patients of this release, or with more than hours of computing time.",
    "Large generative models that know what images of this kind look like.",
    "Several attacks put together, or a store put together with other data on the same persons.",
)
NOT_PROVED = (
    "An attack that failed shows that this attack failed on these images. It does not show that none succeeds.",
    "One release, one host, one division into known patients and victims: intervals show the spread over patients, not"
    " over cohorts, hosts or trainings. With few patients they are wide.",
    "The recipe is taken as known to the attacker unless an attack says otherwise: keeping it back is no security.",
    "An attack counts only when its controls worked. That a control worked shows that the attack can work, not that it"
    " is the best one.",
    "Limits are the hospital's choice. To be within them is no finding that surrogates are anonymous, and none in law.",
)


def number(value: float) -> str:
    """A score or bound: two decimals, three near zero."""
    return f"{value:.3f}" if 0.0005 <= abs(value) < 0.095 else f"{value + 0.0:.2f}".replace("-0.00", "0.00")


def interval(found: Mapping[str, float]) -> str:
    """A value with its interval.

    >>> interval({"value": 0.5, "low": 0.25, "high": 0.751})
    '0.50 [0.25, 0.75]'
    """
    return f"{found['value']:.2f} [{found['low']:.2f}, {found['high']:.2f}]"


def title(name: str) -> str:
    """How the page heads an attack: the name that limits use, as words."""
    return name.replace("_", " ").capitalize()


def same_image_words(result: Mapping[str, Any] | None) -> str:
    """The finding on the same image, for the first screen."""
    if result is None or not result["conditions"]:
        return "Whether somebody who holds a patient's own image finds it in the store was not measured."
    if result["faults"]:
        return "Whether somebody who holds a patient's own image finds it in the store is not known: a control failed."
    found = result["conditions"]["store"]
    share, low, high = (f"{100 * found[key]:.0f}" for key in ("value", "low", "high"))
    return (
        f"Somebody who holds the very image that was hidden finds its surrogate in the store in {share} of 100 cases"
        f" (95 % interval {low} to {high}; guessing: {100 * found['chance']:.1f}), without knowing host, alpha or beta:"
        " they learn that this patient is in the store, and which file is theirs, with its label."
    )


def linked_words(result: Mapping[str, Any]) -> str:
    """How many patients an attack links with confidence."""
    found = result["linked"]
    if found["margin"] is None:
        return (
            f"None of {found['patients']}: no margin over the second candidate made 95 % of claims on"
            f" {found['known_claims']} known patients right."
        )
    interval = f"{number(found['low'])} to {number(found['high'])}"
    rightly = f"{found['right']} of {found['patients']} patients rightly"
    return f"{rightly} (95 % interval of the share {interval}), {found['wrong']} wrongly."


def risk_words(results: Mapping[str, Mapping[str, Any]]) -> str:
    """The answer to one of the risks' questions, from the attacks that belong to it."""
    counted = [result for result in results.values() if not result["faults"]]
    if not counted:
        return "Not answered: no attack on it counts."
    beaten = sum(result["verdict"] == "succeeds" for result in counted)
    if beaten:
        return f"Yes: {beaten} of {len(counted)} attacks that count succeed."
    return f"Not by these: none of {len(counted)} attacks that count succeeds."


def untried(results: Mapping[str, Mapping[str, Any]], left_out: list[str]) -> list[str]:
    """What was not tried: attackers without an attack that counts, attacks left out or that could not be judged."""
    used = {letter for result in results.values() if not result["faults"] for letter in result["letters"]}
    lines = [f"Nobody attacked who holds {words} ({letter})." for letter, words in HOLDS.items() if letter not in used]
    if left_out:
        lines.append(f"Left out by --quick: {', '.join(map(title, left_out))}.")
    lines += [f"{title(name)}: {found['verdict']}." for name, found in results.items() if found["faults"]]
    return [*lines, *NOT_TRIED]
