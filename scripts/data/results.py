"""What the reproduction found: every arm's predictions on the same test images, their paired differences, quality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fesf.scripts.data.grid import ARMS, CNN, DEMO, Cell, Job, Source
from fesf.scripts.data.outcome import Outcome
from fesf.scripts.data.public_sets import SETS
from fesf.scripts.data.records import Records
from fesf.scripts.data.studies import LambdaCell, OtherLambda, Rehidden, SecondPass, SweepPoint
from fesf.scripts.engines.metrics import Floats

SHOWN = ("auc", "balanced_accuracy")
Arms = dict[str, "Outcome"]


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


def differences(runs: Sequence[Arms], first: str, second: str) -> dict[str, Any]:
    """Second arm less first over runs; see :func:`paired_difference`."""
    pairs = [(arms[first], arms[second]) for arms in runs]
    return paired_difference(pairs, all(one.rows == pairs[0][0].rows for one, _ in pairs))


@dataclass(frozen=True)
class SetResult:
    """What is done of one set.

    Args:
        name: the set.
        sources: its folds or seeds whose source is done.
        networks: by network, the runs of which every arm is done: run number and outcome of each arm.
        lambdas: by another lambda than our own, what the first run's IQEM left behind (``done.json``).
        lambda_arms: by another lambda, the small CNN's outcome on the arms that its generator made.
        sweep: by (alpha, beta), the small CNN's outcome on images of the IHM alone.
        second_pass: by run of the small CNN, its outcome and ``done.json`` under the stronger second pass.
        figures: by run, what its source left behind (``done.json``).
    """

    name: str
    sources: list[Source]
    networks: dict[str, list[tuple[int, Arms]]]
    lambdas: dict[float, dict[str, Any]] = field(default_factory=dict)
    lambda_arms: dict[float, Arms] = field(default_factory=dict)
    sweep: dict[tuple[float, float], Outcome] = field(default_factory=dict)
    second_pass: dict[int, tuple[Outcome, dict[str, Any]]] = field(default_factory=dict)
    figures: dict[int, dict[str, Any]] = field(default_factory=dict)

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
        return differences(self.arms(network), first, second)

    def second_pass_difference(self, first: str) -> dict[str, Any]:
        """The stronger second pass less an arm, over its runs; see :func:`paired_difference`."""
        runs = self.networks.get(CNN, [])
        both = [arms | {"": self.second_pass[run][0]} for run, arms in runs if run in self.second_pass]
        return differences(both, first, "")

    def by_lambda(self) -> dict[float, tuple[dict[str, Any], Arms]]:
        """By lambda, our own among them: what the first run's IQEM left behind, and the small CNN's arms that are done,
        IHM's with them; empty while the first run is not done."""
        first = next((arms for run, arms in self.networks.get(CNN, []) if run == 0), None)
        if first is None:
            return {}
        found = {self.sources[0].content_weight: (self.figures[0], first)}
        for weight, done in self.lambdas.items():
            found[weight] = done, {"ihm": first["ihm"]} | self.lambda_arms.get(weight, {})
        return dict(sorted(found.items()))

    @property
    def majority_accuracy(self) -> float:
        """Mean accuracy on the test images of who always names their most frequent class."""
        labels = [arms["plaintext"].labels for arms in self.arms(CNN)]
        return float(np.mean([np.bincount(of_run).max() / len(of_run) for of_run in labels]))


@dataclass(frozen=True)
class Results:
    """All sets, and how much of the grid is done.

    Args:
        sets: of which a source is done.
        done: jobs that are done.
        planned: jobs in all.
        commits: at which they ran.
        machines: on which they ran.
        refused: by title of the job, why its generator was refused.
    """

    sets: list[SetResult]
    done: int
    planned: int
    commits: list[str]
    machines: list[str]
    refused: dict[str, str] = field(default_factory=dict)

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


def collect(jobs: Sequence[Job], records: Records | None = None) -> Results:
    """Read what is done of a grid; a network's run counts once all four arms are there.

    Args:
        jobs: the grid.
        records: what other machines have done, too; None reads the work folder alone.
    """
    records = records or Records()
    kept = {job: record for job in jobs if (record := records.get(job)) is not None}
    sets = []
    for name in dict.fromkeys(job.title.split("/")[0] for job in kept):
        found = [
            job for job in kept if isinstance(job, Source) and job.name == name and "refused" not in kept[job].done
        ]
        networks: dict[str, list[tuple[int, Arms]]] = {}
        for source in found:
            mine = [job for job in kept if isinstance(job, Cell) and job.source == source]
            for network in dict.fromkeys(cell.network for cell in mine):
                arms = {cell.arm: kept[cell].predicted for cell in mine if cell.network == network}
                if set(arms) == set(ARMS):
                    networks.setdefault(network, []).append((source.run, arms))
        lambdas = {job.weight: kept[job].done for job in kept if isinstance(job, OtherLambda) and job.source in found}
        rehidden = {
            job: kept[job]
            for job in kept
            if isinstance(job, Rehidden) and job.source in found and kept[job].outcome is not None
        }
        sweep = {(job.alpha, job.beta): it.predicted for job, it in rehidden.items() if isinstance(job, SweepPoint)}
        lambda_arms: dict[float, Arms] = {}
        for job, it in rehidden.items():
            if isinstance(job, LambdaCell):
                lambda_arms.setdefault(job.weight, {})[job.arm] = it.predicted
        counted = {run for run, _ in networks.get(CNN, [])}
        second = {
            job.source.run: (it.predicted, it.done)
            for job, it in rehidden.items()
            if isinstance(job, SecondPass) and job.source.run in counted
        }
        if found:
            figures = {source.run: kept[source].done for source in found}
            sets.append(SetResult(name, found, networks, lambdas, lambda_arms, sweep, second, figures))
    commits, machines = (list(dict.fromkeys(it.done[of] for it in kept.values())) for of in ("commit", "machine"))
    refused = {job.title: it.done["refused"] for job, it in kept.items() if "refused" in it.done}
    return Results(sets, len(kept), len(jobs), commits, machines, refused)
