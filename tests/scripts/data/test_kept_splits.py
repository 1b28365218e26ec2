"""The hospital's splits: planned once, then kept."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from fesf.scripts.data.cohort import CohortError, read_cohort
from fesf.scripts.data.kept_splits import ensure_splits, plan_splits, save_splits
from fesf.scripts.data.splits import assign_splits, read_splits

FRACTIONS = (0.5, 0.25, 0.25)
NAMES = ("training", "validation", "test")


def swapped(patient: int, image: int) -> str:
    return NAMES[(patient + 1) % 3]


def given(patient: int, image: int) -> str:
    return NAMES[patient % 3]


def table(path: Path) -> dict[str, str]:
    with open(path, newline="") as file:
        return {row["patient"]: row["split"] for row in csv.DictReader(file)}


def test_a_first_run_assigns_by_seed_and_fractions(make_cohort: Callable[..., Path], tmp_path: Path) -> None:
    cohort = read_cohort(make_cohort() / "cohort.csv")
    for seed in (0, 1):
        planned = plan_splits(cohort, FRACTIONS, seed, tmp_path / "nowhere")
        assert planned == assign_splits(cohort.labels_of_patients(), FRACTIONS, seed)
    assert set(planned) == {f"Anna Schmidt {patient}" for patient in range(12)}
    assert Counter(planned.values())["training"] == 6


def test_ensure_makes_a_private_file_and_keeps_it(make_cohort: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_cohort()
    hospital = tmp_path / "deep" / "hospital"
    path = Path(ensure_splits(folder / "cohort.csv", hospital, FRACTIONS, 0))
    assert path == hospital / "splits.csv"
    assert path.stat().st_mode & 0o777 == 0o600
    assert hospital.stat().st_mode & 0o777 == 0o700
    assert path.read_text().splitlines()[0] == "patient,split"
    patients = [line.rpartition(",")[0] for line in path.read_text().splitlines()[1:]]
    assert patients == sorted(patients)
    assert len(patients) == 12
    before = path.read_bytes()
    ensure_splits(folder / "cohort.csv", hospital, (0.2, 0.2, 0.6), 7)  # other wishes come too late
    assert path.read_bytes() == before
    assert not list(hospital.glob(".*"))


def test_new_patients_join_and_old_ones_stay(make_cohort: Callable[..., Path], tmp_path: Path) -> None:
    first = table(Path(ensure_splits(make_cohort(6) / "cohort.csv", tmp_path / "h", FRACTIONS, 0)))
    grown = make_cohort(20, name="grown") / "cohort.csv"
    second = table(Path(ensure_splits(grown, tmp_path / "h", FRACTIONS, 5)))
    assert len(second) == 20
    assert {name: second[name] for name in first} == first


def test_an_earlier_release_is_kept_and_this_folder_wins(make_cohort: Callable[..., Path], tmp_path: Path) -> None:
    cohort = read_cohort(make_cohort() / "cohort.csv")
    (tmp_path / "h").mkdir()
    earlier = tmp_path / "earlier.csv"
    earlier.write_text("patient,split\nAnna Schmidt 0,test\nAnna Schmidt 1,test\nGone,training\n")
    save_splits(tmp_path / "h", {"Anna Schmidt 0": "validation"})
    planned = plan_splits(cohort, FRACTIONS, 0, tmp_path / "h", earlier)
    assert [planned[name] for name in ("Anna Schmidt 0", "Anna Schmidt 1", "Gone")] == [
        "validation",
        "test",
        "training",
    ]
    assert len(planned) == 13


def test_the_cohorts_own_splits_are_taken(make_cohort: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_cohort(columns={"split": given})
    planned = table(Path(ensure_splits(folder / "cohort.csv", tmp_path / "h", FRACTIONS, 0)))
    assert planned == {f"Anna Schmidt {patient}": NAMES[patient % 3] for patient in range(12)}


def test_nobody_is_moved(make_cohort: Callable[..., Path], tmp_path: Path) -> None:
    ensure_splits(make_cohort(columns={"split": given}) / "cohort.csv", tmp_path / "h", FRACTIONS, 0)
    other = make_cohort(name="other", columns={"split": swapped}) / "cohort.csv"
    with pytest.raises(CohortError, match=r"^Row 2 of the cohort names another split than splits\.csv holds for its"):
        ensure_splits(other, tmp_path / "h", FRACTIONS, 0)
    assert read_splits(tmp_path / "h" / "splits.csv")["Anna Schmidt 0"] == "training"
    with pytest.raises(CohortError, match="Row 2 of the cohort names another split"):
        ensure_splits(other, tmp_path / "new", FRACTIONS, 0, tmp_path / "h" / "splits.csv")


def test_mistakes(make_cohort: Callable[..., Path], tmp_path: Path) -> None:
    cohort = make_cohort() / "cohort.csv"
    (tmp_path / "open").mkdir(mode=0o755)
    with pytest.raises(ValueError, match="can be read by other users: chmod 700"):
        ensure_splits(cohort, tmp_path / "open", FRACTIONS, 0)
    with pytest.raises(ValueError, match=r"nowhere.csv' is not a file"):
        ensure_splits(cohort, tmp_path / "h", FRACTIONS, 0, tmp_path / "nowhere.csv")
    with pytest.raises(CohortError, match=r"nowhere.csv' is not a file: pass the path of a cohort.csv"):
        ensure_splits(tmp_path / "nowhere.csv", tmp_path / "h", FRACTIONS, 0)
    assert not (tmp_path / "h" / "splits.csv").exists()
