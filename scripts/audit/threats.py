"""Threat models: what an attacker holds, by the letters that every attack and the audit's page name."""

from __future__ import annotations

HOLDS = {
    "a": "the store only",
    "b": "the store and the public host pool",
    "c": "alpha, beta and the exact host, and so any number of pairs that they make from public images",
    "d": "true pairs of plaintext and surrogate, of patients other than the victims",
    "e": "a plaintext gallery of other images of known persons",
    "e'": "the victim's same image: a patient's own copy, an insider's, a public set",
    "f": "the trained classifier",
    "g": "the gateway as an oracle: plaintexts of their choice",
    "h": "the generator's weights, stolen from the hospital",
}
"""Without another word the recipe (alpha, beta, stage) is assumed known: keeping it back is care, not security."""

FINDINGS = ("singling out", "linkability", "inference")
"""The risks to which a finding belongs: Article 29 Working Party, Opinion 05/2014 on anonymisation techniques."""


def describe(letters: tuple[str, ...]) -> str:
    """What an attacker with these letters holds.

    >>> describe(("a", "e'"))
    "the store only; the victim's same image: a patient's own copy, an insider's, a public set"

    Raises:
        ValueError: at a letter that is none.
    """
    unknown = [letter for letter in letters if letter not in HOLDS]
    if unknown or not letters:
        raise ValueError(f"letters={letters!r}: name one or more of {', '.join(HOLDS)}.")
    return "; ".join(HOLDS[letter] for letter in letters)
