"""Classification metrics and their bootstrap intervals, as functions of arrays.

Every metric is computed from image weights: all ones give the value, the counts of a bootstrap draw give that draw's
value, so that 1000 draws are a few matrix products and not 1000 calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

METRICS = ("accuracy", "balanced_accuracy", "auc", "f1", "sensitivity", "specificity", "brier", "ece")
BINS = 10
# Bootstrap draws handled at once: bounds the memory at 100 x images x 8 bytes.
CHUNK = 100

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def compute_metrics(
    labels: Integers, probabilities: Floats, decisions: Integers, weights: Floats | None = None
) -> dict[str, Floats]:
    """All metrics, for one or many weightings of the same images.

    With two classes, class 1 is the finding: F1, sensitivity and specificity are its own, the Brier score is
    mean((p_1 - y)^2). With more, they are macro averages over one class against the rest, AUC likewise, and the Brier
    score is the mean of the squared distance of the probabilities from the one-hot label, in [0, 2]. ECE is the
    expected calibration error over 10 equal bins: of p_1 with two classes, else of the decided class's probability.

    Args:
        labels: class indices, shape (N,).
        probabilities: shape (N, C), rows sum to 1.
        decisions: decided class indices, shape (N,).
        weights: image weights, shape (B, N), non-negative; None is ones, with B = 1.

    Returns:
        One array (B,) a metric of :data:`METRICS`; NaN where a weighting leaves it undefined (AUC without both
        classes, balanced accuracy or sensitivity without an image of a class).

    Raises:
        ValueError: when the shapes disagree or a label lies outside the classes.
    """
    labels, probabilities, decisions = np.asarray(labels), np.asarray(probabilities, float), np.asarray(decisions)
    count, classes = probabilities.shape
    if labels.shape != (count,) or decisions.shape != (count,):
        raise ValueError(
            f"{labels.shape=} and {decisions.shape=} must both be ({count},), one for each probability row."
        )
    if count == 0 or labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"Labels must be present and lie in [0, {classes}): pass the labels of num_classes={classes}.")
    weights = np.ones((1, count)) if weights is None else np.asarray(weights, float)
    confusion = _confusion(labels, decisions, weights, classes)
    total = weights.sum(1)
    one_hot = np.eye(classes)[labels]
    hits = confusion.diagonal(axis1=1, axis2=2)
    with np.errstate(divide="ignore", invalid="ignore"):
        recall = hits / confusion.sum(2)
        # F1 = 2TP / (2TP + FP + FN); a class that is neither there nor decided counts 0, as in scikit-learn.
        f1 = np.nan_to_num(2 * hits / (confusion.sum(1) + confusion.sum(2)))
        negatives = total[:, None] - confusion.sum(2)
        specificity = (negatives - (confusion.sum(1) - hits)) / negatives
    squares = (probabilities - one_hot) ** 2
    chosen = [1] if classes == 2 else list(range(classes))
    return {
        "accuracy": hits.sum(1) / total,
        "balanced_accuracy": recall.mean(1),
        "auc": np.mean([_auc(labels == k, probabilities[:, k], weights) for k in chosen], axis=0),
        "f1": f1[:, chosen].mean(1),
        "sensitivity": recall[:, chosen].mean(1),
        "specificity": specificity[:, chosen].mean(1),
        "brier": weights @ (squares[:, 1] if classes == 2 else squares.sum(1)) / total,
        "ece": _calibration_error(*calibration(labels, probabilities, decisions), weights),
    }


def confusion_matrix(labels: Integers, decisions: Integers, classes: int) -> list[list[int]]:
    """Counts, rows are true classes, columns decided ones."""
    counts = _confusion(np.asarray(labels), np.asarray(decisions), np.ones((1, len(labels))), classes)[0]
    return [[int(cell) for cell in row] for row in counts]


def calibration(labels: Integers, probabilities: Floats, decisions: Integers) -> tuple[Floats, Floats]:
    """The probabilities whose calibration is measured, and whether the event they speak of happened (0 or 1).

    Returns:
        Two arrays (N,): p_1 and "is class 1" with two classes, else the decided class's probability and "is right".
    """
    if probabilities.shape[1] == 2:
        return probabilities[:, 1], (labels == 1).astype(float)
    return probabilities[np.arange(len(labels)), decisions], (labels == decisions).astype(float)


def bins_of(stated: Floats) -> Integers:
    """Index of the calibration bin of each probability: :data:`BINS` equal bins of [0, 1]."""
    return np.minimum((stated * BINS).astype(int), BINS - 1)


def bootstrap(
    labels: Integers,
    probabilities: Floats,
    decisions: Integers,
    groups: Sequence[str] | None = None,
    draws: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, dict[str, float | None]]:
    """Metrics with percentile bootstrap intervals.

    Args:
        labels: see :func:`compute_metrics`.
        probabilities: see :func:`compute_metrics`.
        decisions: see :func:`compute_metrics`.
        groups: patient of each image, who are drawn with all their images; None draws images, whose intervals are too
            narrow where patients have several images.
        draws: number of draws.
        confidence: coverage, in (0, 1).
        seed: of the draws.

    Returns:
        ``{metric: {"value", "low", "high"}}``; None where undefined. Draws that leave a metric undefined (no image of
        a class) are left out of its interval.

    Raises:
        ValueError: see :func:`compute_metrics`; when ``confidence`` is not in (0, 1).
    """
    if not 0 < confidence < 1:
        raise ValueError(f"{confidence=} must lie in (0, 1), such as 0.95.")
    values = compute_metrics(labels, probabilities, decisions)
    index = np.unique(groups if groups is not None else np.arange(len(labels)), return_inverse=True)[1]
    size = int(index.max()) + 1
    generator = np.random.default_rng(seed)
    parts = []
    for start in range(0, draws, CHUNK):
        counts = generator.multinomial(size, np.full(size, 1 / size), size=min(CHUNK, draws - start))
        parts.append(compute_metrics(labels, probabilities, decisions, counts[:, index].astype(float)))
    return {name: _interval(values[name][0], [part[name] for part in parts], confidence) for name in METRICS}


def majority_baseline(labels: Integers, shares: Sequence[float]) -> dict[str, float | None]:
    """Metrics of who always decides for the most frequent training class and states the training frequencies.

    Args:
        labels: class indices of the images to judge, shape (N,).
        shares: frequency of each class in training.
    """
    probabilities = np.tile(np.asarray(shares, float), (len(labels), 1))
    decisions = np.full(len(labels), int(np.argmax(shares)))
    values = compute_metrics(labels, probabilities, decisions)
    return {name: _number(values[name][0]) for name in METRICS}


def _confusion(labels: Integers, decisions: Integers, weights: Floats, classes: int) -> Floats:
    cells = np.eye(classes * classes)[labels * classes + decisions]
    return (weights @ cells).reshape(-1, classes, classes)


def _auc(positive: NDArray[np.bool_], scores: Floats, weights: Floats) -> Floats:
    """Weighted Mann-Whitney statistic, ties counted half; shape (B,)."""
    unique, index = np.unique(scores, return_inverse=True)
    order = np.argsort(index, kind="stable")
    starts = np.searchsorted(index[order], np.arange(len(unique)))
    up = np.add.reduceat((weights * positive)[:, order], starts, axis=1)
    down = np.add.reduceat((weights * ~positive)[:, order], starts, axis=1)
    below = np.cumsum(down, axis=1) - down
    with np.errstate(invalid="ignore"):
        return (up * (below + down / 2)).sum(1) / (up.sum(1) * down.sum(1))


def _calibration_error(stated: Floats, happened: Floats, weights: Floats) -> Floats:
    gaps = np.eye(BINS)[bins_of(stated)] * (stated - happened)[:, None]
    return np.abs(weights @ gaps).sum(1) / weights.sum(1)


def _interval(value: float, parts: Sequence[Floats], confidence: float) -> dict[str, float | None]:
    draws = np.concatenate(parts) if parts else np.empty(0)
    draws = draws[np.isfinite(draws)]
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail]) if len(draws) else (np.nan, np.nan)
    return {"value": _number(value), "low": _number(low), "high": _number(high)}


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
