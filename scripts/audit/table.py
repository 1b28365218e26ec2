"""The results of an audit as text: one attack a block, the release beside its controls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TITLES = {
    "plaintext": "plaintexts (must succeed)",
    "broken": "{broken} (must succeed)",
    "permuted": "nothing of the patient (must fail)",
    "store": "THIS STORE",
}
MUST = {"plaintext": "(must succeed)", "broken": "(must succeed)", "permuted": "(must fail)"}
"""For attacks with controls of their own, which say in ``titles`` what they show."""


def format_results(results: Mapping[str, Mapping[str, Any]]) -> str:
    """What ``measure`` gave, by name, as lines of at most 120 characters for the terminal."""
    lines = []
    for name, result in results.items():
        lines += ["", f"{name}: {result['verdict']}", f"  who: {result['holds']}", f"  what: {result['measure']}"]
        for condition, found in result["conditions"].items():
            own = result.get("titles", {}).get(condition)
            title = f"{own} {MUST[condition]}" if own else TITLES[condition].format(broken=result["broken"])
            lines.append(
                f"  {title:<36} {found['value']:7.3f} [{found['low']:.3f}, {found['high']:.3f}]"
                f"   chance {found['chance']:.3f}"
            )
    counted = [result for result in results.values() if not result["faults"]]
    lines += ["", f"{len(counted)} of {len(results)} attacks count. One that failed shows that it failed, no more."]
    return "\n".join(lines).lstrip("\n")
