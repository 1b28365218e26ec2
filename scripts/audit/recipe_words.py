"""What the audit's page says of the recipe that was read from the store, and of how hosts were chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fesf.scripts.audit.words import number

HOST_RECOVERY = "host_recovery"
UNLIKELY = 0.05
"""Below this P value, which also grows with many tests, the host is said to go with something."""
GROUPS = {"patient": "patient", "label": "label", "split": "split (known or attacked)"}


def recipe_words(results: Mapping[str, Mapping[str, Any]], facts: Mapping[str, Any]) -> dict[str, str]:
    """Term and finding, in the page's order; empty where nobody tried to read the recipe.

    Args:
        results: by the attacks' names.
        facts: alpha, beta and stage of the release.
    """
    found = results.get(HOST_RECOVERY, {}).get("conditions", {}).get("store", {}).get("details")
    if not found:
        return {}
    off = int(found["alpha_bins_off"])
    lines = {
        "Host": f"The store's mean image names {'the right' if found['named_of_the_average'] else 'a wrong'} host.",
        "Alpha": f"Read {number(found['alpha'])}, true {number(facts['alpha'])}: {off or 'no'} frequencies off.",
    }
    if facts["stage"] == "synthetic":
        lines |= {
            "Beta by the smallest ratio": _share(found, "beta", facts),
            "Beta by regression": _share(found, "beta_by_regression", facts),
        }
    else:
        lines["Beta"] = "Not read: a generator's image, which nobody outside has, hid these images last."
    return lines | {f"Host and {name}": _independence(found, group) for group, name in GROUPS.items()} | _asked(results)


def _share(found: Mapping[str, float], name: str, facts: Mapping[str, Any]) -> str:
    error = found.get(f"{name}_relative_error")
    off = "" if error is None else f": {100 * error:.0f} % off"
    return f"Read {number(found[name])}, true {number(facts['beta'])}{off}."


def _independence(found: Mapping[str, float], group: str) -> str:
    """Whether the host goes with a group, by a permutation test of Pearson's statistic."""
    if found["hosts"] == 1:
        return "One host hides all: it was not chosen by this."
    p = found[f"p_host_says_nothing_of_{group}"]
    verdict = "The host goes with it" if p < UNLIKELY else "No sign that the host goes with it"
    return f"{verdict} ({found['hosts']:.0f} hosts, P = {p:.3f})."


def _asked(results: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """What answers of the gateway say, by how many were asked for."""
    lines = {}
    for result in results.values():
        found = result.get("conditions", {}).get("store", {}).get("details", {})
        if "queries" not in result or "alpha_bins_off" not in found:
            continue
        count = "the whole public pool" if result["queries"] is None else f"{result['queries']} images"
        off = int(found["alpha_bins_off"])
        error = found.get("host_relative_error")
        host = (
            "misread, it leaves nothing for what hides"
            if error is None
            else f"the amplitude of what hides, {100 * error:.1f} % off the public host's"
        )
        lines[f"By sending {count} to the gateway"] = (
            f"Alpha {off or 'no'} frequencies off; the plaintext's share {number(found['beta'])}; {host}."
        )
    return lines
