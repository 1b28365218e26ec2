"""Checks of a whole surrogate store: what ``python -m fesf.scripts.verify_store`` lists.

Needs the standard library alone, so that anybody who gets a store can run it. A problem names a keyed id, never a path:
an added file's name could be a person's.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from fesf.scripts.data.dicom_elements import DECISIONS, dicom_fault
from fesf.scripts.data.file_metadata import nifti_fault, png_fault
from fesf.scripts.data.store_format import (
    DATASET,
    ID,
    IMAGES,
    MANIFEST,
    SECTIONS,
    SIGNATURE,
    SUFFIXES,
    FormatError,
    StoreError,
    image_id,
    items_of,
    load_dataset,
    load_manifest,
)

CODES = {
    "no-manifest": "the folder has no manifest.json: it is no store",
    "format-version": "the manifest is of another format or version",
    "malformed-manifest": "the manifest is not what hide.json writes",
    "malformed-dataset": "dataset.json is not what hide.json writes",
    "unknown-key": "a document holds a field that the format does not have",
    "malformed-id": "an image is not named by 32 hex digits and the suffix of its encoding",
    "missing-file": "the manifest lists it, the store lacks it",
    "extra-file": "the store holds it, the manifest does not list it",
    "not-a-file": "a link, folder or device stands where a file belongs",
    "size-differs": "the file has another size than the manifest says",
    "digest-differs": "the file has another SHA-256 than the manifest says",
    "duplicate": "the file equals another image's",
    "unequal-times": "files or folders of the store have different modification times",
    "not-an-image": "the file is no image of the manifest's encoding",
    "other-encoding": "size or depth of the image are not the manifest's",
    "metadata": "the image's file holds more than pixels",
    "not-in-dataset": "the manifest lists the image, dataset.json does not",
    "not-in-manifest": "dataset.json lists the image, the manifest does not",
    "listed-twice": "dataset.json lists the image twice",
    "not-sorted": "a section of dataset.json is not sorted by id",
    "bad-label": "the label is no index of class_names",
    "bad-patient": "the disclosed patient is not 32 hex digits",
    "patient-in-two-splits": "images of one patient lie in two sections",
    "not-in-linkage": "the store holds the image, the linkage does not",
    "not-in-store": "the linkage holds the image, the store does not",
    "other-split": "the linkage or splits.csv name another section than dataset.json",
    "other-label": "the linkage names another label than dataset.json",
    "other-recipe": "the manifest's commitment is not that of release.json under this secret",
    "no-signature": "a signature was asked for, and the store has none",
    "bad-signature": "the signature is not the given key's over this manifest",
}
AXES = {"png": (2,), "nifti": (2, 3), "dicom": (2,)}
LONGEST = {"png": 2**31 - 1, "nifti": 2**15 - 1, "dicom": 2**16 - 1}
"""Largest length of an axis that a format can state."""
MANIFEST_KEYS = {"format", "version", "spatial_size", "encoding", "commitment", "files"}
DATASET_KEYS = {"class_names", *SECTIONS}
ITEM_KEYS = {"image", "label", "patient"}


class Problem(NamedTuple):
    """One thing that is wrong.

    Args:
        code: one of :data:`CODES`.
        id: keyed id of the image or patient, a document's name, "images:3" for the third file of that folder by name,
            or "-" for the store as a whole.
    """

    code: str
    id: str


def verify_store(store: str | Path) -> list[Problem]:
    """Check a store against its own manifest.

    Args:
        store: folder of the store.

    Returns:
        The problems; none for a store as hide.json published it.
    """
    folder = Path(store)
    if not (folder / MANIFEST).is_file():
        return [Problem("no-manifest", "-")]
    try:
        manifest = load_manifest(folder)
    except FormatError:
        return [Problem("format-version", MANIFEST)]
    except StoreError:
        return [Problem("malformed-manifest", MANIFEST)]
    problems = [*_manifest(manifest), *_listing(folder, manifest["files"]), *_duplicates(manifest["files"])]
    for name, entry in manifest["files"].items():
        problems += _file(folder, name, entry, manifest)
    try:
        problems += _dataset(load_dataset(folder), manifest["files"])
    except StoreError:
        if not any(problem.id == DATASET for problem in problems):
            problems.append(Problem("malformed-dataset", DATASET))
    return problems


def _manifest(manifest: Mapping[str, Any]) -> Iterator[Problem]:
    if set(manifest) - MANIFEST_KEYS:
        yield Problem("unknown-key", MANIFEST)
    if not _known_encoding(manifest):
        yield Problem("malformed-manifest", MANIFEST)
    suffix = SUFFIXES[manifest["encoding"]["type"]]
    for number, name in enumerate(manifest["files"], 1):
        if name != DATASET and not (ID.fullmatch(image_id(name)) and name == f"{IMAGES}/{image_id(name)}{suffix}"):
            yield Problem("malformed-id", f"files:{number}")
    if DATASET not in manifest["files"]:
        yield Problem("missing-file", DATASET)


def _known_encoding(manifest: Mapping[str, Any]) -> bool:
    """Whether encoding and size are what their type can have."""
    encoding, keys = manifest["encoding"], {"type", "bits"}
    size: Any = manifest.get("spatial_size")
    if encoding["type"] == "dicom":
        keys |= {"patient_identity_removed"}
        if encoding.get("patient_identity_removed") not in DECISIONS:
            return False
    limit = LONGEST[encoding["type"]]
    sized = isinstance(size, list) and all(type(length) is int and 0 < length <= limit for length in size)
    return sized and len(size) in AXES[encoding["type"]] and set(encoding) == keys and encoding["bits"] in (8, 16)


def _listing(folder: Path, files: Mapping[str, Any]) -> Iterator[Problem]:
    """What lies in the store beside what its manifest lists, and the times of all of it."""
    times = {folder.stat().st_mtime_ns}
    for place, prefix in ((folder, ""), (folder / IMAGES, f"{IMAGES}/")):
        if not place.is_dir():
            continue
        with os.scandir(place) as entries:
            for number, entry in enumerate(sorted(entries, key=lambda entry: entry.name), 1):
                times.add(entry.stat(follow_symlinks=False).st_mtime_ns)
                name = prefix + entry.name
                if name == IMAGES and entry.is_dir(follow_symlinks=False):
                    continue
                known = name in files or name in (MANIFEST, SIGNATURE)
                shown = _shown(name) if known else f"{prefix.rstrip('/') or 'store'}:{number}"
                if not known:
                    yield Problem("extra-file", shown)
                elif not entry.is_file(follow_symlinks=False):
                    yield Problem("not-a-file", shown)
    if len(times) > 1:
        yield Problem("unequal-times", "-")


def _shown(name: str) -> str:
    """A file's place as a problem may name it: a keyed id, or one of the documents."""
    if name in (MANIFEST, DATASET, SIGNATURE):
        return name
    return image_id(name) if ID.fullmatch(image_id(name)) else "-"


