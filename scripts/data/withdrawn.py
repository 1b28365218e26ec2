"""Patients who withdrew: read from the hospital's list, kept out of a release, and recorded without their names."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from fesf.scripts.data.cohort import Cohort
from fesf.scripts.data.keys import commitment, derive_key

COLUMN = "patient"
PURPOSE = "withdrawn"


def read_withdrawn(path: str | Path, known: Collection[str]) -> list[str]:
    """Read the list of patients who withdrew.

    Args:
        path: table with the column patient, one row a patient, as the cohort names them.
        known: patients of the cohort and of earlier splits; another one is a typing mistake.

    Returns:
        The patients, sorted, each once.

    Raises:
        ValueError: naming the row, never the patient.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"withdrawn {str(path)!r} is not a file: give a table with the column {COLUMN}.")
    patients = set()
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        if COLUMN not in (reader.fieldnames or []):
            raise ValueError(f"The header of withdrawn lacks {COLUMN}: give a table with that column.")
        for number, record in enumerate(reader, start=2):
            patient = (record[COLUMN] or "").strip()
            if patient not in known:
                raise ValueError(
                    f"Row {number} of withdrawn is a patient whom neither the cohort nor splits.csv names: write"
                    " patients as the cohort does."
                )
            patients.add(patient)
    if not patients:
        raise ValueError("withdrawn has no rows: list the patients, or leave it null.")
    return sorted(patients)


def without(cohort: Cohort, patients: Iterable[str]) -> Cohort:
    """The cohort without these patients; class names and row numbers stay."""
    gone = set(patients)
    return replace(cohort, rows=[row for row in cohort.rows if row.patient not in gone])


def tombstone(patients: Collection[str], secret: bytes, release_id: str) -> dict[str, Any]:
    """What is recorded of a withdrawal: "count", and "digest", an HMAC-SHA256 over the sorted patients.

    Who holds the secret and the list can show that this list was withdrawn; the digest alone names nobody.
    """
    parts = (patient.encode() for patient in sorted(patients))
    message = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return {"count": len(patients), "digest": commitment(derive_key(secret, release_id, PURPOSE), message)}
