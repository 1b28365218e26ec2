"""``frontier.png``: utility against what attacks get, on test patients."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fesf.scripts.audit.frontier import RISKS, UTILITY, Row, pareto
from fesf.scripts.data.pictures import clean_axes

LABELS = {"reidentification": "re-identification: rank-1", "inversion": "inversion: gain over the mean image, dB"}
MARKERS = {"synthetic": "o", "enhanced": "s", "surrogate": "^"}
INK, SOFT = "#111827", "#6b7280"


def draw_frontier(
    rows: Sequence[Row], corners: Mapping[str, Any], chosen: int | None, limits: Mapping[str, float]
) -> bytes:
    """A panel for each risk as PNG: filled markers are the Pareto set, a ring is the recommended setting.

    Args:
        rows: settings.
        corners: see :func:`fesf.scripts.audit.frontier.corners`.
        chosen: position of the recommended setting.
        limits: by risk.
    """
    figure = Figure(figsize=(11, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    front = pareto(rows)
    for axes, risk in zip(clean_axes(figure, len(RISKS)), RISKS, strict=True):
        for position, row in enumerate(rows):
            found = row["test"]
            if found[risk] is None:
                continue
            x, y = found[UTILITY]["value"], found[risk]["value"]
            axes.plot([x, x], [found[risk]["low"], found[risk]["high"]], color=SOFT, linewidth=0.8)
            axes.plot([x], [y], MARKERS[row["stage"]], color=INK, markerfacecolor=INK if position in front else "white")
            axes.annotate(f"{row['alpha']:g}/{row['beta']:g}", (x, y), (8, 4), textcoords="offset points", fontsize=7)
            if position == chosen:
                axes.plot([x], [y], "o", markersize=16, markerfacecolor="none", markeredgecolor=INK)
        for corner, marker in (("plaintext", "*"), ("chance", "X")):
            at = corners[corner]
            if at[risk]:
                place = (at[UTILITY]["value"], at[risk]["value"])
                axes.plot(*([value] for value in place), marker, color=INK, markersize=10)
                axes.annotate(corner, place, (7, -9), textcoords="offset points", fontsize=9)
        if risk in limits:
            axes.axhline(limits[risk], color=SOFT, linestyle="--")
            axes.annotate("limit", (0.01, limits[risk]), xycoords=("axes fraction", "data"), fontsize=8, va="bottom")
        axes.set(xlabel="AUC of the small CNN on test patients", ylabel=LABELS[risk])
    stages = ", ".join(
        f"{marker} {stage}" for stage, marker in zip(("circle", "square", "triangle"), MARKERS, strict=True)
    )
    figure.suptitle(
        f"alpha/beta at each marker; {stages}; filled: Pareto set (validation); ring: recommended", fontsize=9
    )
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()
