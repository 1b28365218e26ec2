"""The figures of federations: each arm on each hospital's test images, over all runs, with intervals over patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fesf.scripts.data.outcome import Outcome
from fesf.scripts.engines.metrics import Floats

SHOWN = ("auc", "accuracy")
LEAST_DEFINED = 0.25
"""Share of the draws that must define a metric in each run: with fewer, an interval would be of a few lucky draws."""
Arms = Mapping[str, Outcome]
Figure = dict[str, float | int | None]


def summarise(runs: Sequence[Arms], reference: str, draws: int = 1000, seed: int = 0) -> dict[str, Any]:
    """Means over runs of each arm's metrics, and how much the reference is above each other arm.

    Patients are drawn, with all their images, within each run's test set; all arms of a run share the draws. Draws that
    leave a metric undefined (no image of a class) are left out of their run, and as many count of each run; where
    fewer than :data:`LEAST_DEFINED` remain there is no interval. It speaks of the patients that were tested; what
    another training would have changed shows in the spread over runs.

    Args:
        runs: the arms' outcomes of each run, on the same images.
        reference: the arm that the others are compared with.
        draws: bootstrap draws of each run.
        seed: of the draws.

    Returns:
        ``{"arms": {arm: {metric: figure}}, "differences": {other arm: {metric: figure}}}``, a figure being
        ``{"value", "sd", "low", "high", "runs"}``: mean and standard deviation over the runs in which the metric is
        defined, their number, and the mean's 95 % interval; None where there is none.

    Raises:
        ValueError: when there is no run, or arms were tested on different images.
    """
    if not runs:
        raise ValueError("There is no run to summarise.")
    rng = np.random.default_rng(seed)
    names = list(runs[0])
    values: dict[str, list[dict[str, float]]] = {arm: [] for arm in names}
    drawn: dict[str, list[dict[str, Floats]]] = {arm: [] for arm in names}
    for arms in runs:
        first = arms[reference]
        if any(other.rows != first.rows or (other.labels != first.labels).any() for other in arms.values()):
            raise ValueError("The arms were tested on different images.")
        index = np.unique(first.groups, return_inverse=True)[1]
        size = int(index.max()) + 1
        weights = rng.multinomial(size, np.full(size, 1 / size), size=draws)[:, index].astype(float)
        for arm in names:
            values[arm].append({name: float(arms[arm].metrics()[name][0]) for name in SHOWN})
            metrics = arms[arm].metrics(weights)
            drawn[arm].append({name: metrics[name] for name in SHOWN})
    found: dict[str, Any] = {"arms": {}, "differences": {}}
    for arm in names:
        found["arms"][arm] = {
            name: _figure([run[name] for run in values[arm]], [run[name] for run in drawn[arm]]) for name in SHOWN
        }
        if arm != reference:
            found["differences"][arm] = {
                name: _figure(
                    [own[name] - other[name] for own, other in zip(values[reference], values[arm], strict=True)],
                    [own[name] - other[name] for own, other in zip(drawn[reference], drawn[arm], strict=True)],
                )
                for name in SHOWN
            }
    return found


def _figure(values: Sequence[float], draws: Sequence[Floats]) -> Figure:
    kept = [number for number, value in enumerate(values) if np.isfinite(value)]
    if not kept:
        return {"value": None, "sd": None, "low": None, "high": None, "runs": 0}
    defined = [draws[number][np.isfinite(draws[number])] for number in kept]
    count = min(len(part) for part in defined)
    enough = count >= LEAST_DEFINED * len(draws[0])
    means = np.mean([part[:count] for part in defined], axis=0)
    low, high = np.quantile(means, [0.025, 0.975]) if enough else (np.nan, np.nan)
    chosen = [values[number] for number in kept]
    return {
        "value": float(np.mean(chosen)),
        "sd": float(np.std(chosen, ddof=1)) if len(chosen) > 1 else None,
        "low": float(low) if enough else None,
        "high": float(high) if enough else None,
        "runs": len(chosen),
    }


def document(runs: Sequence[Mapping[str, Mapping[str, Outcome]]], reference: str) -> dict[str, Any]:
    """:func:`summarise` of each part of the test images, and every run's own values.

    Args:
        runs: by arm and part ("both", or a hospital), the outcomes of each run.
        reference: see :func:`summarise`.
    """
    parts = list(next(iter(runs[0].values())))
    found: dict[str, Any] = {"parts": {}, "runs": []}
    for part in parts:
        found["parts"][part] = summarise([{arm: of[part] for arm, of in run.items()} for run in runs], reference)
    for run in runs:
        one: dict[str, Any] = {}
        for arm, outcomes in run.items():
            one[arm] = {part: _values(outcome) for part, outcome in outcomes.items()}
        tested = {part: _size(outcome) for part, outcome in run[reference].items()}
        found["runs"].append({"tested": tested, "arms": one})
    return found


def _values(outcome: Outcome) -> dict[str, float | None]:
    metrics = outcome.metrics()
    return {name: float(metrics[name][0]) if np.isfinite(metrics[name][0]) else None for name in SHOWN}


def _size(outcome: Outcome) -> dict[str, int]:
    return {"images": len(outcome.rows), "patients": len(set(outcome.groups))}
