"""Adapters: public image sets as ``cohort.csv`` and a host pool. Each is a table of records and nothing more."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.model_selection import StratifiedGroupKFold

from fesf.scripts.data.cohort import LoadImageCohortd
from fesf.scripts.data.files import SHARED, to_csv, write_atomic
from fesf.scripts.data.hosts import NEAR_DUPLICATE, HostPool
from fesf.scripts.data.recipe import Recipe

FOLDS = 5
WITHDRAWN_SHARE, WITHDRAWN_LEAST, WITHDRAWN_MOST = 0.1, 6, 100


@dataclass(frozen=True)
class Record:
    """One image of a public set: file, label, patient, its authors' split and its study ("" for none)."""

    image: Path
    label: str
    patient: str
    split: str = ""
    study: str = ""


@dataclass(frozen=True)
class PublicSet:
    """A public set and how it is used here.

    Args:
        name: its folder.
        records: reads it; gets the source folder and a folder for files to be made.
        image_size: size of the surrogates.
        own_splits: whether the set brings its splits (then runs differ by seed), else runs are patient-disjoint folds.
        runs: number of folds or seeds.
        unit: what is drawn in intervals.
    """

    name: str
    records: Callable[[Path, Path], list[Record]]
    image_size: tuple[int, int]
    own_splits: bool
    runs: int
    unit: str


def _labelled(source: Path, _: Path) -> list[Record]:
    with open(source / "labels.csv", newline="") as file:
        return [Record(source / line["file"], line["label"], line["patient_id"]) for line in csv.DictReader(file)]


def _chest_xray14(source: Path, folder: Path) -> list[Record]:
    """ChestX-ray14 names a file after patient and follow-up: another follow-up is another study."""
    return [replace(record, study=record.image.stem) for record in _labelled(source, folder)]


def _medmnist(source: Path, folder: Path) -> list[Record]:
    """MedMNIST's arrays as PNG; no patients are known, so each image counts as one."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    records = []
    with np.load(next(source.glob("*.npz"))) as arrays:
        for theirs, ours in (("train", "training"), ("val", "validation"), ("test", "test")):
            labels = arrays[f"{theirs}_labels"].reshape(-1)
            for number, (pixels, label) in enumerate(zip(arrays[f"{theirs}_images"], labels, strict=True)):
                path = folder / "images" / f"{theirs}-{number}.png"
                if not path.is_file():
                    Image.fromarray(pixels).save(path)
                records.append(Record(path, str(int(label)), path.stem, ours))
    return records


SETS = {
    item.name: item
    for item in (
        PublicSet("cxr_nih1000", _chest_xray14, (64, 64), own_splits=False, runs=FOLDS, unit="patients"),
        PublicSet("mri_cheng430", _labelled, (64, 64), own_splits=False, runs=FOLDS, unit="patients"),
        PublicSet("us_breastmnist", _medmnist, (32, 32), own_splits=True, runs=3, unit="images"),
        PublicSet("fundus_retinamnist", _medmnist, (32, 32), own_splits=True, runs=3, unit="images"),
    )
}


def write_cohort(public: PublicSet, source: Path, folder: Path, run: int) -> int:
    """Write ``cohort.csv`` and ``hosts/`` for one run.

    A tenth of the patients (six to a hundred, half at most), drawn by a fixed seed whatever their labels or splits, is
    withdrawn: their images are the host pool and nothing else. Images that nearly equal a host go with it
    (us_breastmnist has copies of images under several numbers). Folds split patients by StratifiedGroupKFold; a sixth
    of the rest validates.

    Args:
        public: the set.
        source: folder that holds it.
        folder: where to write.
        run: fold, or number of the seed.

    Returns:
        Number of images that are not in the cohort.
    """
    folder.mkdir(parents=True, exist_ok=True)
    records = public.records(source, folder)
    patients = sorted({record.patient for record in records})
    share = round(WITHDRAWN_SHARE * len(patients))
    count = max(min(WITHDRAWN_LEAST, len(patients) // 2), min(WITHDRAWN_MOST, share))
    withdrawn = set(np.random.default_rng(0).choice(patients, count, replace=False).tolist())
    (folder / "hosts").mkdir(exist_ok=True)
    hosts = [record for record in records if record.patient in withdrawn]
    for number, record in enumerate(hosts):
        _link(folder / "hosts" / f"{number:03d}{record.image.suffix}", record.image)
    pool = HostPool(folder / "hosts", Recipe("adapter", image_size=public.image_size))
    loader = LoadImageCohortd("image", public.image_size)
    kept = [
        record
        for record in records
        if record.patient not in withdrawn and pool.nearest(loader.prepare(str(record.image))) <= NEAR_DUPLICATE
    ]
    rows = kept if public.own_splits else list(fold(kept, run))
    columns = ["image", "label", "patient", "split", *(["study"] if any(row.study for row in rows) else [])]
    table = ({name: getattr(row, name) for name in columns} | {"image": _place(row, source, folder)} for row in rows)
    write_atomic(folder / "cohort.csv", to_csv(columns, table), SHARED)
    return len(records) - len(kept)


def _place(record: Record, source: Path, folder: Path) -> str:
    """The image's path in the run's folder, linked there: ids follow from it, wherever the set lies."""
    if record.image.is_relative_to(folder):
        return record.image.relative_to(folder).as_posix()
    place = record.image.relative_to(source)
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    _link(folder / place, record.image)
    return place.as_posix()


def _link(link: Path, image: Path) -> None:
    link.unlink(missing_ok=True)
    link.symlink_to(os.path.abspath(image))


def fold(records: list[Record], number: int) -> Iterator[Record]:
    """The records with the splits of one of :data:`FOLDS` patient-disjoint folds."""
    labels = np.array([record.label for record in records])
    patients = np.array([record.patient for record in records])
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    rest, test = list(folds.split(labels, labels, patients))[number]
    inner = StratifiedGroupKFold(6, shuffle=True, random_state=number)
    held = rest[next(inner.split(labels[rest], labels[rest], patients[rest]))[1]]
    splits = np.full(len(records), "training", dtype=object)
    splits[test], splits[held] = "test", "validation"
    for record, split in zip(records, splits, strict=True):
        yield replace(record, split=str(split))
