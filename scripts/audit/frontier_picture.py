"""``frontier.png``: utility against what attacks get, on test patients."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fesf.scripts.audit.frontier import RISKS, UTILITY, name
from fesf.scripts.data.pictures import clean_axes

LABELS = {"reidentification": "re-identification: rank-1", "inversion": "inversion: gain over the mean image, dB"}
MARKERS = {"synthetic": "o", "enhanced": "s", "surrogate": "^"}
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
        f"alpha/beta at each marker; {stages}; filled: Pareto set (validation); ring: recommended", fontsize=9
    )
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def _draw_panel(axes: Axes, found: Mapping[str, Any], risk: str) -> None:
    measured = [row for row in found["settings"] if row["test"][risk]]
    if not measured:
        axes.text(0.5, 0.5, "this set cannot measure it", transform=axes.transAxes, ha="center", color=SOFT)
        return
    for row in measured:
        x, result = row["test"][UTILITY]["value"], row["test"][risk]
        y, face = result["value"], INK if name(row) in found["pareto"] else "white"
        axes.plot([x, x], [result["low"], result["high"]], color=SOFT, linewidth=0.8)
        axes.plot([x], [y], MARKERS[row["stage"]], color=INK, markerfacecolor=face)
        axes.annotate(f"{row['alpha']:g}/{row['beta']:g}", (x, y), (8, 4), textcoords="offset points", fontsize=7)
        if name(row) == found["recommended"]:
            axes.plot([x], [y], "o", markersize=16, markerfacecolor="none", markeredgecolor=INK)
    for corner, marker in (("plaintext", "*"), ("chance", "X")):
        at = found["corners"][corner]
        x, y = at[UTILITY]["value"], at[risk]["value"]
        axes.plot([x], [y], marker, color=INK, markersize=10)
        axes.annotate(corner, (x, y), (7, -9), textcoords="offset points", fontsize=9)
    if risk in found["limits"]:
        limit = found["limits"][risk]
        axes.axhline(limit, color=SOFT, linestyle="--")
        axes.annotate("limit", (0.01, limit), xycoords=("axes fraction", "data"), fontsize=8, va="bottom")
