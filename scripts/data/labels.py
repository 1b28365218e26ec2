"""``labels.csv``: what is known of the images beyond their files, joined by file, series, study or patient."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

KEYS = ("file", "series", "study", "patient")
"""Columns by which a table can join, the most specific first; the first one that it has is its key."""
TAKEN = (*KEYS, "image", "label", "frame")
"""Columns that are not passed through as attributes."""


class LabelError(ValueError):
    """The table cannot be used; the text names its row and nothing of the patient."""


@dataclass
class Labels:
    """A read table; see :func:`read_labels`.

    Args:
        key: the column that joins.
        rows: per value of the key its row.
        attributes: further columns, which are passed through.
        numbers: row number, as a spreadsheet shows it, of each key.
        used: keys that were looked up with success.
    """

    key: str = ""
    rows: dict[str, dict[str, str]] = field(default_factory=dict)
    attributes: tuple[str, ...] = ()
    numbers: dict[str, int] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    def find(self, **names: str) -> dict[str, str]:
        """The row of an image, by the value of the table's key among ``names``; empty where there is none."""
        name = names.get(self.key, "")
        if name not in self.rows:
            return {}
        self.used.add(name)
        return self.rows[name]

    def unused(self) -> list[int]:
        """Row numbers that no image was joined with."""
        return sorted(number for key, number in self.numbers.items() if key not in self.used)


def read_labels(path: str | Path) -> Labels:
    """Read and check the table.

    Args:
        path: table with the column label and one or more of file (relative to the source), series, study and patient.
            The most specific of these joins; patient may stand beside another key and says whose a file is that does
            not. Other columns are passed through.

    Raises:
        LabelError: when the table cannot be used.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            header = list(reader.fieldnames or [])
            records = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LabelError(f"The labels cannot be read ({type(error).__name__}): give a CSV file in UTF-8.") from None
    keys = [name for name in KEYS if name in header]
    if not keys or "label" not in header:
        raise LabelError(f"The labels' header needs label and one of {', '.join(KEYS)}.")
    labels = Labels(keys[0], attributes=tuple(name for name in header if name and name not in TAKEN))
    for number, record in enumerate(records, start=2):
        if None in record:
            raise LabelError(
                f"Row {number} of the labels has more cells than the header: quote cells that hold commas."
            )
        row = {name: (value or "").strip() for name, value in record.items()}
        key = row[labels.key]
        if not key:
            raise LabelError(f"Row {number} of the labels has no {labels.key}: fill it in or delete the row.")
        if labels.key == "file":
            key = str(PurePosixPath(key))
        if labels.rows.setdefault(key, row) != row:
            raise LabelError(f"Rows {labels.numbers[key]} and {number} of the labels differ on one {labels.key}.")
        labels.numbers.setdefault(key, number)
    return labels
