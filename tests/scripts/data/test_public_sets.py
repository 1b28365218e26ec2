"""Adapters: folds, withdrawn hosts and near duplicates on a small set; the real sets are read as they are."""

from __future__ import annotations

import csv
import os
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fesf.scripts.data import public_sets
from fesf.scripts.data.cohort import read_cohort
from fesf.scripts.data.public_sets import FOLDS, SETS, PublicSet, Record, _labelled, fold, write_cohort

from ...conftest import smooth, write_png


def records(patients: int = 40, seed: int = 0) -> list[Record]:
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 5, patients)
    return [
        Record(Path(f"{p}-{n}.png"), "abc"[p % 3], f"p{p:02d}", split="theirs")
        for p in range(patients)
        for n in range(counts[p])
    ]


def test_folds_test_every_record_once_and_split_no_patient() -> None:
    given = records()
    tested: Counter[Path] = Counter()
    for number in range(FOLDS):
        found = list(fold(given, number))
        assert [(row.image, row.label, row.patient) for row in found] == [
            (row.image, row.label, row.patient) for row in given
        ]
        splits = {name: [row for row in found if row.split == name] for name in ("training", "validation", "test")}
        assert sum(map(len, splits.values())) == len(given)
        patients = [{row.patient for row in rows} for rows in splits.values()]
        assert sum(map(len, patients)) == len(set.union(*patients)) == 40
        for name, rows in splits.items():
            assert {row.label for row in rows} == set("abc"), name
        shares = [len(rows) / len(given) for rows in splits.values()]
        assert shares == pytest.approx([2 / 3, 2 / 15, 1 / 5], abs=0.05)
        tested.update(row.image for row in splits["test"])
    assert tested == Counter(row.image for row in given)


