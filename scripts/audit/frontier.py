"""Choosing a setting by evidence: the Pareto set of utility and risk, and the best setting within limits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fesf.scripts.audit.words import interval
from fesf.scripts.data.files import to_csv

RISKS = ("reidentification", "inversion")
"""What attacks get: rank-1 of the nearest neighbour in a plaintext gallery; ridge's gain over the mean image, dB."""
UTILITY = "auc"
Row = Mapping[str, Any]


def name(row: Row) -> str:
    """A setting in words."""
    return f"{row['stage']}, alpha {row['alpha']:g}, beta {row['beta']:g}"


def costs(row: Row, part: str) -> tuple[float, ...]:
    """Utility lost and risks taken, less is better; a risk that cannot be measured counts as none."""
    found = row[part]
    return (-found[UTILITY]["value"], *(found[risk]["value"] if found[risk] else 0.0 for risk in RISKS))


def pareto(rows: Sequence[Row], part: str = "validation") -> list[int]:
    """Positions of the settings that no other one beats: at least as good in everything, and better in something."""
    points = [costs(row, part) for row in rows]

    def beaten(point: tuple[float, ...]) -> bool:
        return any(
            other != point and all(mine >= theirs for mine, theirs in zip(point, other, strict=True))
            for other in points
        )

    return [position for position, point in enumerate(points) if not beaten(point)]


def within(row: Row, limits: Mapping[str, float], part: str) -> bool:
    """Whether the upper ends of a setting's intervals hold the limits; a risk that was not measured holds none."""
    return all(row[part][risk] is not None and row[part][risk]["high"] <= limit for risk, limit in limits.items())


def recommend(rows: Sequence[Row], limits: Mapping[str, float]) -> int | None:
    """The setting with the best utility on validation patients among those that hold the limits there.

    Of equal ones that with the least re-identification.

    Args:
        rows: settings with ``validation`` and ``test``.
        limits: by the names of :data:`RISKS`; without any, nothing is recommended.

    Returns:
        Its position; None when none holds the limits.
    """
    fits = [position for position, row in enumerate(rows) if limits and within(row, limits, "validation")]
    return min(fits, key=lambda position: costs(rows[position], "validation"), default=None)


def corners(rows: Sequence[Row], plaintext_utility: Mapping[str, Any]) -> dict[str, Any]:
    """Where plaintexts and chance lie, on test patients: the attacks' strongest result, since their band differs."""
    found: dict[str, Any] = {"plaintext": {UTILITY: plaintext_utility}, "chance": {UTILITY: {"value": 0.5}}}
    for risk in RISKS:
        measured = [row["plaintext"][risk] for row in rows if row["plaintext"][risk]]
        best = max(measured, key=lambda result: result["value"], default=None)
        found["plaintext"][risk] = best
        found["chance"][risk] = {"value": best["chance"]} if best else None
    return found


def verdict(rows: Sequence[Row], plaintext_utility: Mapping[str, Any], limits: Mapping[str, float]) -> dict[str, Any]:
    """What is kept of a sweep: its settings, where plaintexts and chance lie, the Pareto set, and what to take.

    Args:
        rows: settings with ``validation``, ``test`` and the attacks' results on ``plaintext``; or ``refused``, why
            nothing was published.
        plaintext_utility: of the network trained on plaintexts, on test patients.
        limits: see :func:`recommend`.
    """
    refused = {name(row): row["refused"] for row in rows if "refused" in row}
    rows = [row for row in rows if "refused" not in row]
    chosen = recommend(rows, limits)
    return {
        "limits": dict(limits),
        "corners": corners(rows, plaintext_utility),
        "settings": [{key: row[key] for key in ("stage", "alpha", "beta", "validation", "test")} for row in rows],
        "refused": refused,
        "pareto": [name(rows[position]) for position in pareto(rows)],
        "recommended": None if chosen is None else name(rows[chosen]),
        "holds_on_test": None if chosen is None else within(rows[chosen], limits, "test"),
    }


def advice(found: Mapping[str, Any]) -> str:
    """What to take, in a sentence."""
    if found["recommended"] is None:
        return "No setting holds the limits on validation patients."
    held = "holds" if found["holds_on_test"] else "does NOT hold"
    return f"Recommended: {found['recommended']}; on test patients it {held} the limits."


def cell(result: Mapping[str, float] | None) -> str:
    """A result with its interval where it has one."""
    if not result:
        return "not measured"
    return interval(result) if "low" in result else f"{result['value']:.2f}"


def table(verdicts: Mapping[str, Mapping[str, Any]]) -> bytes:
    """The content of ``frontier.csv``: a line a setting.

    Args:
        verdicts: see :func:`verdict`, by set; one without a name has no column "set".
    """
    parts = [
        (part, what, key)
        for part in ("validation", "test")
        for what in (UTILITY, *RISKS)
        for key in ("value", "low", "high")
    ]
    lines: list[dict[str, Any]] = []
    for title, found in verdicts.items():
        for row in found["settings"]:
            line = {"set": title, **{key: row[key] for key in ("stage", "alpha", "beta")}}
            line |= {"pareto": int(name(row) in found["pareto"]), "recommended": int(name(row) == found["recommended"])}
            for part, what, key in parts:
                value = (row[part][what] or {}).get(key)
                line[f"{part}_{what}_{key}"] = "" if value is None or not math.isfinite(value) else f"{value:.4f}"
            lines.append(line)
    columns = ["set"] if any(verdicts) else []
    columns += ["stage", "alpha", "beta", "pareto", "recommended", *("_".join(part) for part in parts)]
    return to_csv(columns, ({column: line[column] for column in columns} for line in lines))
