"""What a file is and whether it can be used: cheap checks first, then every pixel once.

Runs in the memory-limited process of :mod:`fesf.scripts.data.inspector`, since a small file can unpack to any size.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import nibabel as nib
import numpy as np
from PIL import Image, UnidentifiedImageError

from fesf.scripts.data.cohort_table import holds_control
from fesf.scripts.data.formats import HEAD, is_detached, sniff, suffix_fits
from fesf.transforms import load_image
from fesf.transforms.dicom import DicomError, attribute, is_image, number
from fesf.transforms.dicom_reader import check_volume, frame_count, iter_frames, quiet, read_header, sort_slices
from fesf.transforms.dicom_text import text_marks

MAX_VALUES = 2**27
"""Pixels times samples of one frame or picture from which a file counts as absurd: 11,000 pixels a side."""
MAX_TOTAL = 2**31
"""The same for all frames together."""
DICOMDIR = "dicomdir"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found in one file.

    Args:
        reason: a code of :data:`fesf.scripts.data.quarantine.REASONS`; empty for a usable image.
        form: format, "dicom" or a key of :data:`fesf.scripts.data.formats.SUFFIXES`.
        patient: PatientID; empty where there is none, as all that follow.
        study: StudyInstanceUID.
        series: SeriesInstanceUID.
        instance: SOPInstanceUID.
        constant: for each frame or slice (one for a picture) whether it has one value only.
        digest: SHA-256 over the grey values.
        is_volume: whether the file has a third axis of its own.
        marks: signs of text in the pixels, keys of :data:`fesf.transforms.dicom_text.MARKS`.
    """

    reason: str = ""
    form: str = ""
    patient: str = ""
    study: str = ""
    series: str = ""
    instance: str = ""
    constant: tuple[bool, ...] = ()
    digest: str = ""
    is_volume: bool = False
    marks: tuple[str, ...] = ()


class Unusable(Exception):  # noqa: N818  (it ends an inspection, it is no error)
    """Ends an inspection with a reason code."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def inspect(path: str, root: str) -> Finding:
    """Inspect one file.

    Args:
        path: the file, a regular one.
        root: the source, which a DICOMDIR may not lead out of.

    Raises:
        MemoryError: when it takes more memory than there is.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD)
    except OSError:
        return Finding("unreadable")
    if not head:
        return Finding("empty")
    form = sniff(head)
    try:
        if not form:
            known = suffix_fits(path, "") is False
            raise Unusable("wrong-suffix" if known else "unknown-format")
        if not suffix_fits(path, form):
            raise Unusable("wrong-suffix")
        if is_detached(head, form):
            raise Unusable("detached-data")
        with quiet():
            return _inspect_dicom(path, root) if form == "dicom" else _inspect_other(path, form)
    except Unusable as end:
        return Finding(end.reason, form)
    except OSError as error:
        return Finding("truncated" if "truncated" in str(error) else "undecodable", form)
    except MemoryError:
        raise
    except Exception:
        return Finding("undecodable", form)


def _check_size(values: float, total: float) -> None:
    if not (0 < values <= MAX_VALUES and 0 < total <= MAX_TOTAL):
        raise Unusable("too-large" if values > 0 and total > 0 else "bad-header")


