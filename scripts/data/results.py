"""What the reproduction found: every arm's predictions on the same test images, their paired differences, quality."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fesf.scripts.data.grid import ARMS, CNN, DEMO, Cell, Job, Source
from fesf.scripts.data.linkage import PREFIX
from fesf.scripts.data.public_sets import SETS
from fesf.scripts.data.studies import PaperLoss, Rehidden, SecondPass, SweepPoint
from fesf.scripts.engines.metrics import Floats, Integers, compute_metrics

SHOWN = ("auc", "balanced_accuracy")
Arms = dict[str, "Outcome"]


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


@dataclass(frozen=True)
class SetResult:
    """What is done of one set.

    Args:
        name: the set.
        sources: its folds or seeds whose source is done.
        networks: by network, the runs of which every arm is done: run number and outcome of each arm.
        paper_loss: what the IQEM with lambda = 0 left behind; None while that is not done.
        sweep: by (alpha, beta), the small CNN's outcome on images of the IHM alone.
        second_pass: by run of the small CNN, its outcome and ``done.json`` under the stronger second pass.
    """

    name: str
    sources: list[Source]
    networks: dict[str, list[tuple[int, Arms]]]
    paper_loss: dict[str, Any] | None = None
    sweep: dict[tuple[float, float], Outcome] = field(default_factory=dict)
    second_pass: dict[int, tuple[Outcome, dict[str, Any]]] = field(default_factory=dict)

    @property
    def seeds(self) -> bool:
        """Whether runs are seeds, else patient-disjoint folds."""
        return self.name == DEMO or SETS[self.name].own_splits

    @property
    def unit(self) -> str:
        """What intervals draw."""
        return "patients" if self.name == DEMO else SETS[self.name].unit

    def arms(self, network: str) -> list[Arms]:
        """Outcomes of each arm, one dict a run."""
        return [arms for _, arms in self.networks.get(network, [])]

    def values(self, network: str, arm: str, metric: str) -> list[float]:
        """A metric of each run."""
        return [float(arms[arm].metrics()[metric][0]) for arms in self.arms(network)]

    def difference(self, network: str, first: str, second: str) -> dict[str, Any]:
        """Second arm less first; see :func:`paired_difference`."""
        runs = self.arms(network)
        return self._paired([(arms[first], arms[second]) for arms in runs])

    def second_pass_difference(self, first: str) -> dict[str, Any]:
        """The stronger second pass less an arm, over its runs; see :func:`paired_difference`."""
        runs = self.networks.get(CNN, [])
        return self._paired([(arms[first], self.second_pass[run][0]) for run, arms in runs if run in self.second_pass])

    @staticmethod
    def _paired(pairs: Sequence[tuple[Outcome, Outcome]]) -> dict[str, Any]:
        return paired_difference(pairs, all(first.rows == pairs[0][0].rows for first, _ in pairs))

    @property
    def majority_accuracy(self) -> float:
        """Mean accuracy on the test images of who always names their most frequent class."""
        labels = [arms["plaintext"].labels for arms in self.arms(CNN)]
        return float(np.mean([np.bincount(of_run).max() / len(of_run) for of_run in labels]))


@dataclass(frozen=True)
class Results:
    """All sets, and how much of the grid is done."""

    sets: list[SetResult]
    done: int
    planned: int
    commits: list[str]

    @property
    def sweep(self) -> list[SetResult]:
        """The sets with a sweep."""
        return [item for item in self.sets if item.sweep]

    def eval_metrics(self) -> dict[str, float]:
        """The small CNN's mean test metrics on full surrogates, under names for a bundle's ``eval_metrics``."""
        found = {}
        for item in self.sets:
            for metric in SHOWN:
                values = item.values(CNN, "full", metric)
                if values and np.isfinite(values).all():
                    found[f"{item.name}_{metric}"] = round(float(np.mean(values)), 4)
        return found


def collect(jobs: Sequence[Job]) -> Results:
    """Read what is done of a grid; a network's run counts once all four arms are there."""
    done = [job for job in jobs if job.is_done]
    sets = []
    for name in dict.fromkeys(job.title.split("/")[0] for job in done):
        found = [job for job in done if isinstance(job, Source) and job.name == name]
        networks: dict[str, list[tuple[int, Arms]]] = {}
        for source in found:
            mine = [job for job in done if isinstance(job, Cell) and job.source == source]
            for network in dict.fromkeys(cell.network for cell in mine):
                arms = {cell.arm: _outcome(cell) for cell in mine if cell.network == network}
                if set(arms) == set(ARMS):
                    networks.setdefault(network, []).append((source.run, arms))
        paper = [job.done for job in done if isinstance(job, PaperLoss) and job.source in found]
        rehidden = [job for job in done if isinstance(job, Rehidden) and job.source in found]
        sweep = {(job.alpha, job.beta): _rehidden(job) for job in rehidden if isinstance(job, SweepPoint)}
        counted = {run for run, _ in networks.get(CNN, [])}
        second = {
            job.source.run: (_rehidden(job), job.done)
            for job in rehidden
            if isinstance(job, SecondPass) and job.source.run in counted
        }
        if found:
            sets.append(SetResult(name, found, networks, paper[0] if paper else None, sweep, second))
    commits = list(dict.fromkeys(job.done["commit"] for job in done))
    return Results(sets, len(done), len(jobs), commits)


def _outcome(cell: Cell) -> Outcome:
    # Rows and patients are the cohort's, whichever release's linkage names them; ids are the release's own.
    arm = "ihm" if cell.arm == "plaintext" else cell.arm
    return read_outcome(cell.predictions, cell.source.linkage(arm), cell.source.done["class_names"])


def _rehidden(job: Rehidden) -> Outcome:
    return read_outcome(job.predictions, job.linkage, job.source.done["class_names"])
