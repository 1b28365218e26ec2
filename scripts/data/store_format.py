"""The format of a surrogate store: its names, and reading its two documents. Needs the standard library alone."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

FORMAT = "fesf-surrogate-store"
VERSION = 1
MANIFEST, DATASET, IMAGES, SIGNATURE = "manifest.json", "dataset.json", "images", "manifest.sig"
BESIDE = (MANIFEST, SIGNATURE)
"""Files of a store that its manifest does not list: itself, and the signature over it, which a store may have."""
SECTIONS = ("training", "validation", "test")
SUFFIXES = {"png": ".png", "nifti": ".nii.gz", "dicom": ".dcm"}
MODIFIED = 315_532_800
"""All files of a published store carry this time: 1980-01-01, the first that a zip archive can hold."""
ID = re.compile(r"[0-9a-f]{32}")

_DIGEST = re.compile(r"[0-9a-f]{64}")


class StoreError(ValueError):
    """A store, or a file that claims to come from one, is not what its manifest says."""


class FormatError(StoreError):
    """A store of another format or version."""


@lru_cache(maxsize=8)
def _read_json(path: str, changed_ns: int) -> Any:  # a store's modification times are all equal: ask for the change
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def _load_json(store: str | Path, name: str) -> Any:
    path = Path(store) / name
    if not path.is_file():
        raise StoreError(
            f"{str(store)!r} is not a surrogate store: it has no {name}. Point dataset_dir at the folder that hide.json"
            " published; a folder ending in '.partial' is an unfinished run."
        )
    try:
        return _read_json(str(path), path.stat().st_ctime_ns)
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{name} is not JSON ({type(error).__name__}): copy the store again.") from None


def clear_cache() -> None:
    """Forget the documents that were read; a bench opens a store anew."""
    _read_json.cache_clear()


def load_manifest(store: str | Path) -> dict[str, Any]:
    """The store's manifest.

    Args:
        store: folder of the store.

    Raises:
        StoreError: when the folder has no manifest, one of another format or version, or a malformed one.
    """
    manifest = _load_json(store, MANIFEST)
    held = manifest if isinstance(manifest, dict) else {}
    if held.get("format") != FORMAT or held.get("version") != VERSION:
        raise FormatError(
            f"The manifest says format {shown(held.get('format'))}, version {shown(held.get('version'))}; "
            f"this release of fesf reads {FORMAT!r}, version {VERSION}."
        )
    _check(held)
    return held


def _check(manifest: dict[str, Any]) -> None:
    encoding, files = manifest.get("encoding"), manifest.get("files")
    kind = encoding.get("type") if isinstance(encoding, dict) else None
    if not isinstance(encoding, dict) or kind not in tuple(SUFFIXES) or not _is_int(encoding.get("bits")):
        raise StoreError(
            f"The manifest's encoding is {shown(encoding)}: it must name a type ({' or '.join(SUFFIXES)}) and bits."
        )
    if not isinstance(files, dict):
        raise StoreError("The manifest lists no files: copy the store again.")
    for number, (name, entry) in enumerate(files.items(), 1):
        known = isinstance(entry, dict) and _is_int(entry.get("size")) and isinstance(entry.get("sha256"), str)
        if not known or not _DIGEST.fullmatch(entry["sha256"]):
            place = image_id(name) if ID.fullmatch(image_id(name)) else f"entry {number} of files"
            raise StoreError(f"The manifest has no SHA-256 and size for {place}: copy the store again.")


def shown(value: Any) -> str:
    """A document's value as an error may quote it: a small number or the format's own name, else what kind it is.

    A document may come from anywhere, and hold a name, or a megabyte of anything.
    """
    if value is None or isinstance(value, bool) or value == FORMAT or (isinstance(value, int) and abs(value) < 10**9):
        return repr(value)
    return f"({type(value).__name__})"


def shown_name(name: str) -> str:
    """A file's name as an error may quote it: a document or a hexadecimal id's file, else only that it is none."""
    if name in (MANIFEST, DATASET, SIGNATURE) or re.fullmatch(
        rf"({IMAGES}/)?[0-9a-f]{{1,32}}(\.[a-z]{{2,3}}){{1,2}}", name
    ):
        return repr(name)
    return "A file whose name is no id"


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def is_index(value: Any, length: int) -> bool:
    """Whether a document's value is an index of a list of that length."""
    return _is_int(value) and 0 <= value < length


def load_dataset(store: str | Path) -> dict[str, Any]:
    """The store's ``dataset.json``, once it has the digest that the manifest holds.

    Args:
        store: folder of the store.

    Raises:
        StoreError: when the folder is no store, or the document was changed or is malformed.
    """
    listed = load_manifest(store)["files"].get(DATASET, {})
    dataset = _load_json(store, DATASET)
    if hashlib.sha256((Path(store) / DATASET).read_bytes()).hexdigest() != listed.get("sha256"):
        raise StoreError(f"{DATASET!r} differs from its digest in the manifest: it was changed after publication.")
    names = dataset.get("class_names") if isinstance(dataset, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise StoreError(f"{DATASET!r} has no list of class_names: copy the store again.")
    for section in SECTIONS:
        items = dataset.get(section, [])
        fine = isinstance(items, list) and all(isinstance(i, dict) and isinstance(i.get("image"), str) for i in items)
        if not fine:
            raise StoreError(f"{DATASET!r}: {section} is not a list of images: copy the store again.")
    return dict(dataset)


def items_of(dataset: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Pairs of section and item, the sections in their order."""
    for section in SECTIONS:
        for item in dataset.get(section, []):
            yield section, item


def image_id(name: str | Path) -> str:
    """Id of an image's file: what stands before the first dot of its name."""
    return Path(name).name.split(".")[0]
