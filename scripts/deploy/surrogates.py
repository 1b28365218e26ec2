"""Taking surrogates from a folder of DICOM files, and nothing else: every element of every file is checked.

Whoever receives or exports DICOM writes a file's meta information anew, so that it is the receiver's, while the data
set stays. The data set must be a surrogate's to the byte; of the meta information the transfer syntax alone counts.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from fesf.scripts.data.dicom_elements import (
    DECISIONS,
    EXPLICIT_LITTLE_ENDIAN,
    PREAMBLE,
    SECONDARY_CAPTURE,
    dicom_fault,
    expected_elements,
    meta_information,
    walk,
)
from fesf.scripts.data.dicom_image import decode_dicom
from fesf.scripts.data.store import LARGEST
from fesf.scripts.data.store_format import ID

_DATASET = [name for name in expected_elements("", (1, 1), 8, "NO") if not name.startswith("0002")]


class SurrogateError(ValueError):
    """A file or object is no surrogate; the text quotes nothing of it."""


def own_file(content: bytes) -> tuple[str, bytes]:
    """Check a DICOM file; give its id and the file as hide.json wrote it.

    Args:
        content: the file, with anybody's preamble and meta information.

    Returns:
        Keyed id (32 hex digits), and the bytes of the surrogate's file in its store.

    Raises:
        SurrogateError: when its data set is not, to the byte, a surrogate's.
    """
    return _checked(_dataset(content))


def _dataset(content: bytes) -> bytes:
    """What follows a file's meta information, which must say that it is explicit VR, little endian."""
    start = len(PREAMBLE)
    if content[128:start] != b"DICM":
        raise SurrogateError("it is no DICOM file")
    try:
        name, _, value = next(walk(content))
        end = start + 12 + struct.unpack("<I", value)[0] if name == "00020000" else 0
        meta = {name: value for name, _, value in walk(content, end=end)} if start < end <= len(content) else {}
    except (ValueError, StopIteration, struct.error, RecursionError):
        meta = {}
    if meta.get("00020010", b"").rstrip(b"\0").decode("ascii", "replace") != EXPLICIT_LITTLE_ENDIAN:
        raise SurrogateError("it is not in explicit VR, little endian, in which surrogates are written")
    return content[end:]


def _checked(dataset: bytes) -> tuple[str, bytes]:
    try:
        elements = [(name, value) for name, _, value in walk(dataset, 0)]
    except (ValueError, RecursionError):
        raise SurrogateError("it is cut off, or not in explicit VR, in which surrogates are written") from None
    values = dict(elements)
    if values.get("00080016", b"").rstrip(b"\0").decode("ascii", "replace") != SECONDARY_CAPTURE:
        raise SurrogateError("its SOP class is not Secondary Capture")
    if [name for name, _ in elements] != _DATASET:
        raise SurrogateError("it holds other elements than hide.json writes")
    identity = values["00100020"].decode("ascii", "replace")
    if not ID.fullmatch(identity):
        raise SurrogateError("its PatientID is no keyed id")
    decision = values["00120062"].strip().decode("ascii", "replace")
    sizes = [values[name] for name in ("00280011", "00280010", "00280100")]
    if decision not in DECISIONS or any(len(value) != 2 for value in sizes):
        raise SurrogateError("its elements have other values than hide.json writes")
    columns, rows, bits = (struct.unpack("<H", value)[0] for value in sizes)
    content = meta_information(identity) + dataset
    if bits not in (8, 16) or dicom_fault(content, (columns, rows), bits, identity, decision):
        raise SurrogateError("its elements have other values than hide.json writes")
    return identity, content


def read_surrogate(path: str | Path) -> tuple[str, MetaTensor]:
    """Read one file.

    Returns:
        Keyed id, and the image (1, X, Y), float32 in [0, 1], as ``LoadImageStored`` gives it.

    Raises:
        SurrogateError: when it is no plain file, too large, or no surrogate.
    """
    identity, content = own_file(_plain_file(path))
    return identity, decode_dicom(content)


def _plain_file(path: str | Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | getattr(os, "O_NOFOLLOW", 0))
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise SurrogateError("it is no plain file")
            if found.st_size > LARGEST:
                raise SurrogateError("it is larger than any surrogate")
            return file.read()
    except OSError as error:
        raise SurrogateError(f"it is no plain file that can be read ({error.strerror})") from None


def find_surrogates(folder: str | Path) -> list[dict[str, str]]:
    """All surrogates of a folder and its subfolders, once every file there has been checked.

    Args:
        folder: of DICOM files; names that begin with a dot are passed over, and no link is followed.

    Returns:
        Items of a MONAI data set, sorted by id: "image" (path) and "id".

    Raises:
        SurrogateError: when the folder has no file, one is no surrogate, two are of one surrogate, or they differ in
            size. A file is named by its number in the order of names, since an export's names may be people's.
    """
    paths = _files(Path(folder))
    items: dict[str, str] = {}
    numbers: dict[str, int] = {}
    size: tuple[int, ...] = ()
    for number, path in enumerate(paths, 1):
        place = f"File {number} of {len(paths)} (by name)"
        try:
            identity, image = read_surrogate(path)
        except SurrogateError as error:
            raise SurrogateError(
                f"{place} is no surrogate: {error}. Nothing was classified; take away what hide.json did not write."
            ) from None
        if identity in items:
            raise SurrogateError(f"{place} is the surrogate of file {numbers[identity]} again: keep one of them.")
        if size not in ((), image.shape):
            raise SurrogateError(f"{place} has another size than file 1: run one release at a time.")
        size = tuple(image.shape)
        items[identity], numbers[identity] = str(path.absolute()), number
    if not items:
        raise SurrogateError("The input folder holds no file: put surrogates there (hide.json with --output dicom).")
    return [{"image": items[identity], "id": identity} for identity in sorted(items)]


def _files(folder: Path) -> list[Path]:
    """Everything that is no folder, links to folders included, in the order of names."""
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        found += [Path(place, name) for name in [*names, *links] if not name.startswith(".")]
    return sorted(found)


class LoadImageSurrogate(MapTransform):
    """Load surrogates from DICOM files, checked as :func:`read_surrogate` does.

    It takes the place of a bundle's ``LoadImageStored``: what reaches a Deploy app lies in no store.

    Args:
        keys: keys of the items that hold an image's path; "id" holds what the file's id must be.
        allow_missing_keys: do not raise when a key is missing.
    """

    def __init__(self, keys: KeysCollection = "image", allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with MetaTensors (1, X, Y), float32 in [0, 1].

        Raises:
            SurrogateError: when a file was changed since :func:`find_surrogates`.
        """
        item = dict(data)
        for key in self.key_iterator(item):
            identity, item[key] = read_surrogate(item[key])
            if identity != item["id"]:
                raise SurrogateError("A surrogate was replaced by another while the app ran: run it again.")
        return item
