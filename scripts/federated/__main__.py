"""Two hospitals train one network and share weights alone: ``python -m fesf.scripts.federated``, see ``--help``.

Divides public sets between two hospitals, each with its own hosts, recipe and secret, hides each, and compares FedAvg
over the two stores (by MONAI's client, in this process) with one training on both and one on each. ``--export-job``
writes the folder of a job for NVFLARE over stores that exist instead. A repeated command does only what is missing.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fesf.scripts.data.files import SHARED, to_json, write_atomic
from fesf.scripts.data.grid import DEMO
from fesf.scripts.data.jobs import run_jobs
from fesf.scripts.data.provenance import provenance
from fesf.scripts.data.public_sets import SETS
from fesf.scripts.federated.hospitals import Choice
from fesf.scripts.federated.job import allow, classes, write_job
from fesf.scripts.federated.page import write_page
from fesf.scripts.federated.rounds import initial_weights
from fesf.scripts.federated.simulation import ARMS, FEDERATED, Federation, federations
from fesf.scripts.federated.stores import common_classes
from fesf.scripts.federated.summary import document

COMMAND = "python -m fesf.scripts.federated"
PACKAGES = ("fesf", "monai", "torch", "numpy")
RESULTS = "federated_results"
RECIPES = ("0.1,0.5", "0.15,0.6")
"""hide.json's own, and a wider band with more of the plaintext."""


def choice(text: str) -> Choice:
    """A recipe as typed.

    >>> choice("0.1,0.5")
    Choice(alpha=0.1, beta=0.5)
    """
    try:
        alpha, beta = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: give alpha and beta, such as 0.1,0.5") from None
    return Choice(alpha, beta)


def pair(text: str) -> tuple[str, Path]:
    """A site and its store as typed.

    >>> pair("site-1=a/store")[0]
    'site-1'
    """
    site, _, store = text.partition("=")
    if not site or not store:
        raise argparse.ArgumentTypeError(f"{text!r}: give a site and its store, such as site-1=path/to/store")
    return site, Path(store)


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = argparse.ArgumentParser(prog=COMMAND, description=(__doc__ or "").split("\n\n", 1)[1], allow_abbrev=False)
    made.add_argument("--sets", nargs="+", choices=[DEMO, *SETS], default=[DEMO], help="sets (default: demo)")
    made.add_argument("--runs", type=int, metavar="N", help="seeds or folds of each set at most (default: all)")
    made.add_argument("--recipe", nargs=2, type=choice, metavar="ALPHA,BETA", default=[choice(one) for one in RECIPES],
                      help=f"of each hospital (default: {' '.join(RECIPES)})")  # fmt: skip
    made.add_argument("--share", type=float, default=0.5, help="the first hospital's of the patients (default: 0.5)")
    made.add_argument("--rounds", type=int, default=10, help="of the federation (default: %(default)s)")
    made.add_argument("--local-epochs", type=int, default=2, help="of each round (default: %(default)s)")
    made.add_argument("--patients", type=int, default=240, help="of the demo (default: %(default)s)")
    made.add_argument("--shared", default=os.environ.get("FESF_SHARED", "../shared"), help="folder that holds data/")
    made.add_argument("--work", default="run/federated", help="where the runs go (default: %(default)s)")
    made.add_argument("--jobs", type=int, default=1, help="runs side by side (default: %(default)s)")
    made.add_argument("--out", metavar="DIR", help=f"folder for {RESULTS}.json and {RESULTS}.md")
    made.add_argument("--export-job", metavar="DIR", help="write a job for NVFLARE there, and do nothing else")
    made.add_argument("--store", action="append", type=pair, default=[], metavar="SITE=DIR",
                      help="for --export-job: a site and the store that its machine reads; once a site")  # fmt: skip
    made.add_argument(
        "--workspace", metavar="DIR", help="for --export-job: let the simulator that works there build it"
    )
    made.add_argument("--seed", type=int, default=0, help="for --export-job: of the first weights (default: 0)")
    return made


def export(options: argparse.Namespace) -> str:
    """Write a job; returns what a site's administrator must know."""
    stores = dict(options.store)
    if not stores or len(stores) < len(options.store):
        raise ValueError("--export-job needs --store SITE=DIR, once for each site.")
    names = common_classes(list(stores.values()))
    ids: dict[str, Any] = {"num_classes": len(names), "seed": options.seed}
    job = Path(options.export_job)
    places = {site: store.resolve() for site, store in stores.items()}
    initial = initial_weights(options.seed, num_classes=len(names))
    write_job(job, places, options.rounds, options.local_epochs, initial, ids)
    if options.workspace:
        allow(job, Path(options.workspace))
    allowed = "\n".join(f"  {name}" for name in classes(job))
    return (
        f"Wrote {job}: {len(stores)} sites, {options.rounds} rounds of {options.local_epochs} epochs.\n"
        f"NVFLARE builds only classes that a site allows. The server and each site name these in class_allow_list of "
        f"local/resources.json:\n{allowed}"
    )


def compare(options: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """Do what is missing; returns the figures of the sets that are whole, and what failed."""
    template = Federation(
        DEMO, 0, "", options.work, tuple(options.recipe), options.rounds, options.local_epochs, options.share,
        options.patients,
    )  # fmt: skip
    if options.runs is not None and options.runs < 1:
        raise ValueError(f"runs {options.runs} must be at least 1.")
    jobs = federations(options.sets, Path(options.shared), Path(options.work), template, options.runs)
    failed = run_jobs(jobs, options.jobs)
    found: dict[str, Any] = {}
    for name in options.sets:
        mine = [job for job in jobs if job.name == name]
        if not all(job.is_done for job in mine):
            continue
        figures = document([{arm: job.outcomes(arm) for arm in ARMS} for job in mine], FEDERATED)
        for job, run in zip(mine, figures["runs"], strict=True):
            run |= {key: job.done[key] for key in ("images", "steps", "validation_auc")}
        unit = "seeds" if name == DEMO or SETS[name].own_splits else "folds"
        found[name] = {"unit": unit, "class_names": mine[0].classes, **figures}
    return found, failed


def asked(options: argparse.Namespace) -> str:
    """The command that gives the same figures, without where things lie."""
    recipes = " ".join(f"{one.alpha:g},{one.beta:g}" for one in options.recipe)
    words = f"{COMMAND} --sets {' '.join(options.sets)} --recipe {recipes} --share {options.share:g}"
    words += f" --rounds {options.rounds} --local-epochs {options.local_epochs} --patients {options.patients}"
    return words + (f" --runs {options.runs}" if options.runs is not None else "")


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 0 when all is done, 1 when a run failed, 2 for a mistake in the command."""
    options = parser().parse_args(arguments)
    try:
        if options.export_job:
            print(export(options))
            return 0
        sets, failed = compare(options)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for line in failed:
        print(f"error: {line}", file=sys.stderr)
    if sets:
        settings = {
            "rounds": options.rounds,
            "local_epochs": options.local_epochs,
            "share": options.share,
            "recipes": [{"alpha": one.alpha, "beta": one.beta} for one in options.recipe],
        }
        result = {**provenance(asked(options), PACKAGES), "settings": settings, "sets": sets}
        page = write_page(result)
        if options.out:
            Path(options.out).mkdir(parents=True, exist_ok=True)
            write_atomic(Path(options.out) / f"{RESULTS}.json", to_json(result), SHARED)
            write_atomic(Path(options.out) / f"{RESULTS}.md", page, SHARED)
        print(page.decode())
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
