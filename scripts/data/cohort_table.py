"""``cohort.csv``: reading and checking the table.

Errors name the row as a spreadsheet shows it (the header is row 1) and quote no cell: where a comma is missing or too
many, any cell is a patient's.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fesf.scripts.data.files import UNSHOWN
from fesf.scripts.data.store_format import SECTIONS

REQUIRED = ("image", "label", "patient")
OPTIONAL = ("study", "series", "frame", "split")


class CohortError(ValueError):
    """A row of the cohort, or its image, cannot be used; the text names the row and nothing of the patient."""


@dataclass(frozen=True, slots=True)
class CohortRow:
    """One image of the cohort.

    Args:
        row: number of the row in the table, the header being row 1.
        image: image as the table names it, relative to the table.
        label: class name; empty when unknown.
        patient: patient as the table names them.
        study: study as the table names it; may be empty.
        frame: slice or frame along the last axis; None for the whole file.
        split: "training", "validation", "test", or empty when the product splits.
    """

    row: int
    image: str
    label: str
    patient: str
    study: str = ""
    frame: int | None = None
    split: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """What makes the row's image one of its kind: the image and its frame."""
        return self.image, "" if self.frame is None else str(self.frame)


@dataclass(frozen=True)
class Cohort:
    """A read ``cohort.csv``; see :func:`read_cohort`."""

    folder: Path
    rows: list[CohortRow]
    class_names: list[str] = field(default_factory=list)

    def item(self, row: CohortRow) -> dict[str, Any]:
        """The row as a MONAI data set takes it: "image", "row", "frame", "id" and, where known, "label"."""
        label = {"label": self.class_names.index(row.label)} if row.label else {}
        image = str(self.folder / row.image)
        return {
            "image": image,
            "row": row.row,
            "frame": row.frame,
            "id": f"row-{row.row}",
            "patient": row.patient,
        } | label

    def labels_of_patients(self) -> dict[str, Counter[str]]:
        """Per patient, how many images of each label."""
        patients: dict[str, Counter[str]] = {}
        for row in self.rows:
            patients.setdefault(row.patient, Counter())[row.label] += 1
        return patients


def read_cohort(path: str | Path) -> Cohort:
    """Read and check ``cohort.csv``.

    Args:
        path: table with the columns image, label, patient, optionally study, series, frame, split, and attributes
            (sex, age group, site), which this reader leaves alone. Images are relative to the table. A label may be
            empty. Class names are the labels in order (numbers by value).

    Raises:
        CohortError: when the table or a row cannot be used.
    """
    path = Path(path)
    if not path.is_file():
        raise CohortError(f"cohort {str(path)!r} is not a file: pass the path of a cohort.csv.")
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in REQUIRED if name not in (reader.fieldnames or [])]
            if missing:
                raise CohortError(f"The cohort's header lacks {', '.join(missing)}: it needs {', '.join(REQUIRED)}.")
            rows = [_parse(number, record) for number, record in enumerate(reader, start=2)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CohortError(f"The cohort cannot be read ({type(error).__name__}): give a CSV file in UTF-8.") from None
    if not rows:
        raise CohortError("The cohort has no rows: add one line per image.")
    _check(rows)
    names = sorted({row.label for row in rows if row.label}, key=lambda name: (not name.isdigit(), name.zfill(9), name))
    return Cohort(path.parent, rows, names)


def holds_control(cell: str) -> bool:
    """Whether a text holds a line break or another control character, which no cell of the table may.

    >>> holds_control("1.2.840"), holds_control("1.2\\n840")
    (False, True)
    """
    return any(ord(character) < 32 for character in cell)


def _parse(number: int, record: Mapping[str, str | None]) -> CohortRow:
    if None in record:
        raise CohortError(f"Row {number} of the cohort has more cells than the header: quote cells that hold commas.")
    cells = {name: (record.get(name) or "").strip() for name in REQUIRED + OPTIONAL}
    for name in ("image", "patient"):
        if not cells[name]:
            raise CohortError(f"Row {number} of the cohort has no {name}: fill it in or delete the row.")
    for name, cell in cells.items():
        if holds_control(cell):
            raise CohortError(f"Row {number} of the cohort has a line break or control character in {name}: remove it.")
    if cells["split"] not in ("", *SECTIONS):
        raise CohortError(
            f"Row {number} of the cohort has an unknown split: use {', '.join(SECTIONS)} or leave it empty. {UNSHOWN}"
        )
    if cells["frame"] and not re.fullmatch("[0-9]{1,9}", cells["frame"]):
        raise CohortError(
            f"Row {number} of the cohort has a frame that is no number: use 0, 1, 2, ... or leave it empty. {UNSHOWN}"
        )
    frame = int(cells["frame"]) if cells["frame"] else None
    return CohortRow(number, cells["image"], cells["label"], cells["patient"], cells["study"], frame, cells["split"])


def _check(rows: Sequence[CohortRow]) -> None:
    images: dict[tuple[str, str], int] = {}
    splits: dict[str, CohortRow] = {}
    for row in rows:
        first = images.setdefault(row.key, row.row)
        if first != row.row:
            raise CohortError(f"Rows {first} and {row.row} of the cohort name the same image: delete one of them.")
        other = splits.setdefault(row.patient, row)
        if other.split != row.split:
            raise CohortError(
                f"Rows {other.row} and {row.row} of the cohort are one patient in two splits ({other.split!r} and "
                f"{row.split!r}): patients, not images, are split."
            )
    if len({bool(row.split) for row in rows}) > 1:
        empty = next(row.row for row in rows if not row.split)
        raise CohortError(f"Row {empty} of the cohort has no split, others have: fill the column or empty it.")


def read_attributes(path: str | Path) -> dict[str, dict[int, str]]:
    """The table's further columns, such as sex or site: by name, the cell of each row, empty cells left out.

    Args:
        path: a ``cohort.csv`` that :func:`read_cohort` has read.
    """
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        names = [name for name in reader.fieldnames or [] if name and name not in REQUIRED + OPTIONAL]
        found: dict[str, dict[int, str]] = {name: {} for name in names}
        for number, record in enumerate(reader, start=2):
            for name in names:
                if cell := (record[name] or "").strip():
                    found[name][number] = cell
    return found


def class_names(cohort: str | Path) -> list[str]:
    """Names of the cohort's classes, in the order of their indices (see :func:`read_cohort`)."""
    return read_cohort(cohort).class_names