def _duplicates(files: Mapping[str, Any]) -> Iterator[Problem]:
    first: dict[str, str] = {}
    for name, entry in files.items():
        if first.setdefault(entry["sha256"], name) != name:
            yield Problem("duplicate", _shown(name))


def _file(folder: Path, name: str, entry: Mapping[str, Any], manifest: Mapping[str, Any]) -> list[Problem]:
    shown, path = _shown(name), os.path.join(folder, name)
    if ".." in Path(name).parts or Path(name).is_absolute():
        return []  # a malformed id already: nothing outside the store is opened
    try:
        if os.path.islink(path) or os.stat(path).st_size != entry["size"]:
            return [] if os.path.islink(path) else [Problem("size-differs", shown)]
        with open(path, "rb") as file:
            content = file.read()
    except FileNotFoundError:
        return [Problem("missing-file", shown)]
    except (OSError, ValueError):  # a name that no file system takes
        return [Problem("not-a-file", shown)]
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        return [Problem("digest-differs", shown)]
    if name == DATASET:
        return []
    code = _fault(content, manifest, image_id(name))
    return [Problem(code, shown)] if code else []


def _fault(content: bytes, manifest: Mapping[str, Any], identity: str) -> str | None:
    if not _known_encoding(manifest):
        return None  # the manifest is malformed, and a problem already
    encoding, size = manifest["encoding"], manifest["spatial_size"]
    if encoding["type"] == "dicom":
        return dicom_fault(content, size, encoding["bits"], identity, encoding["patient_identity_removed"])
    fault = png_fault if encoding["type"] == "png" else nifti_fault
    return fault(content, size, encoding["bits"])


def _dataset(dataset: dict[str, Any], files: Mapping[str, Any]) -> Iterator[Problem]:
    if set(dataset) - DATASET_KEYS or any(set(item) - ITEM_KEYS for _, item in items_of(dataset)):
        yield Problem("unknown-key", DATASET)
    counts = Counter(item["image"] for _, item in items_of(dataset))
    for name, count in counts.items():
        if name not in files or name == DATASET:
            yield Problem("not-in-manifest", _shown(name))
        if count > 1:
            yield Problem("listed-twice", _shown(name))
    for name in files:
        if name != DATASET and name not in counts:
            yield Problem("not-in-dataset", _shown(name))
    for section in SECTIONS:
        names = [item["image"] for item in dataset.get(section, [])]
        if names != sorted(names):
            yield Problem("not-sorted", section)
    homes: dict[str, str] = {}
    for section, item in items_of(dataset):
        label, patient = item.get("label"), item.get("patient")
        if "label" in item and not (type(label) is int and 0 <= label < len(dataset["class_names"])):
            yield Problem("bad-label", _shown(item["image"]))
        if "patient" in item and not (isinstance(patient, str) and ID.fullmatch(patient)):
            yield Problem("bad-patient", _shown(item["image"]))
        elif "patient" in item and homes.setdefault(str(patient), section) != section:
            yield Problem("patient-in-two-splits", _shown(item["image"]))
