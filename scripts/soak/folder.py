"""A folder of broken files through the whole of ``make_cohort``: nothing is lost, nothing is said that must not be."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from shutil import rmtree
from typing import Any

from fesf.scripts.data.quarantine import REASONS, escape
from fesf.scripts.make_cohort import DONE, REFUSED, SET_ASIDE, main
from fesf.scripts.soak.sources import MARKER
from fesf.scripts.soak.targets import Outcome

DIRECTORY = (b"\x04\0\x20\x12", b"\0\x04\x12\x20")
"""Tag of a DICOMDIR's records in either byte order: such a file is neither a row nor set aside."""


def feed_folder(
    place: Path,
    contents: Sequence[bytes],
    suffixes: Sequence[str],
    options: Mapping[str, Any],
    seconds: float,
    memory: int,
) -> Outcome:
    """Write files, make a cohort of them, and look whether each is a row or set aside.

    Args:
        place: folder to do it in, which is removed.
        contents: of the files.
        suffixes: of their names.
        options: "names", "rows" and "patient_from_folder".
        seconds, memory: limits of the reading.
    """
    rmtree(place, ignore_errors=True)
    source = place / MARKER
    names = [name + suffix for name, suffix in zip(options["names"], suffixes, strict=True)]
    for name, content in zip(names, contents, strict=True):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(content)
    arguments = [str(source), "--out", str(place / "cohort.csv"), "--rows", options["rows"], "--quiet"]
    arguments += ["--seconds", str(seconds), "--memory", str(memory // 2**20)]
    arguments += ["--patient-from-folder"] if options["patient_from_folder"] else []
    said, start = io.StringIO(), time.process_time()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            status = main(arguments)
        indices = sum(any(tag in content for tag in DIRECTORY) for content in contents)
        reasons, fault = _look(place, source, names, status, said.getvalue(), indices)
    except Exception as error:
        reasons, fault = [], f"unhandled {type(error).__name__}"
    finally:
        rmtree(place, ignore_errors=True)
    codes = tuple(("folder", reason) for reason in reasons)
    return Outcome(codes, f"folder: {fault}" if fault else "", time.process_time() - start)


def _look(
    place: Path, source: Path, names: Sequence[str], status: int, said: str, indices: int
) -> tuple[list[str], str]:
    if MARKER.lower() in said.lower() or str(place) in said or "Traceback" in said:
        return [], "a marker, a path or a traceback was printed"
    aside = _table(place / "quarantine.csv")
    taken: set[str] = set()
    if status in (DONE, SET_ASIDE):
        for row in _table(place / "cohort.csv"):
            path = place / row["image"]
            files = json.loads(path.read_text())["files"] if path.name.endswith(".series.json") else [None]
            targets = [path if file is None else path.parent / file for file in files]
            taken |= {os.path.relpath(os.path.normpath(target), source) for target in targets}
    reasons = [row["reason"] for row in aside]
    lost = {escape(name) for name in names} - {row["file"] for row in aside} - {escape(name) for name in taken}
    if set(reasons) - set(REASONS):
        return reasons, "a reason that is none of the codes"
    if len(lost) > indices:
        return reasons, f"{len(lost) - indices} files were lost"
    if status != (REFUSED if not taken else SET_ASIDE if aside else DONE):
        return reasons, f"status {status}"
    return reasons + ["accepted"] * len(taken), ""


def _table(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
