"""DICOM files to images in the unit interval or in modality values: one file, one frame of it, or a series of files.

pydicom reads and its plugins decode (``pip install 'fesf[hospital]'``); what the numbers mean stands in
:mod:`fesf.transforms.dicom`. Nothing here prints, logs or raises anything that a header says.
"""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from os import PathLike, fspath
from pathlib import Path
from struct import unpack
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import torch
from monai.data import MetaTensor

from fesf.transforms.dicom import (
    DicomError,
    Frame,
    attribute,
    grey_frame,
    image_affine,
    number,
    orientation,
    slice_position,
)
from fesf.transforms.dicom_file import BoundedFile
from fesf.transforms.dicom_text import declared_regions, outside_regions

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

SERIES_SUFFIX = ".series.json"
"""End of the name of a list file: ``{"files": [...]}``, the slices of one volume, relative to the list file."""
GAP_TOLERANCE = 0.05
"""Share of the usual gap by which the gaps between slices may differ before a series is no volume."""
DIRECTION_TOLERANCE = 1e-3
DECODERS = {"1.2.840.10008.1.2.4.50": "pillow"}
"""pydicom's plugin by transfer syntax, where its own choice is not ours. Of broken streams of JPEG Baseline,
pylibjpeg-libjpeg takes memory without end."""
SHAPE = ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated")

Path_ = str | PathLike[str]


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Python warnings and pydicom's log, which quote header values."""
    logger = logging.getLogger("pydicom")
    before = logger.disabled
    logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = before


def is_dicom(path: Path_) -> bool:
    """Whether a file begins as DICOM does: "DICM" after a preamble, or a bare data set that starts with group 8."""
    with open(path, "rb") as file:
        start = file.read(132)
    return start[128:132] == b"DICM" or is_bare_dataset(start)


def is_bare_dataset(start: bytes) -> bool:
    """Whether bytes look like a data set without preamble: (0008,00xx) or (0002,0000) first, of plausible length."""
    if len(start) < 16:
        return False
    explicit = start[4:6].isalpha() and start[4:6].isupper()
    for order in ("<", ">"):
        group, element = unpack(f"{order}HH", start[:4])
        length = unpack(f"{order}H", start[6:8])[0] if explicit else unpack(f"{order}I", start[4:8])[0]
        if length <= 256 and ((group == 8 and element < 0x70) or (group == 2 and element == 0)):
            return True
    return False


def read_header(path: Path_ | BinaryIO, pixels: bool = False) -> Dataset:
    """Read a DICOM file's data set, without its pixel data unless asked.

    Raises:
        DicomError: when it is no DICOM file.
    """
    import pydicom

    with quiet():
        try:
            with BoundedFile(fspath(path)) if isinstance(path, str | PathLike) else nullcontext(path) as file:
                header = pydicom.dcmread(file, force=True, stop_before_pixels=not pixels)
        except (MemoryError, OSError):
            raise
        except Exception:
            raise DicomError("it cannot be read as DICOM") from None
        meta = getattr(header, "file_meta", None)
        if meta is None or "TransferSyntaxUID" not in meta:
            _guess_syntax(header)
    return header