def test_folds_are_the_same_each_time_and_leave_their_input_alone() -> None:
    given = records()
    assert list(fold(given, 1)) == list(fold(given, 1))
    assert list(fold(given, 1)) != list(fold(given, 2))
    assert {row.split for row in given} == {"theirs"}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """30 patients with two images each: six are to be withdrawn."""
    folder = tmp_path / "source"
    (folder / "images").mkdir(parents=True)
    with open(folder / "labels.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("file", "label", "patient_id", "author_split"))
        for patient in range(30):
            for image in range(2):
                name = f"images/{patient:02d}-{image}.png"
                write_png(folder / name, smooth(2 * patient + image))
                table.writerow((name, ("no", "yes")[patient % 2], f"{patient:02d}", "test"))
    return folder


SMALL = PublicSet("small", _labelled, (24, 24), own_splits=False, runs=FOLDS, unit="patients")


def hosts_of(folder: Path) -> list[str]:
    links = sorted((folder / "hosts").iterdir())
    assert all(link.is_symlink() and link.suffix == ".png" for link in links)
    return [Path(os.path.realpath(link)).name for link in links]


def test_labelled_reads_the_table(source: Path, tmp_path: Path) -> None:
    found = _labelled(source, tmp_path)
    assert len(found) == 60
    assert found[3] == Record(source / "images" / "01-1.png", "yes", "01", "")


def test_a_follow_up_of_chestxray14_is_a_study(source: Path, tmp_path: Path) -> None:
    chests = replace(SMALL, records=SETS["cxr_nih1000"].records)
    write_cohort(chests, source, tmp_path / "run", 0)
    write_cohort(SMALL, source, tmp_path / "without", 0)
    rows = read_cohort(tmp_path / "run" / "cohort.csv").rows
    assert {row.study for row in rows} == {Path(row.image).stem for row in rows}
    bare = [replace(row, study="") for row in rows]
    assert read_cohort(tmp_path / "without" / "cohort.csv").rows == bare
    assert (tmp_path / "without" / "cohort.csv").read_text().splitlines()[0] == "image,label,patient,split"


def test_hosts_patients_are_nowhere_in_the_cohort(source: Path, tmp_path: Path) -> None:
    made = [tmp_path / "run-0", tmp_path / "run-3"]
    assert [write_cohort(SMALL, source, folder, int(folder.name[-1])) for folder in made] == [12, 12]
    hosts = hosts_of(made[0])
    patients = {name[:2] for name in hosts}
    assert len(patients) == 6  # a tenth would be three
    assert hosts == sorted(f"{patient}-{image}.png" for patient in patients for image in range(2))
    assert hosts_of(made[1]) == hosts  # whatever the run
    tests = []
    for folder in made:
        rows = read_cohort(folder / "cohort.csv").rows
        assert len(rows) == 48
        assert {row.patient for row in rows}.isdisjoint(patients)
        assert all((folder / row.image).is_file() for row in rows)
        assert {row.split for row in rows} == {"training", "validation", "test"}
        tests.append({row.patient for row in rows if row.split == "test"})
    assert tests[0].isdisjoint(tests[1])


def test_a_second_time_gives_the_same(source: Path, tmp_path: Path) -> None:
    write_cohort(SMALL, source, tmp_path / "run", 0)
    before = (tmp_path / "run" / "cohort.csv").read_bytes()
    assert write_cohort(SMALL, source, tmp_path / "run", 0) == 12
    assert (tmp_path / "run" / "cohort.csv").read_bytes() == before
    assert len(hosts_of(tmp_path / "run")) == 12


def test_near_duplicates_of_hosts_are_withdrawn(source: Path, tmp_path: Path) -> None:
    write_cohort(SMALL, source, tmp_path / "before", 0)
    host = hosts_of(tmp_path / "before")[0]
    kept = [Path(row.image).name for row in read_cohort(tmp_path / "before" / "cohort.csv").rows]
    shutil.copy(source / "images" / host, source / "images" / kept[0])  # under another patient's number
    with Image.open(source / "images" / host) as image:
        brighter = np.asarray(image) / 255.0
    write_png(source / "images" / kept[9], brighter**0.8)
    write_png(source / "images" / kept[20], 1 - brighter)  # the negative is another image
    assert write_cohort(SMALL, source, tmp_path / "after", 0) == 14
    assert hosts_of(tmp_path / "after") == hosts_of(tmp_path / "before")
    left = [Path(row.image).name for row in read_cohort(tmp_path / "after" / "cohort.csv").rows]
    assert left == [name for name in kept if name not in (kept[0], kept[9])]


def test_a_hosts_image_that_resembles_nothing_is_withdrawn_too(source: Path, tmp_path: Path) -> None:
    """A constant image correlates with no host, itself included: its patient alone puts it out."""
    write_cohort(SMALL, source, tmp_path / "before", 0)
    write_png(source / "images" / hosts_of(tmp_path / "before")[0], np.full((24, 24), 0.5))
    assert write_cohort(SMALL, source, tmp_path / "after", 0) == 12


def test_a_tenth_of_the_patients_are_hosts_six_to_a_hundred_and_half_at_most(source: Path, tmp_path: Path) -> None:
    def several(count: int) -> PublicSet:
        def read(folder: Path, _: Path) -> list[Record]:
            images = sorted((folder / "images").iterdir())
            return [Record(images[n % 60], str(n % 2), f"{n:03d}", "training") for n in range(count)]

        return PublicSet("s", read, (24, 24), own_splits=True, runs=3, unit="patients")

    assert (public_sets.WITHDRAWN_LEAST, public_sets.WITHDRAWN_MOST) == (6, 100)
    for count, hosts in ((8, 4), (20, 6), (80, 8), (240, 24), (1100, 100)):
        write_cohort(several(count), source, tmp_path / str(count), 0)
        assert len(hosts_of(tmp_path / str(count))) == hosts


def test_the_cohort_is_the_same_wherever_the_set_lies(source: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(source, tmp_path / "elsewhere" / "set"))
    tables = []
    for place, folder in ((source, tmp_path / "a"), (moved, tmp_path / "deep" / "b"), (moved, tmp_path / "a")):
        write_cohort(SMALL, place, folder, 0)
        tables.append((folder / "cohort.csv").read_bytes())
        image = folder / read_cohort(folder / "cohort.csv").rows[0].image
        assert image.resolve().is_relative_to(place.resolve())
    assert tables[0] == tables[1] == tables[2]
    assert str(tmp_path).encode() not in tables[0]


def test_own_splits_are_kept_whatever_the_run(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {}
    for start, split, count in ((0, "train", 14), (100, "val", 4), (200, "test", 6)):
        images = [np.rint(smooth(start + n, (28, 28)) * 255).astype(np.uint8) for n in range(count)]
        arrays |= {
            f"{split}_images": np.stack(images),
            f"{split}_labels": np.arange(count, dtype=np.uint8)[:, None] % 2,
        }
    np.savez(tmp_path / "mnist.npz", **arrays)
    tables = []
    for run in range(2):
        folder = tmp_path / str(run)
        assert write_cohort(SETS["us_breastmnist"], tmp_path, folder, run) == 6
        table = {Path(row.image).stem: row for row in read_cohort(folder / "cohort.csv").rows}
        for name, row in table.items():
            split, number = name.split("-")
            assert row.split == {"train": "training", "val": "validation", "test": "test"}[split]
            assert row.label == str(int(number) % 2)
            assert row.patient == name
            with Image.open(folder / row.image) as image:
                assert np.array_equal(np.asarray(image), arrays[f"{split}_images"][int(number)])
        tables.append([(name, row.split) for name, row in table.items()])
    assert len(tables[0]) == 18
    assert tables[0] == tables[1]
    images = sorted((tmp_path / "0" / "images").iterdir())
    times = [path.stat().st_mtime_ns for path in images]
    assert write_cohort(SETS["us_breastmnist"], tmp_path, tmp_path / "0", 0) == 6
    assert [path.stat().st_mtime_ns for path in images] == times  # pictures that are there stay


@pytest.mark.parametrize(
    ("name", "labels", "patients", "splits"),
    [
        ("cxr_nih1000", {"normal": 500, "abnormal": 500}, 264, {"": 1000}),
        ("mri_cheng430", {"glioma": 222, "meningioma": 80, "pituitary": 128}, 34, {"": 430}),
        ("us_breastmnist", {"0": 210, "1": 570}, 780, {"training": 546, "validation": 78, "test": 156}),
        (
            "fundus_retinamnist",
            {"0": 714, "1": 186, "2": 326, "3": 282, "4": 92},
            1600,
            {"training": 1080, "validation": 120, "test": 400},
        ),
    ],
)
def test_the_real_sets_are_read_whole(
    name: str,
    labels: dict[str, int],
    patients: int,
    splits: dict[str, int],
    shared_data: Path,
    tmp_path: Path,
) -> None:
    public = SETS[name]
    found = public.records(shared_data / name, tmp_path)
    assert Counter(record.label for record in found) == labels
    assert len({record.patient for record in found}) == patients
    assert Counter(record.split for record in found) == splits
    assert len({record.image for record in found}) == len(found)
    assert all(record.image.is_file() for record in found)
    assert public.image_size == ((32, 32) if public.own_splits else (64, 64))
    assert public.own_splits == (len(splits) == 3)
    assert public.unit == ("images" if public.own_splits else "patients")
