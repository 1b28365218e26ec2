"""Splitting patients, not images, and keeping the assignment for later releases."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from fesf.scripts.data.files import UNSHOWN
from fesf.scripts.data.store_format import SECTIONS


def assign_splits(
    patients: Mapping[str, Counter[str]],
    fractions: Sequence[float] = (0.7, 0.1, 0.2),
    seed: int = 0,
    previous: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Assign each patient to training, validation or test, so that every label keeps its share.

    Greedy in the manner of scikit-learn's StratifiedGroupKFold (which cannot keep an earlier assignment, nor take
    unequal shares): patients with many images first, each to the split where the shares of the labels stay closest to
    the fractions.

    Args:
        patients: per patient, the number of images of each label; one patient can carry several labels.
        fractions: shares of training, validation and test, positive, summing to 1.
        seed: order among patients with equally many images.
        previous: an earlier assignment, which is kept.

    Returns:
        Patient to split, for all of ``patients`` and ``previous``.

    Raises:
        ValueError: when the fractions are not three positive numbers that sum to 1.
    """
    shares = np.asarray(fractions, dtype=float)
    if shares.shape != (3,) or not (shares > 0).all() or abs(shares.sum() - 1) > 1e-6:
        raise ValueError(
            f"fractions={list(fractions)}: give three positive shares that sum to 1, such as [0.7, 0.1, 0.2]."
        )
    labels = sorted({label for counts in patients.values() for label in counts})
    vectors = {patient: np.array([counts[label] for label in labels], float) for patient, counts in patients.items()}
    assigned = dict(previous or {})
    counts = np.zeros((3, len(labels)))
    for patient, vector in vectors.items():
        if patient in assigned:
            counts[SECTIONS.index(assigned[patient])] += vector
    # Each row of targets is the number of images of each label that the split should end with.
    targets = shares[:, None] * sum(vectors.values(), np.zeros(len(labels)))
    names = sorted(vectors)
    order = [names[index] for index in np.random.default_rng(seed).permutation(len(names))]
    for patient in sorted(order, key=lambda name: -vectors[name].sum()):
        if patient in assigned:
            continue
        filled = (counts[None] + np.eye(3)[:, :, None] * vectors[patient]) / targets  # (candidate, split, label)
        best = int(np.argmin(np.nan_to_num(filled.std(axis=1)).mean(axis=1)))
        counts[best] += vectors[patient]
        assigned[patient] = SECTIONS[best]
    return assigned


def read_splits(path: str | Path) -> dict[str, str]:
    """Read ``splits.csv``.

    Args:
        path: table with the columns patient and split.

    Raises:
        ValueError: when the file is missing, or a row names no split of ours.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"splits {str(path)!r} is not a file: hide.json writes splits.csv into the hospital folder.")
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if reader.fieldnames != ["patient", "split"]:
            raise ValueError("The header of splits.csv is another one: it must be patient,split.")
        assigned: dict[str, str] = {}
        for number, record in enumerate(reader, start=2):
            if record["split"] not in SECTIONS:
                raise ValueError(
                    f"Row {number} of splits.csv has an unknown split: use {', '.join(SECTIONS)}. {UNSHOWN}"
                )
            assigned[record["patient"]] = record["split"]
    return assigned
