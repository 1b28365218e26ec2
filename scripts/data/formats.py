"""Which format a file is, by its first bytes; what suffix it must have so that it is read as that."""

from __future__ import annotations

import re
import zlib
from pathlib import PurePath

from fesf.transforms.dicom_reader import is_bare_dataset

HEAD = 4096
"""Bytes that :func:`sniff` wants of a file."""

SUFFIXES = {
    "png": (".png",),
    "jpeg": (".jpg", ".jpeg"),
    "tiff": (".tif", ".tiff"),
    "nifti": (".nii", ".nii.gz"),
    "mha": (".mha",),
    "nrrd": (".nrrd",),
}
"""Suffixes of each format; DICOM has any that is none of these, or none."""

DETACHED = {"mha": rb"ElementDataFile[ \t]*=[ \t]*+(?!LOCAL\s)", "nrrd": rb"\ndata ?file\s*:"}


def sniff(head: bytes) -> str:
    """The format: "dicom", a key of :data:`SUFFIXES`, or "" when it is none of them.

    Args:
        head: the file's first :data:`HEAD` bytes, or all it has.
    """
    if head[128:132] == b"DICM":
        return "dicom"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "tiff"
    if head.startswith(b"NRRD0"):
        return "nrrd"
    if re.match(rb"(ObjectType|NDims)\s*=", head):
        return "mha"
    plain = _inflate(head) if head.startswith(b"\x1f\x8b") else head
    if plain[344:348] == b"n+1\0" or plain[4:8] == b"n+2\0":
        return "nifti"
    return "dicom" if is_bare_dataset(head) else ""


def _inflate(head: bytes) -> bytes:
    """The first 544 bytes of gzip data, enough for any NIfTI header; nothing more is inflated."""
    try:
        return zlib.decompressobj(wbits=31).decompress(head, 544)
    except zlib.error:
        return b""


def suffix_fits(name: str, form: str) -> bool:
    """Whether a file of a format has a suffix under which it is read as that format."""
    lower = PurePath(name).name.lower()
    own = SUFFIXES.get(form)
    if own is not None:
        return lower.endswith(own)
    return not lower.endswith(tuple(suffix for suffixes in SUFFIXES.values() for suffix in suffixes))


def is_detached(head: bytes, form: str) -> bool:
    """Whether a MetaImage or NRRD header says that the pixels lie in another file."""
    return form in DETACHED and re.search(DETACHED[form], head, re.IGNORECASE) is not None
