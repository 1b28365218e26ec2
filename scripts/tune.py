"""Choose alpha, beta and stage by evidence: ``python -m fesf.scripts.tune --cohort CSV --hosts DIR --out DIR``.

Hides the cohort with every setting, trains the small CNN on each store and attacks it: re-identification by the nearest
neighbour among plaintexts of other studies, and inversion by ridge regression with true pairs of the training patients.
Chosen on validation patients, reported on test patients, who are others. It is done setting by setting: run it again
after an interruption. What it writes stays in the hospital; the figures and the picture hold no image and no id.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fesf.scripts.audit.frontier import RISKS, UTILITY, advice, cell, name, table, verdict
from fesf.scripts.audit.frontier_picture import MARKERS, draw_frontier
from fesf.scripts.audit.settings import Plaintext, Setting, Sweep
from fesf.scripts.data.cohort import CohortError
from fesf.scripts.data.files import make_private_folder, to_json, write_atomic
from fesf.scripts.data.linkage import refuse_inside_store
from fesf.scripts.data.provenance import provenance
from fesf.scripts.data.studies import ALPHAS, BETAS
from fesf.scripts.engines.errors import first_cause

PICTURE, FIGURES, TABLE = "frontier.png", "frontier.json", "frontier.csv"


def tune(sweep: Sweep, settings: Sequence[tuple[str, float, float]], limits: dict[str, float], command: str) -> str:
    """Do what is missing, write ``frontier.png``, ``.json`` and ``.csv``, and say what to take.

    Args:
        sweep: what the settings share.
        settings: stage, alpha and beta of each.
        limits: upper ends that a recommended setting must hold, by risk.
        command: for the figures' origin.

    Raises:
        ValueError: when a stage needs a generator and there is none, or a file is missing.
    """
    refuse_inside_store(sweep.root / FIGURES)
    if sweep.generator is None and any(stage != "synthetic" for stage, _, _ in settings):
        raise ValueError(
            "The stages enhanced and surrogate need a generator: give --generator-file, or leave them out."
        )
    if not sweep.cohort.is_file() or not sweep.hosts.is_dir():
        raise ValueError("--cohort must be a cohort.csv and --hosts a folder: one of them is not there.")
    make_private_folder(sweep.root)
    trials = [Setting(sweep, *setting) for setting in settings]
    jobs = [*trials, Plaintext(sweep, trials[0].hospital / "splits.csv")]
    for number, job in enumerate(jobs, start=1):
        if not job.is_done:
            print(f"[{number}/{len(jobs)}] {job.title} ...", flush=True)
            job.execute()
        print(f"[{number}/{len(jobs)}] {job.title}: done", flush=True)
    found = verdict([trial.done for trial in trials], jobs[-1].done[UTILITY]["test"], limits)
    write_atomic(sweep.root / FIGURES, to_json(provenance(command) | found))
    write_atomic(sweep.root / TABLE, table({"": found}))
    write_atomic(sweep.root / PICTURE, draw_frontier({"": found}))
    return summary(found)


def summary(found: Mapping[str, Any]) -> str:
    """The settings and the recommended one as text, on test patients.

    Args:
        found: see :func:`fesf.scripts.audit.frontier.verdict`.
    """
    lines = [f"{'setting (* Pareto set)':<36}{'AUC':>8}" + "".join(f"{risk:>28}" for risk in RISKS)]
    for row in found["settings"]:
        cells = [cell(row["test"][risk]) for risk in RISKS]
        star = "*" if name(row) in found["pareto"] else " "
        lines.append(f"{star} {name(row):<34}{row['test'][UTILITY]['value']:8.3f}" + "".join(f"{c:>28}" for c in cells))
    lines += [f"Not published: {setting}. {reason}" for setting, reason in found["refused"].items()]
    if not found["limits"]:
        lines.append("No limits were given: nothing is recommended. Write them down before you look.")
    else:
        lines.append(advice(found))
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of :func:`tune`; 2 for a mistake."""
    parser = argparse.ArgumentParser(prog="python -m fesf.scripts.tune", description=__doc__.splitlines()[0])
    parser.add_argument("--cohort", required=True, type=Path, metavar="CSV", help="the cohort")
    parser.add_argument("--hosts", required=True, type=Path, metavar="DIR", help="the host pool")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder of the sweep, in the hospital")
    parser.add_argument("--alphas", type=float, nargs="+", default=list(ALPHAS), metavar="A")
    parser.add_argument("--betas", type=float, nargs="+", default=list(BETAS), metavar="B")
    parser.add_argument("--stages", nargs="+", default=["synthetic"], choices=list(MARKERS), help="default: synthetic")
    parser.add_argument("--generator-file", type=Path, metavar="PT", help="of enhance.json, for the other stages")
    parser.add_argument("--splits", type=Path, metavar="CSV", help="the splits with which the generator was trained")
    parser.add_argument("--image-size", type=int, nargs=2, default=[64, 64], metavar=("X", "Y"))
    parser.add_argument(
        "--fractions", type=float, nargs=3, default=[0.6, 0.2, 0.2], help="of patients (default: 0.6 0.2 0.2)"
    )
    parser.add_argument("--epochs", type=int, help="of the small CNN (default: train.json's)")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    for risk in RISKS:
        parser.add_argument(f"--most-{risk}", type=float, metavar="X", help="limit of the interval's upper end")
    options = parser.parse_args(arguments)
    given = {risk: getattr(options, f"most_{risk}") for risk in RISKS}
    limits = {risk: limit for risk, limit in given.items() if limit is not None}
    settings = [(s, a, b) for s in options.stages for a in options.alphas for b in options.betas]
    size, fractions = tuple(options.image_size), tuple(options.fractions)
    sweep = Sweep(options.cohort, options.hosts, options.out, size, fractions, options.seed, options.epochs)
    sweep = replace(sweep, generator=options.generator_file, splits=options.splits)
    try:
        print(tune(sweep, settings, limits, "python -m fesf.scripts.tune"))
    except (ValueError, RuntimeError, CohortError, OSError) as error:
        print(f"error: {first_cause(error) or error}", file=sys.stderr)
        return 2
    print(f"Written: {', '.join(str(options.out / file) for file in (PICTURE, FIGURES, TABLE))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