def _inspect_dicom(path: str, root: str) -> Finding:
    header = read_header(path)
    if "DirectoryRecordSequence" in header:
        return Finding(_check_dicomdir(header, path, root), DICOMDIR)
    if len(header) == 0:
        raise Unusable("truncated")
    if not is_image(header):
        raise Unusable("not-an-image")
    try:
        names = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
        texts = [str(attribute(header, name) or "").strip() for name in names]
        sizes = [number(header, name) for name in ("Rows", "Columns")]
        samples, bits = number(header, "SamplesPerPixel") or 1, number(header, "BitsAllocated") or 0
        frames = frame_count(header)
        marks = text_marks(header)
    except DicomError:
        raise Unusable("bad-header") from None
    if None in sizes and not header.get("BitsAllocated"):
        raise Unusable("no-pixels")
    if "" in texts[1:] or None in sizes or not bits or any(map(holds_control, texts)):
        raise Unusable("bad-header")
    values = math.prod(size or 0 for size in sizes) * samples
    _check_size(values, values * frames)
    compressed = header.file_meta.TransferSyntaxUID.is_encapsulated
    deflated = header.file_meta.TransferSyntaxUID.is_deflated
    halved = str(header.get("PhotometricInterpretation", "")) == "YBR_FULL_422"
    expected = values * frames * bits / 8 * (2 / 3 if halved else 1)
    if not compressed and not deflated and os.path.getsize(path) < expected:
        stored = any(name in read_header(path, pixels=True) for name in ("PixelData", "FloatPixelData"))
        raise Unusable("truncated" if stored else "no-pixels")
    header = read_header(path, pixels=True)
    if not any(name in header for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise Unusable("truncated" if compressed and _names_pixels(path) else "no-pixels")
    patient, study, series, instance = texts
    found = Finding("", "dicom", patient, study, series, instance, is_volume=frames > 1, marks=marks)
    try:
        return _with_pixels(found, (frame.values for frame in iter_frames(header)))
    except DicomError:
        short = not compressed and len(header.get("PixelData", b"")) < expected
        raise Unusable("truncated" if short else "undecodable") from None


def _names_pixels(path: str) -> bool:
    """Whether the tag of compressed pixel data stands in a file in which pydicom found none: the file ends in it."""
    with open(path, "rb") as file:
        return b"\xe0\x7f\x10\x00OB" in file.read()


def _check_dicomdir(header: Any, path: str, root: str) -> str:
    """The reason to set a DICOMDIR aside, or nothing: its files are found by the walk whatever it says."""
    here, reason = os.path.dirname(path), ""
    for record in header.DirectoryRecordSequence:
        named = record.get("ReferencedFileID")
        if not named:
            continue
        parts = [named] if isinstance(named, str) else [str(part) for part in named]
        target = os.path.realpath(os.path.join(here, *parts))
        if ".." in parts or os.path.commonpath([target, os.path.realpath(root)]) != os.path.realpath(root):
            return "outside-source"
        if not os.path.isfile(target):
            reason = "bad-dicomdir"
    return reason


def _inspect_other(path: str, form: str) -> Finding:
    found = Finding("", form)
    if form == "nifti":
        return _inspect_nifti(found, path)
    if form in ("png", "jpeg"):
        try:
            with Image.open(path) as picture:  # reads the header alone
                width, height = picture.size
                bands = len(picture.getbands())
        except Image.DecompressionBombError:
            raise Unusable("too-large") from None
        except UnidentifiedImageError:
            raise Unusable("truncated") from None
        _check_size(width * height * bands, width * height * bands)
    else:
        shape = _itk_shape(path)
        _check_size(math.prod(shape[:2]), math.prod(shape))
        if len([length for length in shape if length > 1]) > 3:
            raise Unusable("too-many-axes")
    image = load_image(path, scale=False)[0].numpy()
    if image.ndim > 3:
        raise Unusable("too-many-axes")
    volume = image.ndim == 3 and image.shape[-1] > 1
    slices = (image[..., index] for index in range(image.shape[-1])) if image.ndim == 3 else iter([image])
    return _with_pixels(replace(found, is_volume=volume), slices)


def _itk_shape(path: str) -> list[int]:
    """Lengths by the header alone, as ITK reads it; the samples of a pixel count as a last axis."""
    import itk

    itk.ProcessObject.SetGlobalWarningDisplay(False)
    reader = itk.ImageIOFactory.CreateImageIO(path, itk.CommonEnums.IOFileMode_ReadMode)
    if reader is None:
        raise Unusable("undecodable")
    reader.SetFileName(path)
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        raise Unusable("bad-header") from None
    return [int(reader.GetDimensions(axis)) for axis in range(reader.GetNumberOfDimensions())]


def _inspect_nifti(found: Finding, path: str) -> Finding:
    try:
        image: Any = nib.load(path, keep_file_open=True)  # gzip is read forward once, slice by slice
    except (EOFError, nib.filebasedimages.ImageFileError, ValueError):
        raise Unusable("truncated" if os.path.getsize(path) < 352 or path.endswith(".gz") else "bad-header") from None
    shape = image.shape
    if len(shape) not in (2, 3):
        raise Unusable("too-many-axes" if len(shape) > 3 else "bad-header")
    kind = image.get_data_dtype()
    if kind.kind not in "biuf":
        raise Unusable("undecodable")
    _check_size(math.prod(shape[:2]), math.prod(shape))
    needed = image.dataobj.offset + math.prod(shape) * kind.itemsize
    if not path.lower().endswith(".gz") and os.path.getsize(path) < needed:
        raise Unusable("truncated")
    slices = (
        (np.asarray(image.dataobj[..., index], dtype=np.float64) for index in range(shape[2]))
        if len(shape) == 3
        else iter([np.asarray(image.dataobj, dtype=np.float64)])
    )
    try:
        return _with_pixels(replace(found, is_volume=len(shape) == 3 and shape[2] > 1), slices)
    except (EOFError, OSError):
        raise Unusable("truncated") from None


def _with_pixels(found: Finding, slices: Iterator[np.ndarray] | Iterable[np.ndarray]) -> Finding:
    """Look at every value once; memory holds one slice."""
    digest, constant = sha256(), []
    for values in slices:
        if not np.isfinite(values).all():
            raise Unusable("not-finite")
        constant.append(bool(values.min() == values.max()))
        digest.update(str(values.shape).encode())
        digest.update(np.ascontiguousarray(values, dtype="<f8").data)
    return replace(found, constant=tuple(constant), digest=digest.hexdigest())


def order_series(paths: list[str]) -> tuple[list[int], str]:
    """Order of the slices of one series, and the reason why they are no volume; empty when they are one."""
    with quiet():
        headers = [read_header(path) for path in paths]
        try:
            order = sort_slices(headers)
            return order, check_volume([headers[index] for index in order]) or ""
        except DicomError:
            return list(range(len(paths))), "bad-header"