def _guess_syntax(header: Dataset) -> None:
    """A file without meta information is not compressed: its own encoding says the rest."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    implicit, little = header.original_encoding
    meta = getattr(header, "file_meta", None)
    header.file_meta = FileMetaDataset() if meta is None else meta
    header.file_meta.TransferSyntaxUID = (
        ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    )


def frame_count(header: Dataset) -> int:
    """Number of frames; 1 where the header does not say.

    Raises:
        DicomError: when the number is none.
    """
    count = number(header, "NumberOfFrames")
    if count is None or count == 0:
        return 1
    if count < 0 or count != int(count):
        raise DicomError("the DICOM attribute NumberOfFrames is no whole number")
    return int(count)


def iter_frames(
    header: Dataset, window: bool = False, frames: Sequence[int] | None = None, regions: bool = False
) -> Iterator[Frame]:
    """Decode frame after frame, so that memory holds one.

    Args:
        header: of :func:`read_header` with ``pixels``.
        window: see :func:`fesf.transforms.dicom.grey_frame`.
        frames: numbers of the frames; None for all.
        regions: mark as padding what lies outside the regions of an ultrasound image that declares some.

    Raises:
        DicomError: when pixels or header cannot be used.
        IndexError: when there is no such frame.
    """
    from pydicom.pixels import iter_pixels

    count = frame_count(header)
    wanted = range(count) if frames is None else frames
    if frames is not None and any(not 0 <= index < count for index in frames):
        raise IndexError(f"it has {count} frame(s)")
    with quiet():
        outside = outside_regions(header) if regions else None
        plugin = DECODERS.get(str(getattr(header.file_meta, "TransferSyntaxUID", "")), "")
        decoded = iter(iter_pixels(header, indices=frames, decoding_plugin=plugin))
        for index in wanted:
            try:
                _reserve(header)
                stored = next(decoded)
                frame = grey_frame(stored, header, index, window)
            except (DicomError, MemoryError):
                raise
            except StopIteration:
                raise DicomError("it has fewer frames than its header says") from None
            except BaseException as error:
                if not isinstance(error, Exception) and type(error).__name__ != "PanicException":  # of decoders in Rust
                    raise
                raise DicomError(f"its pixels cannot be decoded ({type(error).__name__})") from None
            yield frame if outside is None else frame.with_padding(outside)


def declares_regions(path: Path_) -> bool:
    """Whether reading with ``regions`` gives another image than reading without.

    Args:
        path: a DICOM file, or a series as :func:`series_files` takes it; of any other file nothing is declared.

    Raises:
        DicomError: when a header cannot be read.
    """
    name = os.fspath(path)
    series = os.path.isdir(name) or name.endswith(SERIES_SUFFIX)
    files = series_files(name) if series else [name] if is_dicom(name) else []
    with quiet():
        return any(declared_regions(read_header(file)) for file in files)


def _reserve(header: Dataset) -> None:
    """Ask for the memory that decoding a frame takes: decoders in C and Rust end the process where there is none.

    Raises:
        MemoryError: when there is none.
    """
    rows, columns, samples, bits = (number(header, name) or 1 for name in SHAPE)
    np.empty(int(max(0.0, rows * columns * samples) * (8 + max(8.0, bits) / 2)), dtype=np.uint8)


def to_image(
    frames: Sequence[Frame], affine: np.ndarray, scale: bool = True, padding: float | None = None
) -> MetaTensor:
    """Frames, first to last, as one image.

    Args:
        frames: of one file or one series, equal in shape.
        affine: (4, 4), RAS mm.
        scale: map what the files can hold, by their bits and rescale alone, to [0, 1]; False keeps modality values.
        padding: value of padding pixels in the result; None for the smallest that the files can hold.

    Returns:
        MetaTensor (1, columns, rows, frames), float32, x first; a larger value is brighter.
    """
    lows = [frame.lowest for frame in frames if frame.lowest is not None]
    highs = [frame.highest for frame in frames if frame.highest is not None]
    low, high = (min(lows), max(highs)) if lows and highs else (0.0, 1.0)
    rows, columns = frames[0].values.shape
    image = torch.empty(1, columns, rows, len(frames))
    for index, frame in enumerate(frames):
        # Rounded first, turned by torch then: numpy's transposing copy takes three times as long.
        grey = ((frame.values - low) / (high - low) if scale else frame.values).astype(np.float32)
        if frame.padding is not None:
            grey[frame.padding] = (0.0 if scale else low) if padding is None else padding
        image[0, ..., index] = torch.from_numpy(grey).T
    return MetaTensor(image, affine=torch.from_numpy(affine))


@quiet()
def read_dicom(
    path: Path_ | BinaryIO,
    scale: bool = True,
    window: bool = False,
    frame: int | None = None,
    padding: float | None = None,
    regions: bool = False,
) -> MetaTensor:
    """Read one DICOM file.

    Args:
        path: the file, or its bytes as a stream.
        scale: see :func:`to_image`; values by the window are in [0, 1] in any case.
        window: use the file's own VOI lookup table or first window.
        frame: read one frame alone, from 0; None for all.
        padding: see :func:`to_image`.
        regions: see :func:`iter_frames`.

    Returns:
        MetaTensor (1, columns, rows, frames), float32, with an affine in RAS mm (the identity where the header gives
        no spacing) and no other metadata. A file of one slice has one frame.

    Raises:
        DicomError: when it cannot be used; the text quotes nothing of the file.
        IndexError: when there is no such frame.
    """
    header = read_header(path, pixels=True)
    frames = list(iter_frames(header, window, None if frame is None else [frame], regions))
    with quiet():
        first, last = (0, frame_count(header) - 1) if frame is None else (frame, frame)
        step = _step([header, header], [first, last], last - first) if last > first else None
        return to_image(frames, image_affine(header, first, step), scale and not window, padding)


def _step(headers: Sequence[Dataset], frames: Sequence[int], gaps: int) -> np.ndarray | None:
    """Vector between neighbouring slices from the first and the last; None where they have no positions."""
    ends = [attribute(header, "ImagePositionPatient", frame) for header, frame in zip(headers, frames, strict=True)]
    if None in ends:
        return None
    first, last = (np.array([float(value) for value in end]) for end in ends)
    step = (last - first) / gaps
    return step if np.linalg.norm(step) > 1e-6 else None


def sort_slices(headers: Sequence[Dataset]) -> list[int]:
    """Order of a series' slices: by position along the normal, or, unless all have one, by InstanceNumber.

    Args:
        headers: of the files of one series, one frame each.

    Returns:
        Indices into ``headers``, first slice first; equal ones keep their order.
    """
    placed = [slice_position(header) for header in headers]
    positions = [position for position in placed if position is not None]
    if len(positions) < len(headers):
        positions = [number(header, "InstanceNumber") or 0.0 for header in headers]
    return sorted(range(len(headers)), key=lambda index: positions[index])


def check_volume(headers: Sequence[Dataset]) -> str | None:
    """Why slices in order are no volume: "mixed-slices", "irregular-slices", or None when they are one.

    Args:
        headers: of the slices, sorted by :func:`sort_slices`.
    """
    shapes = {(header.get("Rows"), header.get("Columns"), frame_count(header)) for header in headers}
    if len(shapes) > 1 or next(iter(shapes))[2] != 1:
        return "mixed-slices"
    placed = [slice_position(header) for header in headers]
    if None in placed:
        return None if all(position is None for position in placed) else "mixed-slices"
    axes = np.array([np.concatenate(orientation(header)) for header in headers])
    if np.abs(axes - axes[0]).max() > DIRECTION_TOLERANCE:
        return "mixed-slices"
    gaps = np.diff(np.array(placed, dtype=np.float64))
    usual = float(np.median(gaps)) if gaps.size else 1.0
    return "irregular-slices" if gaps.size and np.abs(gaps - usual).max() > GAP_TOLERANCE * abs(usual) else None


@quiet()
def read_series(
    paths: Sequence[Path_],
    scale: bool = True,
    window: bool = False,
    padding: float | None = None,
    regions: bool = False,
) -> MetaTensor:
    """Read the files of one series as a volume, sorted by position.

    Args:
        paths: files of one slice each.
        scale, window, padding, regions: see :func:`read_dicom`.

    Returns:
        MetaTensor (1, columns, rows, slices), float32, with an affine in RAS mm.

    Raises:
        DicomError: when they are of several series, sizes or directions, or slices are missing.
    """
    if not paths:
        raise DicomError("its series has no files")
    headers = [read_header(path) for path in paths]
    with quiet():
        if len({str(header.get("SeriesInstanceUID", "")) for header in headers}) > 1:
            raise DicomError("its files are of several series: name one file, or a list file of one series")
        order = sort_slices(headers)
        headers = [headers[index] for index in order]
        if (reason := check_volume(headers)) is not None:
            raise DicomError(f"its slices make no volume ({reason})")
        gaps = len(headers) - 1
        step = _step([headers[0], headers[-1]], [0, 0], gaps) if gaps else None
        affine = image_affine(headers[0], 0, step)
    frames = [next(iter_frames(read_header(paths[index], pixels=True), window, None, regions)) for index in order]
    return to_image(frames, affine, scale and not window, padding)


def series_files(path: Path_) -> list[str]:
    """Files of a volume: those that a list file (``.series.json``) names, or the DICOM files of a folder.

    Raises:
        DicomError: when the list file is none.
    """
    place = fspath(path)
    if os.path.isdir(place):
        return [str(file) for file in sorted(Path(place).iterdir()) if file.is_file() and is_dicom(file)]
    try:
        with open(place, encoding="utf-8") as stream:
            content: Any = json.load(stream)
        names = [str(name) for name in content["files"]]
    except (KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError):
        raise DicomError("its list file of a series cannot be read") from None
    return [os.path.normpath(os.path.join(os.path.dirname(place), name)) for name in names]
