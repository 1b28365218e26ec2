"""The whole method on public images, with every ablation: ``python -m fesf.scripts.reproduce``.

Sets x stages (plaintext, IHM, IHM + IQEM, full) x networks x folds or seeds. Each cell runs the bundle's configs and
leaves a file behind that says so; a repeated command does only what is missing, and what other settings or configs
made is done again. A record of each job, small enough to be committed, lets another machine go on. Tables and pictures
go to ``docs``; those of a part of the grid only where ``--out`` says, since they replace what is there.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from fesf.scripts.data.files import SHARED, write_atomic
from fesf.scripts.data.grid import CNN, DEMO, NETWORKS, Job, cells, sources
from fesf.scripts.data.jobs import run_jobs
from fesf.scripts.data.provenance import provenance
from fesf.scripts.data.public_sets import SETS
from fesf.scripts.data.records import Records
from fesf.scripts.data.results import collect
from fesf.scripts.data.results_page import write_page, write_quality, write_table
from fesf.scripts.data.results_pictures import draw_figure3, draw_sweep
from fesf.scripts.data.steps import quote
from fesf.scripts.data.studies import SWEPT, studies
from fesf.scripts.data.tracking import Tracker


def plan(
    shared: Path, work: Path, names: Sequence[str], networks: Sequence[str], quick: bool, sweep: bool
) -> list[Job]:
    """All jobs, each after those that it waits for.

    Args:
        shared: folder that holds ``data/``.
        work: where the runs go.
        names: sets to run.
        networks: classifiers to run.
        quick: one run a set and a few epochs, to see that everything works; its figures mean nothing.
        sweep: also hide with every alpha and beta of the sweep.

    Raises:
        ValueError: when a set is absent.
    """
    found = sources(shared, work / ("quick" if quick else "full"), names, quick)
    jobs: list[Job] = []
    for source in sorted(found, key=lambda source: source.run):  # an interrupted grid has whole rows
        jobs += [source, *cells([source], [name for name in networks if name == CNN])]
    return [*jobs, *studies(found, sweep), *cells(found, [name for name in networks if name != CNN])]


def chosen(jobs: Sequence[Job], patterns: Sequence[str]) -> list[Job]:
    """The jobs that match a pattern, and what they wait for; all without patterns."""
    if not patterns:
        return list(jobs)
    wanted = {job for job in jobs if any(fnmatch(job.title, pattern) for pattern in patterns)}
    needed = {before for job in wanted for before in job.after}
    return [job for job in jobs if job in wanted | needed]


def command(words: Sequence[str]) -> str:
    """The command that gives the same figures: without the options that say where they go, and their values.

    >>> command(["--out", "docs", "--sets", "demo", "--metadata=m.json", "--only", "demo/*"])
    "python -m fesf.scripts.reproduce --sets demo --only 'demo/*'"
    """
    kept, skip = [], False
    for word in words:
        if not skip and word.split("=")[0] not in PLACES:
            kept.append(quote(word))
        skip = word in PLACES
    return " ".join(["python -m fesf.scripts.reproduce", *kept])


PLACES = ("--metadata", "--out", "--records", "--tracking-uri")


def narrowed(options: argparse.Namespace) -> list[str]:
    """The options by which the tables hold a part of the grid only."""
    less = {
        "--sets": set(options.sets) != {DEMO, *SETS},
        "--networks": set(options.networks) != set(NETWORKS),
        "--only": bool(options.only),
        "--quick": options.quick,
    }
    return [name for name, narrows in less.items() if narrows]


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(
        prog="python -m fesf.scripts.reproduce",
        description=(__doc__ or "").split("\n\n")[0],
        allow_abbrev=False,
    )
    parser.add_argument("--shared", default=os.environ.get("FESF_SHARED", "../shared"), help="folder that holds data/")
    parser.add_argument("--work", default="run/reproduce", help="where the runs go (default: %(default)s)")
    parser.add_argument("--out", help="where the tables go (default: docs; to be named where the grid is not whole)")
    parser.add_argument("--records", help="what each finished job leaves for the tables (default: grid in --out)")
    parser.add_argument("--metadata", help="metadata.json whose eval_metrics the figures go to; a part adds its own")
    parser.add_argument("--sets", nargs="+", choices=[DEMO, *SETS], default=[DEMO, *SETS], help="default: all")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS), help="default: all")
    parser.add_argument(
        "--sweep", action="store_true", help=f"also accuracy against alpha and beta on {', '.join(SWEPT)}"
    )
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="PATTERN", help="jobs such as 'mri_cheng430/*/cnn/*', and their needs"
    )
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="one run a set, two epochs: a check, not a result")
    parser.add_argument("--tracking-uri", metavar="URI", help="MLflow server to log to (default: WORK/mlruns.db)")
    parser.add_argument("--no-tracking", action="store_true", help="no MLflow runs (WORK/mlruns.db)")
    options = parser.parse_args(words)
    part = narrowed(options)
    if part and options.out is None:
        parser.error(f"{', '.join(part)}: these tables would replace whole ones in docs: name a folder with --out.")
    work = Path(options.work)
    networks = [CNN] if options.quick and len(options.networks) == len(NETWORKS) else options.networks
    try:
        jobs = chosen(
            plan(Path(options.shared), work, options.sets, networks, options.quick, options.sweep), options.only
        )
        tracker = None if options.no_tracking else Tracker(work / "mlruns.db", options.tracking_uri)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    out = Path(options.out or "docs")
    records = Records(work / "quick" / "records" if options.quick else Path(options.records or out / "grid"))

    def finished(job: Job) -> None:
        records.keep(job)
        if tracker:
            tracker(job)

    failed = run_jobs(jobs, options.jobs, finished, records.has)
    for line in failed:
        print(f"error: {line}", file=sys.stderr)
    results = collect(jobs, records)
    if results.sets:
        out.mkdir(parents=True, exist_ok=True)
        page = write_page(results, provenance(command(words)))
        write_atomic(out / "results.csv", write_table(results), SHARED)
        write_atomic(out / "quality.csv", write_quality(results), SHARED)
        write_atomic(out / "results.md", page, SHARED)
        if all(item.sources[0].is_done for item in results.sets):
            write_atomic(out / "figure3.png", draw_figure3(results), SHARED)
        else:
            print("figure3.png is not drawn: the images of some sets lie on another machine.", file=sys.stderr)
        if results.sweep:
            write_atomic(out / "sweep.png", draw_sweep(results), SHARED)
        if options.metadata and not options.quick:
            path = Path(options.metadata)
            metadata = json.loads(path.read_text())
            metadata["eval_metrics"] = (metadata.get("eval_metrics", {}) if part else {}) | results.eval_metrics()
            write_atomic(path, (json.dumps(metadata, indent=4) + "\n").encode(), SHARED)
        print(page.decode())
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
