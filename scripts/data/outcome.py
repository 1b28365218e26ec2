"""One arm's predictions on the test images of a set, and where a finished job left them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fesf.scripts.data.grid import Cell, Job, OfSource
from fesf.scripts.data.linkage import PREFIX
from fesf.scripts.data.studies import Rehidden
from fesf.scripts.engines.metrics import Floats, Integers, compute_metrics


@dataclass(frozen=True)
class Outcome:
    """One arm's predictions on one test set, in the order of the cohort's rows.

    Args:
        rows: row numbers in the cohort, ascending.
        groups: what intervals draw: the patient of each row, or the row itself.
        labels: class indices (N,).
        probabilities: (N, C).
        decisions: decided class indices (N,).
        commit: at which they were made; empty where that is not known.
    """

    rows: list[int]
    groups: list[str]
    labels: Integers
    probabilities: Floats
    decisions: Integers
    commit: str = ""

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


def outcome_of(job: Job) -> Outcome | None:
    """What a finished job predicted; None for one that predicts nothing, or had no images to predict from."""
    if "refused" in job.done or (isinstance(job, OfSource) and job.is_void):
        return None
    if isinstance(job, Cell):
        # Rows and patients are the cohort's, whichever release's linkage names them; ids are the release's own.
        linkage = job.source.linkage("ihm" if job.arm == "plaintext" else job.arm)
    elif isinstance(job, Rehidden):
        linkage = job.linkage
    else:
        return None
    found = read_outcome(job.predictions, linkage, job.source.done["class_names"])
    return replace(found, commit=job.done["commit"])
