"""Charts of the audit's page as SVG; each tells its series by marker, dash and label, not by colour alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from fesf.scripts.data.pictures import clean_axes, to_svg

INK, SOFT, STRONG = "#111827", "#6b7280", "#1d4ed8"
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("-", "--", "-.", ":")
CONDITIONS = {
    "plaintext": ("^", "plaintexts"),
    "broken": ("s", "broken scheme"),
    "permuted": ("x", "nothing of the patient"),
    "store": ("o", "this store"),
}


def relative(result: Mapping[str, Any], value: float) -> float:
    """A score on the way from chance (0) to what the attack gets from plaintexts (1), which may be passed."""
    conditions = result["conditions"]
    chance, most = conditions["store"]["chance"], conditions["plaintext"]["value"]
    return (value - chance) / max(most - chance, 1e-12)


def draw_overview(results: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Every measured attack a line: controls and store between chance (0) and plaintexts (1), with intervals."""
    names = [name for name, result in results.items() if result["conditions"]]
    figure = Figure(figsize=(9, 1.3 + 0.36 * len(names)), layout="constrained")
    (axes,) = clean_axes(figure)
    for row, name in enumerate(names):
        for condition, (marker, label) in CONDITIONS.items():
            found = results[name]["conditions"][condition]
            low, value, high = (relative(results[name], found[key]) for key in ("low", "value", "high"))
            ours = condition == "store"
            colour, size = (STRONG, 8) if ours else (INK, 6)
            axes.plot([low, high], [row, row], color=colour, linewidth=5 if ours else 1.2, alpha=0.45 if ours else 1)
            look: dict[str, Any] = {
                "marker": marker,
                "linestyle": "none",
                "markersize": size,
                "markeredgecolor": colour,
            }
            fill = colour if ours else "white"
            look |= {"markerfacecolor": fill, "markeredgecolor": colour, "label": label if row == 0 else None}
            axes.plot([value], [row], **look)
    axes.axvline(0, color=SOFT, linestyle=":")
    axes.axvline(1, color=SOFT, linestyle="--")
    axes.set_yticks(range(len(names)), [name.replace("_", " ") for name in names], fontsize=9)
    axes.set(xlabel="chance at 0 (dotted), what the attack gets from plaintexts at 1 (dashed)", xlim=(-0.6, 1.6))
    axes.invert_yaxis()
    axes.legend(frameon=False, fontsize=8, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return to_svg(figure)


def draw_gains(curves: Mapping[str, Sequence[tuple[int, Mapping[str, Any]]]], unit: str) -> bytes:
    """What attacks get from the store by the number of true pairs they learn from, with intervals.

    Args:
        curves: (pairs, condition of the results) of each attack, pairs rising.
        unit: of the scores.
    """
    figure = Figure(figsize=(6, 3.4), layout="constrained")
    (axes,) = clean_axes(figure)
    for index, (name, points) in enumerate(curves.items()):
        pairs = [n for n, _ in points]
        values, low, high = ([found[key] for _, found in points] for key in ("value", "low", "high"))
        spread = [[v - a for v, a in zip(values, low, strict=True)], [b - v for v, b in zip(values, high, strict=True)]]
        marker, dash = MARKERS[index % len(MARKERS)], DASHES[index % len(DASHES)]
        axes.errorbar(pairs, values, spread, color=INK, marker=marker, linestyle=dash, capsize=3, label=name)
        axes.annotate(name, (pairs[-1], values[-1]), (-4, 7), textcoords="offset points", ha="right", fontsize=8)
    axes.axhline(0, color=SOFT, linestyle=":")
    axes.set(xlabel="true pairs that the attacker holds", ylabel=unit, xscale="log")
    return to_svg(figure)


def draw_rocs(curves: Mapping[str, Mapping[str, Any]]) -> bytes:
    """ROC of each verifier on the store.

    Args:
        curves: ``{"false", "true", "auc"}`` by attack.
    """
    figure = Figure(figsize=(4.8, 4.4), layout="constrained")
    (axes,) = clean_axes(figure)
    for index, (name, curve) in enumerate(curves.items()):
        dash = DASHES[index % len(DASHES)]
        axes.plot(curve["false"], curve["true"], color=INK, linestyle=dash, label=f"{name}, AUC {curve['auc']:.2f}")
    axes.plot([0, 1], [0, 1], color=SOFT, linewidth=0.8, label="chance")
    axes.set(xlabel="false positive rate", ylabel="true positive rate", aspect="equal")
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    return to_svg(figure)
