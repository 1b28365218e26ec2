"""Plaintext, surrogate and majority class side by side: the figures of a finished run."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fesf.scripts.data.linkage import PREFIX
from fesf.scripts.data.plan import ABLATIONS
from fesf.scripts.data.run_folder import RunFolder
from fesf.scripts.engines.metrics import METRICS

Metric = Mapping[str, float | None]

TITLES = {
    "plaintext": "plaintext",
    "ihm": "IHM",
    "iqem": "IHM + IQEM",
    "surrogate": "surrogate",
    "majority": "majority class",
}
"""Names of the columns, from the upper bound to the lower."""


@dataclass(frozen=True)
class Scores:
    """Predictions on the labelled test images.

    Args:
        labels: class indices, shape (N,).
        probabilities: shape (N, C).
        decisions: decided class indices, shape (N,).
    """

    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    decisions: NDArray[np.int64]


def read_scores(path: str | Path, class_names: Sequence[str]) -> Scores:
    """Labelled test rows of a table of predictions: of ``predictions_test.csv``, or of link's ``linked.csv``.

    Args:
        path: table with label, p_<class>, decision, and a split or not; classes by name.
        class_names: names in the order of their indices.

    Raises:
        ValueError: when no row has a label.
    """
    with open(path, encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row.get("split", "test") == "test" and row["label"]]
    if not rows:
        raise ValueError(f"{Path(path).name} has no labelled test image: there is nothing to compare.")
    index = {name: position for position, name in enumerate(class_names)}
    return Scores(
        np.array([index[row["label"]] for row in rows]),
        np.array([[float(row[PREFIX + name]) for name in class_names] for row in rows]),
        np.array([index[row["decision"]] for row in rows]),
    )


def read_json(path: str | Path) -> Any:
    """A JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def comparison(folder: RunFolder) -> dict[str, Any]:
    """The metrics of a run, all on the same test images with intervals over patients.

    The surrogate's come from link, which knows the patients; the analyst's own evaluation has the same values and,
    unless patients are disclosed, intervals over images.

    Args:
        folder: a run whose evaluations and link are done.

    Returns:
        ``{"class_names", "n_images", "n_patients", "kinds", "plaintext": {metric: {"value", "low", "high"}},
        "surrogate": ..., "majority": ..., "plaintext_confusion": ..., "surrogate_confusion": ...}``, and the ablations
        that the run made.

    Raises:
        ValueError: when the linkage has no labelled test image.
    """
    plaintext = read_json(folder.plaintext / "eval" / "metrics.json")
    linked = read_json(folder.linked.with_suffix(".metrics.json"))
    test = linked["splits"].get("test")
    if test is None:
        raise ValueError("No test image has a label: there is nothing to compare.")
    kinds = folder.settings()["kinds"]
    ablations = {
        kind: read_json(folder.ablation(kind) / "eval" / "metrics.json")["metrics"]
        for kind in kinds
        if kind in ABLATIONS
    }
    majority = {name: {"value": plaintext["majority_class"][name], "low": None, "high": None} for name in METRICS}
    return {
        "class_names": plaintext["class_names"],
        "n_images": test["n_images"],
        "n_patients": test["n_patients"],
        "plaintext": plaintext["metrics"],
        "surrogate": test["images"]["metrics"],
        "majority": majority,
        "kinds": kinds,
        **ablations,
        "plaintext_confusion": plaintext["confusion_matrix"],
        "surrogate_confusion": test["images"]["confusion_matrix"],
    }


def format_metric(metric: Metric) -> str:
    """``0.912 [0.870, 0.948]``, the value alone where there is no interval, a dash where undefined.

    >>> format_metric({"value": 0.9123, "low": 0.87, "high": 0.948})
    '0.912 [0.870, 0.948]'
    >>> format_metric({"value": 0.5, "low": None, "high": None})
    '0.500'
    >>> format_metric({"value": None, "low": None, "high": None})
    '-'
    """
    if metric["value"] is None:
        return "-"
    if metric["low"] is None:
        return f"{metric['value']:.3f}"
    return f"{metric['value']:.3f} [{metric['low']:.3f}, {metric['high']:.3f}]"


def format_table(table: Mapping[str, Any]) -> str:
    """:func:`comparison` as text, one metric a line."""
    lines = [
        f"Test: {table['n_images']} images of {table['n_patients']} patients; intervals: 95 % bootstrap over patients.",
        "".join(f"{title:<23}" for title in ("", *(TITLES[kind] for kind in table["kinds"]))).rstrip(),
    ]
    for name in METRICS:
        cells = [name.replace("_", " "), *(format_metric(table[kind][name]) for kind in table["kinds"])]
        lines.append("".join(f"{cell:<23}" for cell in cells).rstrip())
    return "\n".join(lines)
