"""Splitting patients, and keeping the assignment."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from fesf.scripts.data.splits import assign_splits, read_splits


def cohort(patients: int, seed: int = 0) -> dict[str, Counter[str]]:
    rng = np.random.default_rng(seed)
    return {f"p{i}": Counter({"a": int(rng.integers(1, 5)), "b": int(rng.integers(0, 3))}) for i in range(patients)}


@pytest.mark.parametrize("fractions", [(0.7, 0.1, 0.2), (0.34, 0.33, 0.33)])
def test_every_label_keeps_its_share(fractions: tuple[float, float, float]) -> None:
    patients = cohort(300)
    assigned = assign_splits(patients, fractions, seed=1)
    assert set(assigned) == set(patients)
    for label in "ab":
        total = sum(counts[label] for counts in patients.values())
        for split, share in zip(("training", "validation", "test"), fractions, strict=True):
            held = sum(counts[label] for name, counts in patients.items() if assigned[name] == split)
            assert held / total == pytest.approx(share, abs=0.02)


def test_small_cohorts_fill_every_split() -> None:
    assert set(assign_splits(cohort(10)).values()) == {"training", "validation", "test"}


def test_any_text_is_a_patient() -> None:
    """numpy's text arrays drop zeros at the end."""
    assert set(assign_splits({"P\0": Counter("a"), "P": Counter("a"), "Ä ": Counter("b")})) == {"P\0", "P", "Ä "}


def test_seed_decides() -> None:
    patients = cohort(60)
    assert assign_splits(patients, seed=3) == assign_splits(dict(reversed(patients.items())), seed=3)
    assert assign_splits(patients, seed=3) != assign_splits(patients, seed=4)


def test_a_later_release_moves_nobody() -> None:
    first = assign_splits(cohort(60), seed=0)
    grown = cohort(60) | {f"new{i}": Counter(a=2) for i in range(40)}
    second = assign_splits(grown, seed=9, previous=first)
    assert {name: second[name] for name in first} == first
    shares = Counter(second[f"new{i}"] for i in range(40))
    assert shares["training"] > shares["test"] > shares["validation"] > 0


@pytest.mark.parametrize("fractions", [(0.5, 0.5), (0.7, 0.2, 0.2), (1.0, 0.0, 0.0)])
def test_bad_fractions_are_refused(fractions: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="three positive shares that sum to 1"):
        assign_splits(cohort(5), fractions)


def test_read_splits_checks_the_file(tmp_path: Path) -> None:
    path = tmp_path / "splits.csv"
    with pytest.raises(ValueError, match=r"is not a file: hide.json writes"):
        read_splits(path)
    path.write_text("patient,split\nA,training\nB,test\n")
    assert read_splits(path) == {"A": "training", "B": "test"}
    path.write_text("patient,fold\nA,1\n")
    with pytest.raises(ValueError, match="must be patient,split"):
        read_splits(path)
    path.write_text("patient,split\nA,training\nB,train\n")
    with pytest.raises(ValueError, match=r"Row 3 of splits.csv has an unknown split"):
        read_splits(path)
    for content in ("patient,split\nA,Anna Schmidt\n", "Anna Schmidt,training\n"):
        path.write_text(content)
        with pytest.raises(ValueError, match=r"splits.csv") as caught:
            read_splits(path)
        assert "Schmidt" not in str(caught.value)
