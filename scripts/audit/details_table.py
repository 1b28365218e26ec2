"""What the scores of the privacy page leave out: patients linked with confidence, members named, diagnoses read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fesf.scripts.audit.public_audit import ARMS
from fesf.scripts.audit.short_table import measured
from fesf.scripts.data.text_page import table

Result = Mapping[str, Any]


def details_table(arms: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown: a row for each such finding of an attack, a column a store; nothing where there is none.

    Args:
        arms: audits of one set, as in ``privacy.json``.
    """
    rows = []
    for what, words in DETAILS.items():
        for attack in dict.fromkeys(name for audit in arms.values() for name in audit["results"]):
            cells = [words(audit["results"][attack]) if measured(audit, attack) else "" for audit in arms.values()]
            if any(cells):
                rows.append([what, attack, *cells])
    return table(["", "attack", *(ARMS[arm] for arm in arms)], rows) if rows else ""


def _linked(result: Result) -> str:
    found = result.get("linked")
    return f"{found['right']} of {found['patients']} rightly, {found['wrong']} wrongly" if found else ""


def _members(result: Result) -> str:
    found = _details(result)
    if "tpr_at_0_false" not in found:
        return ""
    value, low, high = (found[f"tpr_at_0_false{end}"] for end in ("", "_low", "_high"))
    return f"{value:.2f} [{low:.2f}, {high:.2f}] of {found['members']:.0f}"


def _diagnosis(result: Result) -> str:
    found = _details(result)
    if "auc_reconstruction" not in found:
        return ""
    return (
        f"{found['auc_reconstruction']:.2f} (plaintexts {found['auc_plaintext']:.2f},"
        f" surrogates {found['auc_surrogate']:.2f})"
    )


def _adjusted(result: Result) -> str:
    found = _details(result)
    return f"{found['gain_over_adjusted_mean']:.2f}" if "gain_over_adjusted_mean" in found else ""


def _details(result: Result) -> Mapping[str, float]:
    found: Mapping[str, float] = result["conditions"]["store"].get("details", {})
    return found


DETAILS: dict[str, Callable[[Result], str]] = {
    "patients linked with confidence": _linked,
    "members named without a false one (share)": _members,
    "gain over the mean image with the victim's own mean and deviation, dB": _adjusted,
    "diagnosis read from the reconstruction by a classifier of plaintexts (AUC)": _diagnosis,
}
