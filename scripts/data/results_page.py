"""``results.csv`` and ``results.md``: the text of what :mod:`fesf.scripts.data.results` computes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fesf.scripts.data.files import to_csv
from fesf.scripts.data.results import ARMS, SHOWN, Outcome, paired_difference
from fesf.scripts.engines.metrics import METRICS

COLUMNS = ("set", "arm", "run", "n_test", *METRICS, "clipped_share")


@dataclass(frozen=True)
class SetResult:
    """All runs of one set.

    Args:
        name: the set.
        seeds: whether runs are seeds on one test set, else patient-disjoint folds.
        pairs: (plaintext, surrogate) predictions of each run.
        clipped: mean clipped share of each run's surrogates, in [0, 1].
        withdrawn: images that went out of the cohort with the hosts.
        unit: what intervals draw, "patients" or "images".
    """

    name: str
    seeds: bool
    pairs: list[tuple[Outcome, Outcome]]
    clipped: list[float]
    withdrawn: int
    unit: str

    @property
    def one_test_set(self) -> bool:
        """Whether every run was tested on the same rows."""
        return all(plain.rows == self.pairs[0][0].rows for plain, _ in self.pairs)

    def rows(self) -> list[dict[str, Any]]:
        """One line an arm and run, for ``results.csv``."""
        lines = []
        for position, arm in enumerate(ARMS):
            for run, (pair, share) in enumerate(zip(self.pairs, self.clipped, strict=True)):
                values = pair[position].metrics()
                line = {"set": self.name, "arm": arm, "run": run, "n_test": len(pair[position].rows)}
                line |= {metric: f"{float(values[metric][0]):.4f}" for metric in METRICS}
                lines.append(line | {"clipped_share": "" if arm == "plaintext" else f"{share:.4f}"})
        return lines

    def means(self) -> dict[str, float]:
        """Mean test metrics of the surrogate classifier over the runs, under names for a bundle's ``eval_metrics``."""
        values = [hidden.metrics() for _, hidden in self.pairs]
        return {f"{self.name}_{metric}": round(float(np.mean([v[metric] for v in values])), 4) for metric in SHOWN}

    def line(self) -> str:
        """One line of the table in ``results.md``."""
        tests = [len(plain.rows) for plain, _ in self.pairs]
        cells = [self.name, f"{len(tests)} {'seeds' if self.seeds else 'folds'}"]
        cells.append(str(tests[0] if self.one_test_set else sum(tests)))
        difference = paired_difference(self.pairs, self.one_test_set)
        for metric in SHOWN:
            for position in range(len(ARMS)):
                values = [float(pair[position].metrics()[metric][0]) for pair in self.pairs]
                spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
                cells.append(f"{np.mean(values):.3f}{spread}")
            gap = difference[metric]
            cells.append(f"{gap['value']:+.3f} [{gap['low']:+.3f}, {gap['high']:+.3f}]")
        cells += [self.unit, f"{100 * np.mean(self.clipped):.1f} %", str(self.withdrawn)]
        return "| " + " | ".join(cells) + " |"


def write_table(results: Sequence[SetResult]) -> bytes:
    """The content of ``results.csv``."""
    return to_csv(COLUMNS, [row for result in results for row in result.rows()])


def write_page(results: Sequence[SetResult], origin: dict[str, Any]) -> bytes:
    """The content of ``results.md``.

    Args:
        results: one a set.
        origin: see :func:`fesf.scripts.data.provenance.provenance`.
    """
    machine = origin["machine"]
    software = ", ".join(f"{name} {value}" for name, value in origin["software"].items())
    heads = ["set", "runs", "test images"]
    for metric in ("AUC", "balanced accuracy"):
        heads += [f"{metric}, plaintext", f"{metric}, IHM", "difference"]
    heads += ["interval over", "clipped pixels", "withdrawn"]
    text = [
        "# Plaintext against surrogates",
        "",
        f"Written by `{origin['command']}` at commit {origin['commit']} on {machine['processor']}, {machine['cores']}"
        f" cores; {software}. Seeds: the run's number trains; 0 withdraws the hosts' patients and makes the folds.",
        "",
        "IHM is the Image Hidden Module alone with alpha 0.1 and beta 0.5, one fixed host; no generator, no second"
        " pass. Mean ± standard deviation over runs. The difference is IHM less plaintext, paired by image, with a 95 %"
        " bootstrap interval that draws patients (images where no patients are known). It says nothing of what"
        " another training would give: that is in the ± columns. `demo` is synthetic, a new cohort each seed; how hard"
        " it is was set with a look at test figures, so its own are no surprise. Training settings were chosen on"
        " the demo's validation split and serve every set; nothing was chosen on a real set. Training on plaintexts"
        " adds random crops, which suit them. Withdrawn are the images of the hosts' patients, and those that nearly"
        " equal one of them.",
        "",
        "| " + " | ".join(heads) + " |",
        "| " + " | ".join(["---"] * len(heads)) + " |",
        *(result.line() for result in results),
        "",
        "AUC is macro one-against-rest where a set has more than two classes. 0.5 is chance for AUC; for balanced"
        " accuracy chance is 1 / classes (mri_cheng430: 3, fundus_retinamnist: 5).",
        "",
    ]
    return "\n".join(text).encode()
