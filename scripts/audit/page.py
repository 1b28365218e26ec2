"""The audit's page, ``index.html``: one file without outside resources. It shows plaintexts and stays at home."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from fesf.scripts.audit import words
from fesf.scripts.audit.attack import CONDITIONS
from fesf.scripts.audit.charts import draw_gains, draw_overview, draw_rocs
from fesf.scripts.audit.recipe_words import recipe_words
from fesf.scripts.data.audit import breach, limit_words
from fesf.scripts.data.files import write_atomic
from fesf.scripts.data.pictures import embed

Results = Mapping[str, Mapping[str, Any]]
HEADS = {
    "plaintext": "Plaintexts (must succeed)",
    "broken": "Broken scheme (must succeed)",
    "permuted": "Nothing of the patient (must fail)",
    "store": "This store",
}
KINDS = ("truth", "surrogate", "reconstruction", "mean")
SAME_IMAGE = "same_image"


def write_page(out: str | Path, results: Results, document: Mapping[str, Any], facts: Mapping[str, Any]) -> Path:
    """Write ``index.html`` (0600) beside the attacks that :func:`fesf.scripts.audit.run.run_audit` kept.

    Args:
        out: the audit's folder.
        results: by the attacks' names.
        document: what ``audit.json`` holds.
        facts: see :meth:`fesf.scripts.audit.audit.Audit.facts`.
    """
    page = Path(out) / "index.html"
    write_atomic(page, render(context(results, document, facts, read_pictures(out, results))).encode())
    return page


def read_pictures(out: str | Path, results: Results) -> dict[str, list[dict[str, Any]]]:
    """The kept reconstructions of each attack that has some."""
    kept = {name: json.loads((Path(out) / "attacks" / f"{name}.json").read_bytes()) for name in results}
    return {name: found["pictures"] for name, found in kept.items() if found.get("pictures")}


def context(
    results: Results,
    document: Mapping[str, Any],
    facts: Mapping[str, Any],
    pictures: Mapping[str, list[dict[str, Any]]],
) -> dict[str, Any]:
    """Everything that the page shows."""
    limits = document["limits"]
    past = {name: breach(name, limit, document["results"].get(name)) for name, limit in limits.items()}
    by_risk = {
        risk: {name: found for name, found in results.items() if found["finding"] == risk} for risk in words.RISKS
    }
    return {
        "facts": facts,
        "store": document["store"],
        "limits_sha256": document["limits_sha256"],
        "limits": {name: limit_words(limit) for name, limit in limits.items()},
        "past": {name: fault for name, fault in past.items() if fault},
        "same_image": words.same_image_words(results.get(SAME_IMAGE)),
        "linked": {name: words.linked_words(found) for name, found in results.items() if "linked" in found},
        "risks": {
            risk: {"question": words.RISKS[risk], "answer": words.risk_words(found), "attacks": found}
            for risk, found in by_risk.items()
            if found
        },
        "recipe": recipe_words(results, facts),
        "rows": {name: row(found) for name, found in results.items()},
        "heads": HEADS,
        "pictures": pictures,
        "kinds": KINDS,
        "charts": charts(results),
        "untried": words.untried(results, facts["left_out"]),
        "not_proved": words.NOT_PROVED,
        "seconds": sum(found.get("seconds", 0) for found in results.values()),
        "results": results,
    }


def row(result: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """The cells of an attack: value and interval of each condition, what is shown where it is not the usual."""
    conditions = result["conditions"]
    own = {"broken": result["broken"]} | dict(result.get("titles", {}))
    return {
        name: {
            "value": words.number(conditions[name]["value"]),
            "interval": f"[{words.number(conditions[name]['low'])}, {words.number(conditions[name]['high'])}]",
            "title": own.get(name, ""),
        }
        for name in CONDITIONS
        if name in conditions
    }


def charts(results: Results) -> dict[str, str]:
    """Charts as data URIs, those for which there is something to draw."""
    drawn = {}
    if any(result["conditions"] for result in results.values()):
        drawn["overview"] = draw_overview(results)
    curves = gain_curves(results)
    if curves:
        drawn["gains"] = draw_gains(curves, "PSNR over the mean image, dB")
    rocs = {words.title(name): result["roc"] for name, result in results.items() if "roc" in result}
    if rocs:
        drawn["roc"] = draw_rocs(rocs)
    return {name: embed(content, "svg+xml") for name, content in drawn.items()}


def gain_curves(results: Results) -> dict[str, list[tuple[int, Mapping[str, Any]]]]:
    """Attacks that differ only in ``pairs``, as (pairs, what they got from the store); all known pairs where None."""
    groups: dict[str, list[tuple[str, int, Mapping[str, Any]]]] = {}
    outcome = {"pairs", "verdict", "faults", "conditions", "known", "seconds", "linked", "roc"}
    for name, result in results.items():
        if "pairs" not in result or not result["conditions"]:
            continue
        same = json.dumps({key: value for key, value in result.items() if key not in outcome}, sort_keys=True)
        pairs = result["known"] if result["pairs"] is None else min(result["pairs"], result["known"])
        groups.setdefault(same, []).append((name, pairs, result["conditions"]["store"]))
    curves = {}
    for group in groups.values():
        points = sorted(((pairs, found) for _, pairs, found in group), key=lambda point: point[0])
        if len({pairs for pairs, _ in points}) > 1:
            curves[words.title(min((name for name, _, _ in group), key=len))] = points
    return curves


def render(values: Mapping[str, Any]) -> str:
    """The page as HTML; every value is escaped."""
    loader = FileSystemLoader(Path(__file__).parents[1] / "templates")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.lstrip_blocks = True
    environment.filters |= {"title": words.title, "number": words.number}
    return environment.get_template("audit.html").render(values)
