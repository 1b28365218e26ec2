"""``frontier.png``: utility against what attacks get, on test patients."""

from __future__ import annotations

import io
import itertools
from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fesf.scripts.audit.frontier import RISKS, UTILITY, name
from fesf.scripts.data.pictures import clean_axes

LABELS = {"reidentification": "re-identification: rank-1", "inversion": "inversion: gain over the mean image, dB"}
MARKERS = {"synthetic": "o", "enhanced": "s", "surrogate": "^"}
PLACES = ((8, 6), (8, -12), (-44, 6), (-44, -12))
"""Where labels stand about their markers, in points, in turn: settings that differ in beta alone lie close together."""
INK, SOFT = "#111827", "#6b7280"


def draw_frontier(verdicts: Mapping[str, Mapping[str, Any]]) -> bytes:
    """A row for each set and a panel for each risk as PNG: filled markers are the Pareto set, a ring is recommended.

    Args:
        verdicts: see :func:`fesf.scripts.audit.frontier.verdict`, by set.
    """
    figure = Figure(figsize=(11, 4.8 * len(verdicts)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = iter(clean_axes(figure, len(RISKS), len(verdicts)))
    for title, found in verdicts.items():
        for risk in RISKS:
            axes = next(panels)
            _draw_panel(axes, found, risk)
            axes.set(title=title, xlabel="AUC of the small CNN on test patients", ylabel=LABELS[risk])
    stages = ", ".join(
        f"{marker} {stage}" for stage, marker in zip(("circle", "square", "triangle"), MARKERS, strict=True)
    )
    figure.suptitle(
        f"{stages}; the larger, the larger alpha; filled, with alpha/beta: Pareto set (validation); ring: recommended",
        fontsize=9,
    )
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def _draw_panel(axes: Axes, found: Mapping[str, Any], risk: str) -> None:
    measured = [row for row in found["settings"] if row["test"][risk]]
    if not measured:
        axes.text(0.5, 0.5, "this set cannot measure it", transform=axes.transAxes, ha="center", color=SOFT)
        return
    alphas, places = sorted({row["alpha"] for row in found["settings"]}), itertools.cycle(PLACES)
    for row in measured:
        x, result, chosen = row["test"][UTILITY]["value"], row["test"][risk], name(row) in found["pareto"]
        y, face = result["value"], INK if chosen else "white"
        axes.plot([x, x], [result["low"], result["high"]], color=SOFT, linewidth=0.8)
        size = 4 + 2 * alphas.index(row["alpha"])
        axes.plot([x], [y], MARKERS[row["stage"]], markersize=size, color=INK, markerfacecolor=face)
        if chosen:
            text = f"{row['alpha']:g}/{row['beta']:g}"
            axes.annotate(text, (x, y), next(places), textcoords="offset points", fontsize=8)
        if name(row) == found["recommended"]:
            axes.plot([x], [y], "o", markersize=20, markerfacecolor="none", markeredgecolor=INK)
    for corner, marker in (("plaintext", "*"), ("chance", "X")):
        at = found["corners"][corner]
        x, y = at[UTILITY]["value"], at[risk]["value"]
        axes.plot([x], [y], marker, color=INK, markersize=10)
        axes.annotate(corner, (x, y), (7, -9), textcoords="offset points", fontsize=9)
    if risk in found["limits"]:
        limit = found["limits"][risk]
        axes.axhline(limit, color=SOFT, linestyle="--")
        axes.annotate("limit", (0.01, limit), xycoords=("axes fraction", "data"), fontsize=8, va="bottom")
