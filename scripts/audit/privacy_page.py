"""The page on privacy: what each attack got from each set, beside its controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fesf.scripts.audit.details_table import details_table
from fesf.scripts.audit.frontier_page import section
from fesf.scripts.audit.public_audit import ARMS
from fesf.scripts.audit.short_table import measured, short_table, store_cell
from fesf.scripts.audit.threats import FINDINGS, HOLDS
from fesf.scripts.audit.words import interval
from fesf.scripts.data.text_page import table

TEMPLATE = Path(__file__).parents[1] / "templates" / "privacy.md"
CONTROLS = {"plaintext": "plaintexts", "broken": "broken scheme", "permuted": "nothing of the patient"}


def page(document: Mapping[str, Any]) -> str:
    """The page as Markdown.

    Args:
        document: what ``privacy.json`` holds.
    """
    sets = document["sets"]
    attacks = _attacks(sets)
    values: dict[str, Any] = {"command": document["command"], "commit": document["commit"]}
    values |= {name: document["machine"][name] for name in ("processor", "cores", "memory_gib")}
    values |= {"versions": ", ".join(f"{name} {version}" for name, version in document["software"].items())}
    values |= {"letters": "\n".join(f"- ({letter}) {text}" for letter, text in HOLDS.items())}
    values |= {"attacks": _attack_table(attacks)}
    values |= {"short": short_table(sets), "origins": _origins(document)}
    values |= {"frontier": section(document.get("frontier", {}))}
    values |= {"sets": "\n\n".join(_set(name, arms) for name, arms in sets.items())}
    return TEMPLATE.read_text(encoding="utf-8").format(**values)


def _origins(document: Mapping[str, Any]) -> str:
    """At which commits, and on which machines, the figures were computed that records hold."""
    audits = [audit for arms in document["sets"].values() for audit in arms.values()]
    swept = document.get("frontier", {}).values()
    found = {}
    for key in ("commit", "machine"):
        of_sweeps = {value for verdict in swept for value in verdict[f"{key}s"]}
        found[key] = sorted({audit[key] for audit in audits} | of_sweeps)
    commits = ", ".join(dict.fromkeys(commit[:7] for commit in found["commit"]))
    return f"Attacks were run at commits {commits} on {'; '.join(found['machine'])}."


def _attacks(sets: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Every attack once, findings in their order, with its settings."""
    found: dict[str, Mapping[str, Any]] = {}
    for arms in sets.values():
        for audit in arms.values():
            found |= {name: result for name, result in audit["results"].items() if name not in found}
    return dict(sorted(found.items(), key=lambda item: FINDINGS.index(item[1]["finding"])))


def _attack_table(attacks: Mapping[str, Mapping[str, Any]]) -> str:
    header = ["attack", "attacker holds", "risk", "what is measured", "broken scheme"]
    rows = [
        [name, ", ".join(attack["letters"]), attack["finding"], attack["measure"], attack["broken"]]
        for name, attack in attacks.items()
    ]
    return table(header, rows)


def _set(name: str, arms: Mapping[str, Any]) -> str:
    first = next(iter(arms.values()))
    size = " x ".join(map(str, first["size"]))
    passes = ", ".join(f"{ARMS[arm]}, alpha {audit['alpha']:g}, beta {audit['beta']:g}" for arm, audit in arms.items())
    lines = [
        f"### {name}",
        f"{size} pixels, {first['hosts']} images in the host pool; {_people(first, 'known')} known to an attacker with"
        f" true pairs, {_people(first, 'victims')} attacked. The pass that left the images in the store: {passes}.",
    ]
    names = [attack for attack in _attacks({name: arms}) if any(measured(audit, attack) for audit in arms.values())]
    header = ["attack", "chance", *CONTROLS.values(), *(f"**{ARMS[arm]}**" for arm in arms), "seconds"]
    rows = [[attack, *_cells(arms, attack)] for attack in names]
    lines += [table(header, rows), *filter(None, [details_table(arms)])]
    silent = [
        (audit["results"][attack]["verdict"], f"{attack} ({ARMS[arm]})" if attack in names else attack)
        for attack in _attacks({name: arms})
        for arm, audit in arms.items()
        if not measured(audit, attack)
    ]
    if silent:
        lines.append("What this set does not say:\n\n" + _by_reason(silent))
    faults = [
        (result["verdict"], f"{attack} ({ARMS[arm]})")
        for arm, audit in arms.items()
        for attack, result in audit["results"].items()
        if result["faults"] and result["conditions"]
    ]
    if faults:
        lines.append("What does not count (in brackets above):\n\n" + _by_reason(faults))
    return "\n\n".join(lines)


def _by_reason(found: Sequence[tuple[str, str]]) -> str:
    """A line for each reason with all that it holds for."""
    reasons: dict[str, list[str]] = {}
    for reason, what in found:
        reasons.setdefault(reason, []).append(what)
    return "\n".join(f"- {', '.join(dict.fromkeys(names))}: {reason}" for reason, names in reasons.items())


def _people(audit: Mapping[str, Any], part: str) -> str:
    return f"{audit[part]['images']} images of {audit[part]['patients']} patients"


def _cells(arms: Mapping[str, Any], attack: str) -> list[str]:
    """Chance and controls as they were for the first arm (the others' are in the JSON), then each arm."""
    shown = next(audit["results"][attack] for audit in arms.values() if measured(audit, attack))
    cells = [f"{shown['conditions']['store']['chance']:.2f}"]
    cells += [interval(shown["conditions"][name]) for name in CONTROLS]
    cells += [store_cell(audit, attack) for audit in arms.values()]
    return [*cells, f"{sum(audit['results'][attack].get('seconds', 0.0) for audit in arms.values()):.0f}"]
