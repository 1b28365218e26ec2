"""The hospital's ``splits.csv``: planned once from the cohort, then kept for every later run and release."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from fesf.scripts.data.cohort import Cohort, CohortError, read_cohort
from fesf.scripts.data.files import make_private_folder, to_csv, write_atomic
from fesf.scripts.data.folders import SPLITS
from fesf.scripts.data.splits import assign_splits, read_splits


def plan_splits(
    cohort: Cohort,
    fractions: Sequence[float],
    seed: int,
    hospital_dir: str | Path,
    previous_splits: str | Path | None = None,
) -> dict[str, str]:
    """Split of each patient: what an earlier release, this folder or the cohort says, the rest assigned anew.

    Args:
        cohort: the cohort; its column split wins over an assignment, but may not contradict a kept one.
        fractions: shares of the patients for training, validation and test.
        seed: of the assignment.
        hospital_dir: folder whose ``splits.csv`` is kept, where it has one.
        previous_splits: ``splits.csv`` of an earlier release.

    Raises:
        CohortError: when a row names another split than a kept one.
        ValueError: when a file of splits cannot be read.
    """
    given = {row.patient: row.split for row in cohort.rows if row.split}
    kept = Path(hospital_dir) / SPLITS
    sources = [Path(previous_splits)] if previous_splits is not None else []
    earlier: dict[str, str] = {}
    for source in [*sources, *([kept] if kept.is_file() else [])]:
        earlier |= read_splits(source)
    moved = [row.row for row in cohort.rows if row.split and earlier.get(row.patient, row.split) != row.split]
    if moved:
        raise CohortError(f"Row {moved[0]} of the cohort names another split than splits.csv holds for its patient.")
    return assign_splits(cohort.labels_of_patients(), fractions, seed, earlier | given)


def save_splits(hospital_dir: str | Path, splits: Mapping[str, str]) -> Path:
    """Write ``splits.csv`` (0600) and return its path."""
    path = Path(hospital_dir) / SPLITS
    rows = ({"patient": patient, "split": split} for patient, split in sorted(splits.items()))
    write_atomic(path, to_csv(("patient", "split"), rows))
    return path


def ensure_splits(
    cohort: str | Path,
    hospital_dir: str | Path,
    fractions: Sequence[float],
    seed: int,
    previous_splits: str | Path | None = None,
) -> str:
    """Path of the hospital folder's ``splits.csv``, made now if this is the first run on the cohort.

    What trains the IQEM must not see test patients, so the splits are fixed before the first image is hidden; the
    release that follows in the same folder keeps them.

    Raises:
        CohortError: when the cohort cannot be used.
        ValueError: when the folder can be read by others, or a file of splits cannot be read.
    """
    folder = make_private_folder(hospital_dir)
    return str(save_splits(folder, plan_splits(read_cohort(cohort), fractions, seed, folder, previous_splits)))
