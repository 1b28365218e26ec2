"""The surrogate store: its format, and the analyst's side of reading it.

A store is all that crosses from the hospital to anybody else. It holds ``manifest.json`` (format, encoding and the
digest of every file), ``dataset.json`` (a MONAI datalist) and ``images/``. Nothing here needs the hospital's code.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import zlib
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from PIL import Image

from fesf.scripts.data.dicom_image import decode_dicom, encode_dicom, require
from fesf.scripts.data.store_format import (
    BESIDE,
    DATASET,
    FORMAT,
    ID,
    IMAGES,
    MANIFEST,
    SECTIONS,
    SIGNATURE,
    SUFFIXES,
    VERSION,
    StoreError,
    image_id,
    is_index,
    load_dataset,
    load_manifest,
    shown_name,
)

LARGEST = 2**29
"""Bytes of NIfTI beyond which a file is none of ours: small files can unpack to any size. Pillow has its own limit."""
TOO_LARGE = "An image unpacks to more than any surrogate's: it is not read."

__all__ = [
    "DATASET",
    "FORMAT",
    "IMAGES",
    "MANIFEST",
    "SECTIONS",
    "SIGNATURE",
    "SUFFIXES",
    "VERSION",
    "LoadImageStored",
    "StoreError",
    "class_names",
    "class_weights",
    "decode_image",
    "encode_image",
    "load_datalist",
    "load_manifest",
    "refuse_other_files",
]


def class_names(store: str | Path) -> list[str]:
    """Names of the classes; a label of the datalist is an index into this list.

    Args:
        store: folder of the store.

    Raises:
        StoreError: when the folder is not a store.
    """
    return list(load_dataset(store)["class_names"])


def load_datalist(
    store: str | Path | None, section: str = "training", image: str | Path | None = None, labels: bool = True
) -> list[dict]:
    """Items of one section of a store, as a MONAI dataset takes them.

    Args:
        store: folder of the store; may be None when ``image`` is given.
        section: "training", "validation", "test", or "all" for the three in this order.
        image: a single image file instead of a section.
        labels: False leaves labels out. Where a store labels some images and not others, a batch could hold both kinds.

    Returns:
        One dict an image: "image" (path), "id" (32 hex digits), and where the store discloses them "label" (class
        index) and "patient" (keyed pseudonym).

    Raises:
        StoreError: when the folder is not a store.
        ValueError: when the section is unknown or empty.
    """
    if image is not None:
        return [{"image": str(image), "id": image_id(image)}]
    if store is None:
        raise ValueError("Neither a store nor an image was given: pass dataset_dir or image.")
    if section not in (*SECTIONS, "all"):
        raise ValueError(f"Unknown section {section!r}: choose one of {', '.join(SECTIONS)} or all.")
    dataset = load_dataset(store)
    items = [
        {**item, "image": str(Path(store) / item["image"]), "id": image_id(item["image"])}
        for name in (SECTIONS if section == "all" else (section,))
        for item in dataset.get(name, [])
    ]
    classes = len(dataset["class_names"])
    if any("label" in item and not is_index(item["label"], classes) for item in items):
        raise StoreError(f"{DATASET!r}: a label of {section} is no index of class_names: copy the store again.")
    if not items:
        raise ValueError(
            f"The section {section!r} of the store is empty: hide more patients or choose another section."
        )
    return items if labels else [{name: value for name, value in item.items() if name != "label"} for item in items]


def class_weights(data: Sequence[Mapping[str, Any]], num_classes: int) -> torch.Tensor:
    """Inverse class frequencies with mean 1, for a class-weighted loss.

    Args:
        data: items with an integer "label".
        num_classes: number of classes.

    Returns:
        Tensor of shape (num_classes,), float32.

    Raises:
        ValueError: when an item has no label, a label lies outside [0, num_classes), or a class has no item.
    """
    unlabelled = sum("label" not in item for item in data)
    if unlabelled:
        raise ValueError(f"{unlabelled} training items have no label: training needs a label for each image.")
    labels = Counter(int(item["label"]) for item in data)
    outside = sorted(label for label in labels if not 0 <= label < num_classes)
    if outside:
        raise ValueError(
            f"Labels {outside} lie outside num_classes={num_classes}: set num_classes to the number of classes."
        )
    missing = [label for label in range(num_classes) if label not in labels]
    if missing:
        raise ValueError(f"Classes {missing} of num_classes={num_classes} have no training image.")
    weights = torch.tensor([1.0 / labels[label] for label in range(num_classes)])
    return weights / weights.mean()


def encode_image(
    image: np.ndarray, encoding: Mapping[str, Any], spacing: Sequence[float] | None = None, identity: str = ""
) -> bytes:
    """One surrogate as the bytes of its file, the same bytes for the same values.

    Args:
        image: array (1, X, Y) or (1, X, Y, Z) in [0, 1], axes as MONAI's LoadImage gives them.
        encoding: ``{"type": "png" | "nifti" | "dicom", "bits": 8 | 16}``; PNG and DICOM take 2D images only. DICOM adds
            "patient_identity_removed": "NO", or "YES" where a release officer decided so.
        spacing: voxel size in mm for NIfTI, rounded to 0.1 mm: scanner geometry is a fingerprint. Origin and axes
            are never written.
        identity: keyed id of the image, from which its DICOM UIDs follow; PNG and NIfTI hold none.
    """
    bits = int(encoding["bits"])
    values = np.rint(image[0] * (2**bits - 1)).astype(f"uint{bits}")
    if encoding["type"] == "dicom":
        return encode_dicom(values, identity, encoding["patient_identity_removed"])
    buffer = io.BytesIO()
    if encoding["type"] == "png":
        picture = Image.fromarray(np.ascontiguousarray(values.T))  # LoadImage reads PNG transposed
        # Runs alone, no longer matches: a quarter of the time, and no larger, since surrogates repeat nothing else.
        picture.save(buffer, format="PNG", compress_type=zlib.Z_RLE)
        return buffer.getvalue()
    sizes = [max(round(float(size), 1), 0.1) for size in (spacing or (1.0,) * values.ndim)]
    affine = np.diag([*sizes, *([1.0] * (4 - len(sizes)))])
    # mtime=0: a gzip header would hold the time of writing.
    return gzip.compress(nib.Nifti1Image(values, affine).to_bytes(), compresslevel=6, mtime=0)


def decode_image(content: bytes, encoding: Mapping[str, Any]) -> MetaTensor:
    """The inverse of :func:`encode_image`.

    Returns:
        MetaTensor (1, *spatial), float32 in [0, 1], with an affine and no other metadata.

    Raises:
        StoreError: when pixels are none of a surrogate's, or unpack to more than any surrogate's.
    """
    if encoding["type"] == "dicom":
        return decode_dicom(content)
    if encoding["type"] == "png":
        try:
            values = np.asarray(Image.open(io.BytesIO(content))).T
        except Image.DecompressionBombError:  # by the header, before anything is unpacked
            raise StoreError(TOO_LARGE) from None
        affine = torch.eye(4, dtype=torch.float64)
    else:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            unpacked = file.read(LARGEST + 1)
        if len(unpacked) > LARGEST:
            raise StoreError(TOO_LARGE)
        volume = nib.Nifti1Image.from_bytes(unpacked)
        values, affine = np.asanyarray(volume.dataobj), torch.as_tensor(volume.affine)
    if values.dtype not in (np.uint8, np.uint16):
        raise StoreError(f"Pixels are {values.dtype}; a surrogate is 8- or 16-bit grey.")
    scaled = values.astype(np.float32) / np.float32(np.iinfo(values.dtype).max)
    return MetaTensor(torch.from_numpy(np.ascontiguousarray(scaled))[None], affine=affine)


def refuse_other_files(store: str | Path) -> None:
    """Refuse a store whose folders hold more or fewer files than its manifest lists.

    Args:
        store: folder of the store.

    Raises:
        StoreError: when the folder is no store, or a file was added or removed. The name of an added file is shown only
            where it is an id.
    """
    folder = Path(store)
    listed = {*load_manifest(store)["files"], *(name for name in BESIDE if (folder / name).is_file())}
    found = {name for name in os.listdir(folder) if name != IMAGES}
    if (folder / IMAGES).is_dir():
        found |= {f"{IMAGES}/{name}" for name in os.listdir(folder / IMAGES)}
    missing = sorted(listed - found)
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise StoreError(
            f"{shown_name(missing[0])}{more} cannot be read (missing): the store is incomplete, copy it again."
        )
    added = sorted(found - listed)
    if added:
        ids = [name for name in added if ID.fullmatch(image_id(name))]
        raise StoreError(
            f"The store holds {len(added)} files that its manifest does not list{f' ({ids[0]!r})' if ids else ''}: they"
            " were added after publication. Delete them, or copy the store again."
        )


class LoadImageStored(MapTransform):
    """Load surrogates, refusing any file that its store's manifest does not vouch for.

    The digest is taken of the very bytes that are decoded, at every read: 10 microseconds an image. Nothing is
    remembered between reads, so there is no cache that somebody who can write to the store could abuse.

    The name holds "LoadImage" because MONAI Deploy drops loaders by that name and feeds arrays instead.

    Args:
        keys: keys of the items that hold an image's path.
        store: folder of the store; None reads single images that belong to none (no digest is checked then).
        allow_missing_keys: do not raise when a key is missing.

    Returns of a call:
        The item with MetaTensors (1, *spatial), float32 in [0, 1]; metadata is the affine alone.

    Raises:
        StoreError: when the image is not in the manifest, its digest differs, or it is no surrogate's file; when made,
            if a file of the store was added or removed.
    """

    def __init__(self, keys: KeysCollection, store: str | Path | None = None, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.images = None if store is None else os.path.abspath(Path(store) / IMAGES)
        manifest = None if store is None else load_manifest(store)
        if store is not None:
            refuse_other_files(store)
        self.encoding = None if manifest is None else manifest["encoding"]
        if self.encoding is not None and self.encoding["type"] == "dicom":
            require("pydicom")
        # 10,000 images: hex digests as bytes halve the memory that every worker copies.
        self.digests = {} if manifest is None else {k: bytes.fromhex(v["sha256"]) for k, v in manifest["files"].items()}

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            item[key] = self._load(Path(item[key]))
        return item

    def _load(self, path: Path) -> MetaTensor:
        name = f"{IMAGES}/{path.name}"
        shown = repr(name) if self.images is None else shown_name(name)
        if self.images is not None and (name not in self.digests or os.path.abspath(path.parent) != self.images):
            raise StoreError(f"{shown} is not in the store's manifest: only published surrogates are read.")
        try:
            content = path.read_bytes()
        except OSError as error:
            raise StoreError(
                f"{shown} cannot be read ({error.strerror}): the store is incomplete, copy it again."
            ) from None
        if self.images is not None and hashlib.sha256(content).digest() != self.digests[name]:
            raise StoreError(f"{shown} differs from its digest in the manifest: it was changed after publication.")
        encoding = self.encoding or {"type": {".png": "png", ".dcm": "dicom"}.get(path.suffix.lower(), "nifti")}
        try:
            return decode_image(content, encoding)
        except (OSError, EOFError, nib.filebasedimages.ImageFileError) as error:
            raise StoreError(f"{shown} is not a {encoding['type']} image ({type(error).__name__}).") from None
