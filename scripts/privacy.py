"""What attacks get from hidden public sets: ``python -m fesf.scripts.privacy`` writes ``docs/privacy.md``.

Each set is made a cohort, an IQEM is trained, and it is hidden once and by the full method, by the same jobs as
``reproduce``; then every attack of the audit is run on both stores, and two of them with every alpha, beta and stage of
the frontier. What is done is kept: a repeated command does only what is missing. A record of each job, small enough to
be committed, lets another machine go on.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fesf.scripts.audit.frontier import UTILITY, table, verdict
from fesf.scripts.audit.frontier_page import PICTURE, TABLE
from fesf.scripts.audit.frontier_picture import draw_frontier
from fesf.scripts.audit.privacy_page import page
from fesf.scripts.audit.public_audit import ARMS, Audited
from fesf.scripts.audit.public_frontier import OfFrontier, frontier_jobs, measurable
from fesf.scripts.data.files import SHARED, to_json, write_atomic
from fesf.scripts.data.grid import DEMO, Job, Source, sources
from fesf.scripts.data.jobs import run_jobs
from fesf.scripts.data.provenance import PACKAGES, provenance
from fesf.scripts.data.public_sets import SETS
from fesf.scripts.data.records import Records

COMMAND = "python -m fesf.scripts.privacy"
NAMES = (DEMO, "cxr_nih1000", "mri_cheng430")
SOFTWARE = (*PACKAGES, "scikit-learn", "scikit-image")


def plan(shared: Path, work: Path, names: Sequence[str], whole: bool) -> list[Job]:
    """Cohort, IQEM and stores of the first fold of each set, then its audits, then the settings of the frontier.

    Raises:
        ValueError: when a set is absent.
    """
    found = [source for source in sources(shared, work, names, quick=False) if source.run == 0]
    audits = [Audited(source, arm, whole) for source in found for arm in ARMS]
    return [*found, *audits, *(job for source in found if whole for job in frontier_jobs(source))]


def collected(jobs: Sequence[Job], records: Records) -> dict[str, dict[str, Any]]:
    """What the audits that are done, here or on record, found, by set and arm."""
    found: dict[str, dict[str, Any]] = {}
    for job in jobs:
        record = records.get(job) if isinstance(job, Audited) else None
        if isinstance(job, Audited) and record is not None:
            kept = {name: value for name, value in record.done.items() if name != "key"}
            found.setdefault(job.source.name, {})[job.arm] = kept
    return found


def frontiers(jobs: Sequence[Job], records: Records) -> dict[str, dict[str, Any]]:
    """The verdict on the settings of each set whose settings are all done, here or on record."""
    found: dict[str, list[Any]] = {}
    for job in jobs:
        if isinstance(job, OfFrontier):
            found.setdefault(job.source.name, []).append(records.get(job))
    verdicts = {}
    for name, kept in found.items():
        if all(record is not None and record.done.keys() & {UTILITY, "test", "refused"} for record in kept):
            *rows, bound = [record.done for record in kept]
            origin = {f"{key}s": sorted({record.done[key] for record in kept}) for key in ("commit", "machine")}
            verdicts[name] = verdict(rows, bound[UTILITY]["test"], measurable(rows)) | origin
    return verdicts


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 1 when a job failed: the page then holds the others."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(prog=COMMAND, description=(__doc__ or "").split("\n\n")[0], allow_abbrev=False)
    parser.add_argument("--shared", default=os.environ.get("FESF_SHARED", "../shared"), help="folder that holds data/")
    parser.add_argument("--work", default="run/privacy", help="where the runs go (default: %(default)s)")
    parser.add_argument("--out", default="docs", help="where the page and its figures go (default: %(default)s)")
    parser.add_argument("--records", help="what each finished audit leaves (default: audits in --out)")
    parser.add_argument("--sets", nargs="+", choices=[DEMO, *SETS], default=list(NAMES), help="default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="the attacks that take minutes")
    parser.add_argument("--jobs", type=int, default=2, help="processes side by side (default: %(default)s)")
    options = parser.parse_args(words)
    try:
        jobs = plan(Path(options.shared), Path(options.work), options.sets, not options.quick)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    out = Path(options.out)
    records = Records(None if options.quick else Path(options.records or out / "audits"))

    def finished(job: Job) -> None:
        if isinstance(job, Audited | OfFrontier):
            records.keep(job)

    # A source is no aim of its own: it is made where an audit of it is missing.
    failed = run_jobs(jobs, options.jobs, finished, lambda job: isinstance(job, Source) or records.has(job))
    for line in failed:
        print(f"error: {line}", file=sys.stderr)
    found = collected(jobs, records)
    if found:
        given = [COMMAND]
        given += ["--sets", *options.sets] if options.sets != list(NAMES) else []
        given += ["--quick"] if options.quick else []
        chosen = frontiers(jobs, records)
        for name in () if options.quick else [name for name in found if name not in chosen]:
            print(f"{name} has no frontier on the page: not all of its settings are done.", file=sys.stderr)
        document = provenance(" ".join(given), SOFTWARE) | {"seed": 0, "sets": found, "frontier": chosen}
        out.mkdir(parents=True, exist_ok=True)
        if chosen:
            write_atomic(out / PICTURE, draw_frontier(chosen), SHARED)
            write_atomic(out / TABLE, table(chosen), SHARED)
        write_atomic(out / "privacy.json", to_json(document), SHARED)
        write_atomic(out / "privacy.md", page(document).encode(), SHARED)
        print(f"Wrote {out / 'privacy.md'}.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
