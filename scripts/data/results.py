"""The table of results: plaintext beside surrogates over folds or seeds, with the paired difference."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fesf.scripts.data.linkage import PREFIX
from fesf.scripts.engines.metrics import Floats, Integers, compute_metrics

SHOWN = ("auc", "balanced_accuracy")
ARMS = ("plaintext", "ihm")


@dataclass(frozen=True)
class Outcome:
    """One arm's predictions on one test set, in the order of the cohort's rows.

    Args:
        rows: row numbers in the cohort, ascending.
        groups: what intervals draw: the patient of each row, or the row itself.
        labels: class indices (N,).
        probabilities: (N, C).
        decisions: decided class indices (N,).
    """

    rows: list[int]
    groups: list[str]
    labels: Integers
    probabilities: Floats
    decisions: Integers

    def metrics(self, weights: Floats | None = None) -> dict[str, Floats]:
        """See :func:`fesf.scripts.engines.metrics.compute_metrics`."""
        return compute_metrics(self.labels, self.probabilities, self.decisions, weights)


def read_outcome(predictions: str | Path, linkage: str | Path, class_names: Sequence[str]) -> Outcome:
    """Predictions of ``evaluate.json`` joined with the hospital's linkage.

    Args:
        predictions: ``predictions_test.csv`` of either arm; ids are keyed ids, or "row-<n>" for plaintexts.
        linkage: ``linkage.csv``.
        class_names: names of the classes in the order of their indices.
    """
    with open(linkage, newline="") as file:
        linked = {line["id"]: (int(line["row"]), line["patient"]) for line in csv.DictReader(file)}
    patients = dict(linked.values())
    with open(predictions, newline="") as file:
        lines = list(csv.DictReader(file))
    found = []
    for line in lines:
        row = int(line["id"].removeprefix("row-")) if line["id"].startswith("row-") else linked[line["id"]][0]
        found.append((row, line))
    found.sort(key=lambda pair: pair[0])
    index = {name: number for number, name in enumerate(class_names)}
    return Outcome(
        [row for row, _ in found],
        [patients[row] for row, _ in found],
        np.array([index[line["label"]] for _, line in found]),
        np.array([[float(line[PREFIX + name]) for name in class_names] for _, line in found]),
        np.array([index[line["decision"]] for _, line in found]),
    )


def paired_difference(pairs: Sequence[tuple[Outcome, Outcome]], same_test: bool, draws: int = 1000) -> dict[str, Any]:
    """Mean over runs of the second arm's metric less the first's, with a 95 % bootstrap interval.

    Patients are drawn, with all their images, within each run's test set; runs that share a test set (seeds) share the
    draws. The interval speaks of the patients that were tested: what another training would have changed shows in the
    spread over runs, not in it.

    Args:
        pairs: (plaintext, surrogate) of each run, on the same rows.
        same_test: whether all runs have the same test set.
        draws: bootstrap draws.

    Returns:
        ``{metric: {"value", "low", "high"}}``.

    Raises:
        ValueError: when the arms of a pair were tested on different rows.
    """
    rng = np.random.default_rng(0)
    values: dict[str, list[float]] = {name: [] for name in SHOWN}
    drawn: dict[str, list[Floats]] = {name: [] for name in SHOWN}
    weights: Floats | None = None
    for plain, hidden in pairs:
        if plain.rows != hidden.rows:
            raise ValueError(f"The arms were tested on {len(plain.rows)} and {len(hidden.rows)} rows that differ.")
        if weights is None or not same_test:
            index = np.unique(plain.groups, return_inverse=True)[1]
            size = int(index.max()) + 1
            weights = rng.multinomial(size, np.full(size, 1 / size), size=draws)[:, index].astype(float)
        first, second = plain.metrics(), hidden.metrics()
        first_draws, second_draws = plain.metrics(weights), hidden.metrics(weights)
        for name in SHOWN:
            values[name].append(float(second[name][0] - first[name][0]))
            drawn[name].append(second_draws[name] - first_draws[name])
    result = {}
    for name in SHOWN:
        means = np.stack(drawn[name])
        means = means[:, np.isfinite(means).all(axis=0)].mean(axis=0)
        low, high = np.quantile(means, [0.025, 0.975]) if len(means) else (np.nan, np.nan)
        result[name] = {"value": float(np.mean(values[name])), "low": float(low), "high": float(high)}
    return result
