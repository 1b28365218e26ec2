"""The part of the privacy page that is about choosing alpha, beta and stage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fesf.scripts.audit.frontier import RISKS, UTILITY, advice, cell, name
from fesf.scripts.audit.frontier_picture import LABELS
from fesf.scripts.audit.public_frontier import ALPHA, BETA, LIMITS
from fesf.scripts.data.text_page import table

PICTURE, TABLE = "frontier.png", "frontier.csv"
OWN = ("synthetic", "surrogate")
"""Stages of hide.json's own setting: without a generator and with one."""


def section(verdicts: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown.

    Args:
        verdicts: see :func:`fesf.scripts.audit.frontier.verdict`, by set.
    """
    if not verdicts:
        return "Not measured in this run."
    limits = " and ".join(f"{limit:g} for {LABELS[risk]}" for risk, limit in LIMITS.items())
    lines = [
        f"![AUC against what attacks get]({PICTURE})",
        "The AUC of the small CNN with other settings (`python -m fesf.scripts.tune`), against the nearest"
        " neighbour in a plaintext gallery of other studies, and ridge inversion with true pairs of all training"
        " patients. Settings are chosen on validation patients; the figures are those of test patients. Limits, upper"
        f" ends of the intervals, written down before: {limits}. The tables hold the Pareto set and what hide.json does"
        f" unasked (alpha {ALPHA:g}, beta {BETA:g}); all settings are in [{TABLE}]({TABLE}).",
    ]
    for title, found in verdicts.items():
        lines += [f"### {title}, settings", _table(found), advice(found) + _without(found), *_refused(found)]
    return "\n\n".join(lines)


def _table(found: Mapping[str, Any]) -> str:
    own = {name({"stage": stage, "alpha": ALPHA, "beta": BETA}) for stage in OWN}
    rows = [
        [name(row), "yes" if name(row) in found["pareto"] else "no", *_cells(row["test"])]
        for row in found["settings"]
        if name(row) in own or name(row) in found["pareto"]
    ]
    rows += [[corner, "", *_cells(found["corners"][corner])] for corner in ("plaintext", "chance")]
    return table(["setting", "Pareto set", "AUC", *(LABELS[risk] for risk in RISKS)], rows)


def _cells(found: Mapping[str, Any]) -> list[str]:
    return [cell(found[what]) for what in (UTILITY, *RISKS)]


def _without(found: Mapping[str, Any]) -> str:
    left = [LABELS[risk] for risk in LIMITS if risk not in found["limits"]]
    return f" Without a limit on what this set cannot measure: {', '.join(left)}." if left else ""


def _refused(found: Mapping[str, Any]) -> list[str]:
    return [f"Not published: {setting}. {reason}" for setting, reason in found["refused"].items()]
