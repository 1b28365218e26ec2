"""Checks of a store that need the hospital's folder: whose images they are, and which recipe made them."""

from __future__ import annotations

import hmac
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from fesf.scripts.data.folders import LINKAGE, RELEASE, SPLITS
from fesf.scripts.data.linkage import read_linkage
from fesf.scripts.data.splits import read_splits
from fesf.scripts.data.store_format import SECTIONS, image_id, items_of, load_dataset, load_manifest
from fesf.scripts.data.verify import Problem


class UniqueLabels(NamedTuple):
    """How many patients of one split stand alone by their labels: who knows a patient's diagnoses finds them.

    Args:
        split: the section.
        patients: its patients.
        by_set: patients whose set of labels no other patient of the split has.
        by_count: patients whose number of images of each label no other has (what can be seen where the store discloses
            patients).
    """

    split: str
    patients: int
    by_set: int
    by_count: int


def verify_hospital(
    store: str | Path, hospital: str | Path, secret_file: str | Path | None = None
) -> tuple[list[Problem], list[UniqueLabels]]:
    """Check a store, sound in itself, against the hospital's folder of its release.

    Args:
        store: folder of the store.
        hospital: the folder with ``linkage.csv`` (or ``linkage.csv.enc``), ``splits.csv`` and ``release.json``.
        secret_file: the hospital's secret; then the manifest's commitment is checked too. An encrypted linkage needs
            it, or the environment variable.

    Returns:
        The problems, and per split the patients who stand alone by their labels.

    Raises:
        ValueError: when a file of the folder cannot be read.
    """
    folder = Path(hospital)
    linkage = read_linkage(folder / LINKAGE, secret_file)
    problems = [*_agree(load_dataset(store), linkage, read_splits(folder / SPLITS))]
    if secret_file is not None:
        problems += _commitment(store, folder / RELEASE, secret_file)
    return problems, [count for count in (_unique(section, linkage) for section in SECTIONS) if count.patients]


def _agree(dataset: dict[str, Any], linkage: dict[str, dict[str, str]], splits: dict[str, str]) -> Iterator[Problem]:
    names, held = dataset["class_names"], set()
    for section, item in items_of(dataset):
        identity = image_id(item["image"])
        held.add(identity)
        row = linkage.get(identity)
        if row is None:
            yield Problem("not-in-linkage", identity)
            continue
        if section != row["split"] or section != splits.get(row["patient"]):
            yield Problem("other-split", identity)
        label = item.get("label")
        if label is not None and (label not in range(len(names)) or names[label] != row["label"]):
            yield Problem("other-label", identity)
    for identity in linkage:
        if identity not in held:
            yield Problem("not-in-store", identity)
    homes: dict[str, set[str]] = defaultdict(set)
    for section, item in items_of(dataset):
        if image_id(item["image"]) in linkage:
            homes[linkage[image_id(item["image"])]["patient"]].add(section)
    for identity, row in linkage.items():
        if len(homes[row["patient"]]) > 1:
            yield Problem("patient-in-two-splits", identity)


def _commitment(store: str | Path, release: Path, secret_file: str | Path) -> Iterator[Problem]:
    from fesf.scripts.data.keys import commitment, derive_key, load_secret  # cryptography: the hospital has it

    if not release.is_file():
        raise ValueError("The hospital folder has no release.json: name the folder of this store's release.")
    content = release.read_bytes()
    key = derive_key(load_secret(secret_file), str(json.loads(content)["release_id"]), "commitment")
    if not hmac.compare_digest(commitment(key, content), str(load_manifest(store).get("commitment"))):
        yield Problem("other-recipe", "-")


def _unique(section: str, linkage: dict[str, dict[str, str]]) -> UniqueLabels:
    labels: dict[str, Counter[str]] = defaultdict(Counter)
    for row in linkage.values():
        if row["split"] == section:
            labels[row["patient"]][row["label"]] += 1
    sets = Counter(frozenset(counts) for counts in labels.values())
    counted = Counter(frozenset(counts.items()) for counts in labels.values())
    return UniqueLabels(
        section,
        len(labels),
        sum(number == 1 for number in sets.values()),
        sum(number == 1 for number in counted.values()),
    )
