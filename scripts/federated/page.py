"""The page of a comparison: what was trained on what, and each arm on each hospital's test images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fesf.scripts.federated.summary import LEAST_DEFINED, SHOWN, Figure

REFERENCE = "federated"
TITLES = {"auc": "AUC", "accuracy": "accuracy"}


def cell(figure: Figure, signed: bool = False) -> str:
    """A figure as text: mean ± standard deviation over runs, and the mean's interval.

    >>> cell({"value": 0.8, "sd": 0.05, "low": 0.7, "high": 0.875, "runs": 3})
    '0.800 ± 0.050 [0.700, 0.875]'
    >>> cell({"value": 0.8, "sd": None, "low": -0.1, "high": 0.9, "runs": 1}, signed=True)
    '+0.800 [-0.100, +0.900]'
    >>> cell({"value": None, "sd": None, "low": None, "high": None, "runs": 0})
    '-'
    """
    if figure["value"] is None:
        return "-"
    form = "{:+.3f}" if signed else "{:.3f}"
    text = form.format(figure["value"])
    if figure["sd"] is not None and not signed:
        text += f" ± {figure['sd']:.3f}"
    if figure["low"] is not None:
        text += f" [{form.format(figure['low'])}, {form.format(figure['high'])}]"
    return text


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def verdict(
    tested: str, differences: Mapping[str, Mapping[str, Figure]], above: Mapping[str, tuple[int, int]]
) -> list[str]:
    """What came out, in one sentence for each comparison, from the interval of the difference of AUC.

    Args:
        tested: on which images.
        differences: by other arm and metric, the federated network's figure less the other's.
        above: by other arm, in how many runs the federated network's AUC is the higher one, and of how many.
    """
    lines = []
    for arm, metrics in differences.items():
        figure = metrics["auc"]
        if figure["low"] is None or figure["high"] is None:
            continue
        if figure["low"] > 0:
            said = "better than"
        elif figure["high"] < 0:
            said = "worse than"
        else:
            said = "not told apart from"
        lines.append(
            f"- {tested}: federated is {said} {arm} (AUC {cell(figure, signed=True)}"
            f"; above it in {above[arm][0]} of {above[arm][1]} runs)."
        )
    return lines


def where(part: str) -> str:
    """Words for a part of the test images."""
    return "test images of both hospitals" if part == "both" else f"test images of {part}"


def write_page(document: Mapping[str, Any]) -> bytes:
    """``federated_results.md``.

    Args:
        document: what ``federated_results.json`` holds: provenance, settings and the sets.
    """
    software = ", ".join(f"{name} {version}" for name, version in document["software"].items())
    settings = document["settings"]
    recipes = " and ".join(f"alpha {one['alpha']}, beta {one['beta']}" for one in settings["recipes"])
    total = settings["rounds"] * settings["local_epochs"]
    sets = document["sets"]
    said = [
        line
        for name, one in sets.items()
        for part, found in one["parts"].items()
        for line in verdict(f"`{name}`, {where(part)}", found["differences"], _above(one["runs"], part))
    ]
    lines = [
        "# Two hospitals, one network",
        "",
        f"Written by `{document['command']}` at commit {document['commit']} on {document['machine']['processor']}, "
        f"{document['machine']['cores']} cores; {software}. How, and what it does not show:"
        " [federated.md](federated.md).",
        "",
        f"Each set's patients are divided between two hospitals, {settings['share']:g} to the first, alike in labels"
        f" and splits. Recipes: {recipes}; each has its own hosts and secret and hides once (IHM, no generator). The"
        f" small CNN of `train.json` from the same first weights: *federated* {settings['rounds']} rounds of"
        f" {settings['local_epochs']} local epochs, FedAvg; *pooled* {total} epochs on both stores; *alone* {total}"
        " epochs on one. Last weights, most probable class: no epoch, round or threshold is chosen. Mean ± standard"
        " deviation over runs, and a 95 % bootstrap interval of the mean that draws patients; it says nothing of what"
        " another training would give. Draws without an image of a class are left out of AUC's; no interval where fewer"
        f" than {LEAST_DEFINED:.0%} remain.",
        "",
        "## What came out",
        "",
        *said,
    ]  # fmt: skip
    for name, one in sets.items():
        lines += ["", f"## {name}", "", _tested(one), ""]
        for part, found in one["parts"].items():
            rows = [[arm, *(cell(metrics[metric]) for metric in SHOWN)] for arm, metrics in found["arms"].items()]
            lines += [f"On {where(part)}:", "", *table(["trained", *(TITLES[metric] for metric in SHOWN)], rows), ""]
            rows = [
                [f"federated less {arm}", *(cell(metrics[metric], signed=True) for metric in SHOWN)]
                for arm, metrics in found["differences"].items()
            ]
            lines += [*table(["difference", *(TITLES[metric] for metric in SHOWN)], rows), ""]
        lines.pop()
    return "\n".join([*lines, ""]).encode()


def _above(runs: Sequence[Mapping[str, Any]], part: str) -> dict[str, tuple[int, int]]:
    """By arm, in how many runs the first arm's AUC is above its own, and in how many both are defined."""
    found = {}
    for arm in runs[0]["arms"]:
        pairs = [(run["arms"][REFERENCE][part]["auc"], run["arms"][arm][part]["auc"]) for run in runs]
        known = [(own, other) for own, other in pairs if own is not None and other is not None]
        found[arm] = sum(own > other for own, other in known), len(known)
    return found


def _tested(one: Mapping[str, Any]) -> str:
    runs = one["runs"]
    tested = [run["tested"]["both"] for run in runs]
    images = [run["images"] for run in runs]
    trained = "; ".join(
        f"{site} trains on {min(run[site]['training'] for run in images)} to "
        f"{max(run[site]['training'] for run in images)} images"
        for site in images[0]
    )
    return (
        f"{len(runs)} {one['unit']}, {sum(test['images'] for test in tested)} tested images of "
        f"{sum(test['patients'] for test in tested)} patients; {trained}."
    )
