"""Feed broken inputs to the readers: ``python -m fesf.scripts.soak --number 20000``, or ``make soak N=20000``.

DICOM, NIfTI and PNG files with flipped bits, wrong lengths, missing ends and spliced parts go to ``make_cohort`` and to
what ``hide.json`` reads with; broken tables to the cohort's parser; broken documents to whoever opens a store. Each
must end in a valid result or in one clear error that holds none of the markers planted in the sources, within 10 s and
1 GiB. An interrupted soak goes on where it was. What fails is kept as a recipe of source, seed and operations.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from fesf.scripts.data.files import SHARED, to_json, write_atomic
from fesf.scripts.data.provenance import commit, provenance
from fesf.scripts.soak.run import MEMORY, SECONDS, Feeder, Recipe, keep, read_journal, soak
from fesf.scripts.soak.sources import KINDS, Source, collect

JOURNAL = "journal.jsonl"
PACKAGES = (
    "fesf",
    "pydicom",
    "pylibjpeg",
    "pylibjpeg-libjpeg",
    "pylibjpeg-openjpeg",
    "pylibjpeg-rle",
    "nibabel",
    "pillow",
)
SHOWN = 12


def tally(records: Iterable[Mapping[str, Any]], sources: Mapping[str, Source]) -> dict[str, Any]:
    """What came of a soak: counts by kind, stage and code, faults, and the extremes.

    Args:
        records: of :func:`fesf.scripts.soak.run.soak`.
        sources: by name.
    """
    counts: dict[str, dict[str, Counter[str]]] = {}
    faults, kinds, most = Counter[str](), Counter[str](), dict[str, Mapping[str, Any]]()
    for record in records:
        kinds[record["kind"]] += 1
        for stage, code in record["codes"]:
            counts.setdefault(record["kind"], {}).setdefault(stage, Counter())[code] += 1
        if record["fault"]:
            faults[record["fault"]] += 1
        for measure in ("seconds", "mebibytes"):
            if record[measure] >= most.get(measure, {measure: -1.0})[measure]:
                most[measure] = record
    return {
        "inputs": dict(kinds),
        "sources": dict(Counter(f"{source.kind}, {source.name.split('/')[0]}" for source in sources.values())),
        "outcomes": {
            kind: {stage: dict(found.most_common()) for stage, found in stages.items()}
            for kind, stages in sorted(counts.items())
        },
        "faults": dict(faults.most_common()),
        "slowest": _extreme(most, "seconds", 2),
        "largest": _extreme(most, "mebibytes", 0),
    }


def _extreme(most: Mapping[str, Mapping[str, Any]], measure: str, digits: int) -> dict[str, Any]:
    record = most[measure]
    named = {name: record[name] for name in ("number", "kind", "source")}
    return named | {measure: round(record[measure], digits)}


def page(document: Mapping[str, Any]) -> str:
    """The figures as a Markdown page."""
    machine, limits, total = document["machine"], document["limits"], sum(document["inputs"].values())
    slow, large = document["slowest"], document["largest"]
    lines = [
        "# Broken inputs",
        "",
        f"Written by `{document['command']}` at commit {document['commit']} on {machine['processor']},"
        f" {machine['cores']} cores; seed {document['seed']}, {document['seconds']:.0f} s. All figures:"
        " [soak.json](soak.json).",
        "",
        f"{total} inputs, **{sum(document['faults'].values())} faults**. A fault is a crash, more than"
        f" {limits['seconds']:g} s of the processor, more than {limits['mebibytes']} MiB, an error that is not ours, or"
        " a text with a marker of the source, a path, or more than a sentence.",
        *[f"\n- {count} x {fault}" for fault, count in document["faults"].items()],
        "",
        f"Slowest: {slow['seconds']} s (input {slow['number']}, {slow['kind']}). Largest growth of resident memory:"
        f" {large['mebibytes']:.0f} MiB (input {large['number']}, {large['kind']}).",
        "",
        "| input | count | read by | outcomes (the most frequent) |",
        "| --- | --- | --- | --- |",
    ]
    for kind, stages in document["outcomes"].items():
        for stage, found in stages.items():
            shown = "; ".join(f"{count} {code.rstrip('.')}" for code, count in list(found.items())[:SHOWN])
            more = f"; {len(found) - SHOWN} more" if len(found) > SHOWN else ""
            lines.append(f"| {kind} | {document['inputs'][kind]} | {stage} | {shown}{more} |".replace("\n", " "))
    return "\n".join(lines) + "\n"


def run(options: argparse.Namespace) -> int:
    """Soak as the command line says; 1 when something failed."""
    kinds = tuple(options.only.split(",")) if options.only else KINDS
    shared = Path(options.shared) / "data"
    sources = collect(shared if shared.is_dir() else None)
    digests = {name: source.digest for name, source in sources.items()}
    head = {"seed": options.seed, "kinds": kinds, "commit": commit(), "sources": digests}
    work = Path(options.work)
    work.mkdir(parents=True, exist_ok=True)
    done = read_journal(work / JOURNAL, head)
    start, records = time.monotonic(), []
    write_atomic(work / JOURNAL, "".join(json.dumps(line) + "\n" for line in (head, *done)).encode())
    with open(work / JOURNAL, "a", encoding="utf-8") as journal, Feeder(sources, work) as feeder:
        fed = soak(feeder, range(options.number), options.seed, kinds, done)
        progress = tqdm(fed, total=options.number, desc="Soak", unit="input", mininterval=2.0, disable=options.quiet)
        for record in progress:
            records.append(record)
            if len(records) > len(done):
                journal.write(json.dumps(record) + "\n")
                journal.flush()
            if record["fault"]:
                tqdm.write(f"input {record['number']} ({record['kind']}, {record['source']}): {record['fault']}")
                keep(record, options.keep)
    spent = time.monotonic() - start
    command = f"python -m fesf.scripts.soak --number {options.number} --seed {options.seed}"
    found = tally(records, sources)
    print(
        f"{len(records)} inputs (seed {options.seed}): {sum(found['faults'].values())} faults, slowest"
        f" {found['slowest']['seconds']} s, largest {found['largest']['mebibytes']:.0f} MiB, {spent:.0f} s."
    )
    if options.out:
        limits = {"seconds": SECONDS, "mebibytes": MEMORY // 2**20}
        if options.only:
            command += f" --only {options.only}"
        document = provenance(f"{command} --out FILE", PACKAGES) | {"seed": options.seed, "limits": limits} | found
        document |= {"seconds": round(spent, 1), "resumed": len(done)}
        write_atomic(options.out, to_json(document), SHARED)
        write_atomic(Path(options.out).with_suffix(".md"), page(document).encode(), SHARED)
    (work / JOURNAL).unlink()
    return 1 if found["faults"] else 0


def again(files: Sequence[str], options: argparse.Namespace) -> int:
    """Feed kept recipes once more; 1 when one still fails."""
    shared = Path(options.shared) / "data"
    sources, failed = collect(shared if shared.is_dir() else None), 0
    with Feeder(sources, options.work) as feeder:
        for name in files:
            recipe = Recipe.of(json.loads(Path(name).read_text()))
            outcome = feeder.feed(recipe)
            failed += bool(outcome.fault)
            print(f"{Path(name).name}: {outcome.fault or 'fine'} {outcome.codes}")
    return 1 if failed else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 0 when nothing failed, 1 when something did, 2 for a mistake."""
    parser = argparse.ArgumentParser(
        prog="python -m fesf.scripts.soak",
        description="Feed mutated DICOM, NIfTI and PNG files, tables and documents to everything that reads them.",
        epilog="Status: 0 no fault, 1 faults (their recipes are kept), 2 a mistake in the command.",
    )
    parser.add_argument("--number", type=int, default=300, help="of inputs (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="draws them (default: %(default)s)")
    parser.add_argument("--only", metavar="KINDS", help=f"some of {','.join(KINDS)}")
    parser.add_argument("--out", metavar="FILE", help="JSON file of the figures; a page (.md) goes beside it")
    parser.add_argument("--work", default="build/soak", help="folder of its own (default: %(default)s)")
    parser.add_argument("--keep", default="tests/data/regressions", help="where recipes go (default: %(default)s)")
    parser.add_argument(
        "--shared",
        default=os.environ.get("FESF_SHARED", "../shared"),
        help="folder of real images (default: %(default)s)",
    )
    parser.add_argument("--again", nargs="+", metavar="FILE", help="feed these kept recipes instead")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    options = parser.parse_args(arguments)
    if options.number < 1 or set((options.only or "png").split(",")) - set(KINDS):
        parser.error(f"--number is 1 or more, --only takes some of {','.join(KINDS)}.")
    try:
        return again(options.again, options) if options.again else run(options)
    except KeyboardInterrupt:
        print("Interrupted: the same command goes on.", file=sys.stderr)
        return 130
    except (OSError, ValueError, KeyError) as error:
        print(f"error: {type(error).__name__}: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
