"""Make a cohort from a folder: ``python -m fesf.scripts.make_cohort SOURCE --labels labels.csv --out cohort.csv``.

SOURCE is walked whole: DICOM with any suffix or none, DICOMDIR, NIfTI, MHA, NRRD, PNG, JPEG, TIFF. DICOM is grouped by
its UIDs and sorted by position. Every file is decoded once, in a process with limits of memory and time. What cannot be
used is a line of ``quarantine.csv`` beside the cohort, with one reason code each. Both tables name patients and stay in
the hospital; what this command prints names nobody.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock, local

from tqdm import tqdm

from fesf.scripts.data.cohort import CohortError, read_cohort
from fesf.scripts.data.files import to_csv, write_atomic
from fesf.scripts.data.folders import QUARANTINE
from fesf.scripts.data.inspection import Finding
from fesf.scripts.data.inspector import Inspector
from fesf.scripts.data.intake import ROWS, Intake, list_file, take_in, walk
from fesf.scripts.data.labels import Labels, read_labels
from fesf.scripts.data.provenance import versions
from fesf.scripts.data.quarantine import check_allowed, counts, quarantine_table
from fesf.scripts.data.readings import SUFFIX, Readings
from fesf.scripts.data.recipe import SOFTWARE
from fesf.transforms.dicom_text import MARKS

COLUMNS = ("image", "label", "patient", "study", "series", "frame")
DONE, REFUSED, SET_ASIDE, INTERRUPTED = 0, 2, 3, 130
KEPT = "What was read is kept: run the same command again."
SHOWN = 20  # row numbers in the summary


@dataclass(frozen=True)
class Limits:
    """What the reading of one file may take.

    Args:
        memory: bytes beyond the idle process.
        seconds: until it is given up.
        workers: processes side by side.
    """

    memory: int = 2**30
    seconds: float = 60.0
    workers: int = 1


def inspect_all(
    source: Path, files: Sequence[tuple[str, str]], limits: Limits, progress: bool, readings: Readings
) -> list[Finding]:
    """Findings of files in their order; those with a reason are not opened, those read before not again."""
    own = local()
    inspectors: list[Inspector] = []

    def look(item: tuple[str, str]) -> Finding:
        name, reason = item
        if reason:
            return Finding(reason)
        path = os.path.join(source, name)
        if (kept := readings.find(name, path)) is not None:
            return kept
        if not hasattr(own, "inspector"):
            own.inspector = Inspector(limits.memory, limits.seconds)
            inspectors.append(own.inspector)
        found: Finding = own.inspector.inspect(path, str(source))
        with writing:
            readings.add(name, path, found)
        return found

    readings.start()
    pool, writing = ThreadPoolExecutor(limits.workers), Lock()
    try:
        shown = tqdm(pool.map(look, files), total=len(files), desc="Reading", unit="file", disable=not progress)
        return list(shown)
    finally:
        pool.shutdown(cancel_futures=True)
        for inspector in inspectors:
            inspector.__exit__()


def make_cohort(
    source: str | Path,
    out: str | Path,
    labels: str | Path | None = None,
    rows: str = "image",
    patient_from_folder: bool = False,
    keep_unlabelled: bool = False,
    limits: Limits | None = None,
    progress: bool = False,
    allow: Sequence[str] = (),
) -> tuple[Intake, Labels | None]:
    """Read a folder and write the cohort, ``quarantine.csv`` and the volumes' list files beside it, all 0600.

    Args:
        source: folder of the images.
        out: the cohort to write.
        labels: see :func:`fesf.scripts.data.labels.read_labels`; None for no labels.
        rows, patient_from_folder, keep_unlabelled: see :func:`fesf.scripts.data.intake.take_in`.
        limits: of the reading.
        progress: show a progress bar on the standard error stream.
        allow: signs of text in the pixels that do not set a file aside
            (:data:`fesf.transforms.dicom_text.MARKS`).

    Raises:
        ValueError: when the labels, or a path, cannot be used, or no image can. ``quarantine.csv`` is written first.
    """
    source, out, limits = Path(source), Path(out), limits or Limits()
    if not source.is_dir():
        raise ValueError("SOURCE is not a folder: name the folder of the images.")
    if not out.parent.is_dir() or out.is_dir():
        raise ValueError("The folder of --out does not exist, or --out is a folder: name a file in an existing one.")
    if rows not in ROWS:
        raise ValueError(f"rows {rows!r}: choose one of {', '.join(ROWS)}.")
    allowed = check_allowed(allow)
    _check_place(out)
    joined = None if labels is None else read_labels(labels)
    lists = out.parent / f"{out.stem}-volumes"
    settings = {"source": os.path.realpath(source), "memory": limits.memory, "seconds": limits.seconds}
    settings |= versions(SOFTWARE)
    readings = Readings(out.with_name(out.name + SUFFIX), settings)
    ours = [out, out.parent / QUARANTINE, lists, readings.path, *([] if labels is None else [labels])]
    files = list(walk(source, ours))
    findings = inspect_all(source, files, limits, progress, readings)
    with Inspector(limits.memory, limits.seconds) as inspector:
        intake = take_in(
            [(name, finding) for (name, _), finding in zip(files, findings, strict=True)],
            joined,
            rows,
            lambda names: inspector.order_series([os.path.join(source, name) for name in names]),
            patient_from_folder,
            keep_unlabelled,
            allowed,
        )
    _write(intake, joined, source, out, lists)
    readings.done()
    return intake, joined


def _check_place(out: Path) -> None:
    """A release writes its own ``quarantine.csv``: it is not overwritten, and does not overwrite ours."""
    other = out.parent / QUARANTINE
    if other.is_file() and not other.read_bytes().startswith(b"file,frame,reason\n"):
        raise ValueError("The folder of --out holds the quarantine.csv of a release: choose another folder.")


def _write(intake: Intake, labels: Labels | None, source: Path, out: Path, lists: Path) -> None:
    write_atomic(out.parent / QUARANTINE, quarantine_table(intake.asides))
    if not intake.rows:
        raise ValueError("No image of SOURCE can be used: quarantine.csv says why, file by file.")
    if intake.lists:
        lists.mkdir(mode=0o700, exist_ok=True)
    for name, files in intake.lists.items():
        write_atomic(lists / name, list_file([os.path.relpath(source / file, lists) for file in files]))
    rows = [
        row | {"image": os.path.relpath((lists if row["image"] in intake.lists else source) / row["image"], out.parent)}
        for row in intake.rows
    ]
    table = to_csv([*COLUMNS, *(() if labels is None else labels.attributes)], rows)
    trial = out.with_name(f".{out.name}.trial")
    try:
        write_atomic(trial, table)
        read_cohort(trial)
        os.replace(trial, out)
    finally:
        trial.unlink(missing_ok=True)


def summary(intake: Intake, labels: Labels | None) -> str:
    """Counts as text: no path, name, UID or date."""
    patients, studies, series = ({row[name] for row in intake.rows if row[name]} for name in COLUMNS[2:5])
    lines = [
        f"{len(intake.rows)} rows: {len(patients)} patients, {len(studies)} studies, {len(series)} series"
        f"{f', {len(intake.lists)} volumes of several files' if intake.lists else ''}."
    ]
    empty = sum(not row["label"] for row in intake.rows)
    if empty:
        lines.append(f"{empty} of them have no label.")
    if intake.indices:
        lines.append(f"{intake.indices} DICOMDIR read; files are found whether it names them or not.")
    if labels is not None and (unused := labels.unused()):
        more = ", ..." if len(unused) > SHOWN else ""
        lines.append(
            f"{len(unused)} rows of the labels have no image: {', '.join(map(str, unused[:SHOWN]))}{more}"
            " (the header is row 1)."
        )
    if intake.asides:
        lines.append(f"{len(intake.asides)} set aside, see quarantine.csv:")
        lines.extend(f"  {count:7d}  {reason}" for reason, count in counts(intake.asides))
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of :func:`make_cohort`; 0 when all was taken, 3 when something was set aside, 2 when refused."""
    parser = argparse.ArgumentParser(
        prog="python -m fesf.scripts.make_cohort",
        description="Make cohort.csv from a folder of DICOM, NIfTI, MHA, NRRD, PNG, JPEG and TIFF files. "
        "It names patients and stays in the hospital. Exit status: 0 all taken, 3 something set aside, 2 refused.",
    )
    parser.add_argument("source", metavar="SOURCE", help="folder of the images, walked whole")
    parser.add_argument("--out", required=True, metavar="CSV", help="cohort to write; quarantine.csv goes beside it")
    parser.add_argument("--labels", metavar="CSV", help="label, and file, series, study or patient to join by")
    parser.add_argument("--rows", choices=ROWS, default="image", help="what a row is (default: %(default)s)")
    parser.add_argument(
        "--patient-from-folder", action="store_true", help="files without one: the first folder below SOURCE"
    )
    parser.add_argument("--keep-unlabelled", action="store_true", help="rows without a label stay")
    parser.add_argument(
        "--allow",
        default="",
        metavar="REASONS",
        help=f"take what these signs of text in the pixels would set aside, by commas: {', '.join(MARKS)}",
    )
    parser.add_argument("--memory", type=int, default=1024, help="MiB for reading a file (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=60.0, help="for reading a file (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="processes that read (default: %(default)s)")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    options = parser.parse_args(arguments)
    if options.memory < 16 or options.seconds <= 0 or options.workers < 1:
        parser.error("--memory is 16 or more, --seconds and --workers are positive.")
    try:
        intake, labels = make_cohort(
            options.source,
            options.out,
            options.labels,
            options.rows,
            options.patient_from_folder,
            options.keep_unlabelled,
            Limits(options.memory * 2**20, options.seconds, options.workers),
            progress=not options.quiet,
            allow=[name.strip() for name in options.allow.split(",") if name.strip()],
        )
    except KeyboardInterrupt:
        print(
            "Interrupted: the cohort was not written. What was read is kept: run the same command again.",
            file=sys.stderr,
        )
        return INTERRUPTED
    except (CohortError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return REFUSED
    except OSError as error:
        print(f"error: cannot write ({error.strerror}).", file=sys.stderr)
        return REFUSED
    print(summary(intake, labels))
    return SET_ASIDE if intake.asides else DONE


if __name__ == "__main__":
    sys.exit(main())
