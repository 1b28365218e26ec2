"""A DICOM store written anew with the release officer's decision that the patients' identity was removed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from fesf.scripts.data.dicom_elements import DECISIONS
from fesf.scripts.data.files import SHARED, even_out, flush_folder, to_json, write_atomic
from fesf.scripts.data.store import decode_image, encode_image
from fesf.scripts.data.store_format import DATASET, IMAGES, MANIFEST, image_id, load_manifest

KEY = "patient_identity_removed"


def decision_of(store: str | Path) -> str | None:
    """What ``PatientIdentityRemoved`` of a store's files says: "NO" or "YES"; None where it is no DICOM store."""
    return load_manifest(store)["encoding"].get(KEY)


def declare_identity_removed(store: str | Path, out: str | Path, progress: Callable[[Any], Any] = iter) -> Path:
    """Write a sound DICOM store anew with ``PatientIdentityRemoved`` "YES"; pixels, ids and UIDs stay.

    Args:
        store: the store as it was audited; it is not changed.
        out: the new store; one that a call before wrote is taken as it is.
        progress: wraps the iterable of files.

    Returns:
        ``out``.

    Raises:
        ValueError: when the store is no DICOM store or says "YES" already, or ``out`` is taken or lies in a store.
    """
    source, target = Path(store).resolve(), Path(out).resolve()
    if decision_of(source) != DECISIONS[0]:
        raise ValueError("Only a DICOM store that says PatientIdentityRemoved NO can be written anew with YES.")
    if source == target or source in target.parents or not target.parent.is_dir():
        raise ValueError("The new store's place lies in the store, or its folder does not exist: choose another.")
    beside = target.with_name(f"{target.name}.partial")
    shutil.rmtree(beside, ignore_errors=True)
    (beside / IMAGES).mkdir(parents=True)
    manifest = load_manifest(source)
    encoding = manifest["encoding"] | {KEY: DECISIONS[1]}
    files: dict[str, Any] = {}
    for name in progress(manifest["files"]):
        content = (source / name).read_bytes()
        if name != DATASET:
            image = decode_image(content, manifest["encoding"]).numpy()
            content = encode_image(image, encoding, identity=image_id(name))
        (beside / name).write_bytes(content)
        files[name] = {"sha256": sha256(content).hexdigest(), "size": len(content)}
    content = to_json(manifest | {"encoding": encoding, "files": files})
    write_atomic(beside / MANIFEST, content, SHARED)
    even_out(beside)
    if not target.exists():
        beside.rename(target)
        flush_folder(target.parent)
        return Path(out)
    shutil.rmtree(beside)
    if not (target / MANIFEST).is_file() or (target / MANIFEST).read_bytes() != content:
        raise ValueError("The new store's place is taken: choose a folder that does not exist.")
    return Path(out)
