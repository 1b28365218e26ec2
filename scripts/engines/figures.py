"""Pictures of an evaluation: ROC curve, reliability, confusion matrix."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from fesf.scripts.engines.metrics import BINS, bins_of, calibration

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def draw_roc(labels: Integers, probabilities: Floats, class_names: Sequence[str]) -> bytes:
    """ROC curve as PNG: of class 1 with two classes, else of each class against the rest.

    Args:
        labels: class indices, shape (N,).
        probabilities: shape (N, C).
        class_names: C names.
    """
    figure, axes = _square("False positive rate", "True positive rate")
    for index in [1] if len(class_names) == 2 else range(len(class_names)):
        positive = labels == index
        if positive.any() and not positive.all():
            false_alarms, found, _ = roc_curve(positive, probabilities[:, index])
            axes.plot(false_alarms, found, label=class_names[index])
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", label="chance")
    axes.legend(loc="lower right")
    return _png(figure)


def draw_reliability(labels: Integers, probabilities: Floats, decisions: Integers) -> bytes:
    """Reliability diagram as PNG: observed frequency over stated probability, in the bins of the ECE.

    Args:
        labels: class indices, shape (N,).
        probabilities: shape (N, C).
        decisions: decided class indices, shape (N,).
    """
    stated, happened = calibration(labels, probabilities, decisions)
    index = bins_of(stated)
    counts = np.bincount(index, minlength=BINS)
    filled = counts > 0
    means = [np.bincount(index, values, minlength=BINS)[filled] / counts[filled] for values in (stated, happened)]
    figure, axes = _square("Stated probability", "Observed frequency")
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", label="calibrated")
    axes.bar(
        (np.arange(BINS) + 0.5) / BINS, counts / counts.sum(), 0.9 / BINS, color="lightgrey", label="share of images"
    )
    axes.plot(*means, marker="o", label="model")
    axes.legend(loc="upper left")
    return _png(figure)


def draw_confusion(matrix: Sequence[Sequence[int]], class_names: Sequence[str]) -> bytes:
    """Confusion matrix as PNG, rows are true classes.

    Args:
        matrix: C lists of C counts.
        class_names: C names.
    """
    counts = np.asarray(matrix)
    figure = Figure(figsize=(4.5, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(counts, cmap="Blues", vmin=0)
    axes.set_xticks(range(len(class_names)), class_names, rotation=30, ha="right")
    axes.set_yticks(range(len(class_names)), class_names)
    axes.set_xlabel("Decided")
    axes.set_ylabel("True")
    for (row, column), value in np.ndenumerate(counts):
        color = "white" if value > counts.max() / 2 else "black"
        axes.text(column, row, str(value), ha="center", va="center", color=color)
    return _png(figure)


def _square(xlabel: str, ylabel: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(4.5, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlabel=xlabel, ylabel=ylabel, xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    return figure, axes


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})  # the same bytes for the same figures
    return buffer.getvalue()
