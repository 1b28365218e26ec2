"""What the reproduction keeps of finished jobs: all that its tables read, small enough to be committed.

The grid takes machine hours and its work folder grows to gigabytes. A record is one file a job: a machine that has none
of the images goes on where another stopped, and the tables are of both.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fesf.scripts.data.files import SHARED, write_atomic
from fesf.scripts.data.grid import Job
from fesf.scripts.data.outcome import Outcome, outcome_of


@dataclass(frozen=True)
class Record:
    """What is kept of a job.

    Args:
        done: content of its ``done.json``.
        outcome: its predictions on the test images; None for a job that predicts nothing.
    """

    done: dict[str, Any]
    outcome: Outcome | None

    @property
    def predicted(self) -> Outcome:
        """Its predictions.

        Raises:
            ValueError: for a job that predicts nothing.
        """
        if self.outcome is None:
            raise ValueError("This job predicts nothing.")
        return self.outcome


@dataclass(frozen=True)
class Records:
    """Records in a folder, one JSON file a job, named by its title.

    Args:
        folder: where they are; None keeps none and reads work folders alone.
    """

    folder: Path | None = None

    def path(self, job: Job) -> Path | None:
        """A job's file."""
        return None if self.folder is None else self.folder / f"{job.title}.json"

    def has(self, job: Job) -> bool:
        """Whether a record is there that was made with the settings and configs of now."""
        path = self.path(job)
        return path is not None and path.is_file() and json.loads(path.read_text())["done"]["key"] == job.key

    def keep(self, job: Job) -> None:
        """Write the record of a job that was done here, once."""
        path = self.path(job)
        if path is None or (self.has(job) and json.loads(path.read_text())["done"] == job.done):
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        outcome = outcome_of(job)
        found = {"done": job.done, "outcome": None if outcome is None else _as_lists(outcome)}
        write_atomic(path, json.dumps(found, sort_keys=True, separators=(",", ":")).encode() + b"\n", SHARED)

    def get(self, job: Job) -> Record | None:
        """What is known of a job, from here or from its record; None where it is not done."""
        if job.is_done:
            return Record(job.done, outcome_of(job))
        path = self.path(job)
        if path is None or not self.has(job):
            return None
        found = json.loads(path.read_text())
        return Record(found["done"], None if found["outcome"] is None else _from_lists(found))


def _as_lists(outcome: Outcome) -> dict[str, Any]:
    return {
        "rows": outcome.rows,
        "groups": outcome.groups,
        "labels": outcome.labels.tolist(),
        "probabilities": outcome.probabilities.tolist(),
        "decisions": outcome.decisions.tolist(),
    }


def _from_lists(record: dict[str, Any]) -> Outcome:
    found = record["outcome"]
    arrays = {name: np.array(found[name]) for name in ("labels", "probabilities", "decisions")}
    return Outcome(found["rows"], found["groups"], **arrays, commit=record["done"]["commit"])
