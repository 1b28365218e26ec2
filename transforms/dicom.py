"""What DICOM's stored numbers mean: pure functions from decoded pixels and a header to grey values and geometry.

Decoding is pydicom's and its plugins'; :mod:`fesf.transforms.dicom_reader` reads the files. The order is DICOM's (PS3.3
C.11, C.7.6.3): padding is marked, stored values become modality values (rescale or modality LUT), these become [0, 1]
by the file's own window if that is asked for, and MONOCHROME1 is turned round, so that a larger value is brighter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fesf.transforms.loading import LUMA

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

Values = NDArray[np.float64]

MACROS = {
    "RescaleSlope": "PixelValueTransformationSequence",
    "RescaleIntercept": "PixelValueTransformationSequence",
    "WindowCenter": "FrameVOILUTSequence",
    "WindowWidth": "FrameVOILUTSequence",
    "VOILUTFunction": "FrameVOILUTSequence",
    "ImagePositionPatient": "PlanePositionSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "PixelSpacing": "PixelMeasuresSequence",
    "SpacingBetweenSlices": "PixelMeasuresSequence",
    "SliceThickness": "PixelMeasuresSequence",
}
"""Functional group in which an enhanced (multi-frame) object keeps an attribute."""


class DicomError(ValueError):
    """A DICOM header or its pixels cannot be used; the text quotes nothing of either."""


@dataclass(frozen=True)
class Frame:
    """One frame as grey values.

    Args:
        values: (rows, columns), float64: modality values, or [0, 1] by the window; larger is brighter.
        padding: (rows, columns), where the file declares padding instead of image; None where it declares none.
        lowest: smallest value that the file can hold; None for floating-point pixels.
        highest: largest one.
    """

    values: Values
    padding: NDArray[np.bool_] | None
    lowest: float | None
    highest: float | None

    def with_padding(self, more: NDArray[np.bool_]) -> Frame:
        """The same frame with further pixels marked as padding.

        Raises:
            DicomError: when the mask (rows, columns) has another size than the frame.
        """
        if more.shape != self.values.shape:
            raise DicomError("the DICOM file has frames of another size than its header says")
        return replace(self, padding=more if self.padding is None else self.padding | more)


def is_image(header: Dataset) -> bool:
    """Whether the object is an image by its SOP class; one of a class that pydicom does not know counts as one.

    Reports, presentation states, encapsulated documents, plans, waveforms, segmentations and dose grids are none.
    """
    from pydicom.uid import UID

    uid = UID(str(header.get("SOPClassUID", "")))
    return "Image Storage" in uid.name or uid.name == str(uid)


def attribute(header: Dataset, name: str, frame: int = 0) -> Any:
    """An attribute of a frame: from its own functional group, the shared one, or the top level; None if absent."""
    groups: list[Any] = []
    for sequence, index in (("PerFrameFunctionalGroupsSequence", frame), ("SharedFunctionalGroupsSequence", 0)):
        items = header.get(sequence) or []
        if name in MACROS and index < len(items):
            groups.extend(items[index].get(MACROS[name]) or [])
    for place in (*groups[:2], header):
        try:
            value = place.get(name)
        except (ArithmeticError, LookupError, TypeError, ValueError):  # whose text quotes the value
            raise DicomError(f"the DICOM attribute {name} cannot be read") from None
        if value is not None and value != "":
            return value
    return None


def number(header: Dataset, name: str, frame: int = 0) -> float | None:
    """The first value of a numeric attribute; None if absent.

    Raises:
        DicomError: when it is there and is no finite number.
    """
    value = attribute(header, name, frame)
    if value is None:
        return None
    return _vector(header, name, frame, 1)[0]


def _vector(header: Dataset, name: str, frame: int, length: int) -> list[float]:
    value = attribute(header, name, frame)
    items = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    try:
        numbers = [float(item) for item in items[:length]]
    except (TypeError, ValueError):
        raise DicomError(f"the DICOM attribute {name} is no number") from None
    if len(numbers) != length or not np.isfinite(numbers).all():
        raise DicomError(f"the DICOM attribute {name} has not {length} finite numbers")
    return numbers


def stored_range(header: Dataset) -> tuple[float, float]:
    """Smallest and largest number that ``BitsStored`` can hold, signed or not by ``PixelRepresentation``."""
    bits = int(header.BitsStored)
    return (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if header.get("PixelRepresentation") else (0.0, 2.0**bits - 1)


def padding_mask(stored: NDArray[Any], header: Dataset) -> NDArray[np.bool_] | None:
    """Where the stored values are padding: equal to ``PixelPaddingValue``, or from it to ``PixelPaddingRangeLimit``.

    Args:
        stored: (rows, columns), as decoded.
        header: of the file.

    Returns:
        A mask of the same shape; None where the header declares no padding.
    """
    if header.get("PixelPaddingValue") in (None, ""):
        return None
    ends = [int(number(header, "PixelPaddingValue") or 0)]
    ends.append(int(limit) if (limit := number(header, "PixelPaddingRangeLimit")) is not None else ends[0])
    lowest, highest = stored_range(header)
    span = 2 ** int(header.BitsAllocated)
    # Some writers put a signed value into an unsigned attribute and the other way round: the bits are the same.
    ends = [end - span if end > highest and lowest < 0 else end + span if end < 0 <= lowest else end for end in ends]
    return (stored >= min(ends)) & (stored <= max(ends))


def look_up(values: NDArray[Any], table: Dataset) -> tuple[Values, float]:
    """Values through a modality or VOI lookup table, and the largest output that it can give.

    Args:
        values: any shape; rounded to whole numbers, those outside the table take its first or last entry.
        table: an item of ``ModalityLUTSequence`` or ``VOILUTSequence``.

    Raises:
        DicomError: when the table has no entries.
    """
    try:
        count, first, bits = (int(entry) for entry in table.LUTDescriptor)
        data = table.LUTData
        if isinstance(data, bytes):
            narrow = bits <= 8 and len(data) == (count or 65536)
            words = ">u2" if table.original_encoding[1] is False else "<u2"
            data = np.frombuffer(data, dtype=np.uint8 if narrow else words)
        entries = np.asarray(data, dtype=np.float64)[: count or 65536]
    except (AttributeError, TypeError, ValueError):
        raise DicomError("a lookup table of the DICOM header cannot be read") from None
    if entries.size == 0:
        raise DicomError("a lookup table of the DICOM header is empty")
    if first > 32767 and np.asarray(values).min(initial=0) < 0:
        first -= 65536
    return entries[np.clip(np.rint(values) - first, 0, entries.size - 1).astype(np.int64)], 2.0**bits - 1


def apply_window(values: Values, center: float, width: float, function: str = "LINEAR") -> Values:
    """Modality values to [0, 1] by a window (DICOM PS3.3 C.11.2.1.2 and C.11.2.1.3).

    Args:
        values: any shape.
        center: ``WindowCenter``.
        width: ``WindowWidth``, at least 1 for "LINEAR", positive for the others.
        function: "LINEAR" (DICOM's default), "LINEAR_EXACT" or "SIGMOID".

    Raises:
        DicomError: for a width or a function that DICOM does not allow.
    """
    if not (width >= 1 if function == "LINEAR" else width > 0):
        raise DicomError("the DICOM window has a width that DICOM does not allow")
    if function == "SIGMOID":
        return 1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - center) / width, -700, 700)))
    if function == "LINEAR_EXACT":
        return _ramp(values, center, width)
    if function != "LINEAR":
        raise DicomError("the DICOM window has an unknown VOILUTFunction")
    if width == 1:
        return (values > center - 0.5).astype(np.float64)
    return _ramp(values, center - 0.5, width - 1)


def _ramp(values: Values, middle: float, length: float) -> Values:
    """``(values - middle) / length + 0.5`` between 0 and 1; one new array, since each would cost as much as the sum."""
    shown = np.subtract(values, middle, dtype=np.float64)
    shown /= length
    shown += 0.5
    return np.clip(shown, 0, 1, out=shown)


def has_window(header: Dataset, frame: int = 0) -> bool:
    """Whether the file says how it is to be shown: a VOI lookup table, or a window's centre and width."""
    return bool(header.get("VOILUTSequence")) or None not in (
        attribute(header, "WindowCenter", frame),
        attribute(header, "WindowWidth", frame),
    )


def grey_frame(stored: NDArray[Any], header: Dataset, frame: int = 0, window: bool = False) -> Frame:
    """Grey values of one decoded frame.

    Args:
        stored: (rows, columns), or (rows, columns, 3) as RGB (pydicom converts YBR); as decoded.
        header: of the file, without need of its pixel data.
        frame: the frame's number, for enhanced objects.
        window: use the file's own VOI lookup table (preferred) or first window; the values are then in [0, 1].

    Returns:
        Colour (RGB, YBR, palette) becomes BT.601 luma in 0 to 2**bits - 1; windows and rescale do not apply to it.

    Raises:
        DicomError: when the header cannot be used, or has no window though one is asked for.
    """
    photometric = str(header.get("PhotometricInterpretation", "")).strip()
    if photometric == "PALETTE COLOR" or stored.ndim == 3:
        return _grey_of_colour(stored, header, photometric, window)
    if photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise DicomError("the DICOM attribute PhotometricInterpretation does not fit its pixels")
    padding = padding_mask(stored, header)
    values, lowest, highest = _modality_values(stored, header, frame)
    if window:
        values, lowest, highest = _windowed(values, header, frame), 0.0, 1.0
    if photometric == "MONOCHROME1":
        if lowest is None or highest is None:
            raise DicomError("floating-point pixels cannot be MONOCHROME1 without a window")
        np.subtract(lowest + highest, values, out=values)
    return Frame(values, padding, lowest, highest)


def _grey_of_colour(stored: NDArray[Any], header: Dataset, photometric: str, window: bool) -> Frame:
    bits = int(header.BitsStored)
    if photometric == "PALETTE COLOR":
        from pydicom.pixels import apply_color_lut

        bits = int(header.RedPaletteColorLookupTableDescriptor[2])
        stored = apply_color_lut(np.ascontiguousarray(stored, stored.dtype.newbyteorder("=")), header)
    if stored.ndim != 3 or stored.shape[-1] != 3:
        raise DicomError("the DICOM file has neither one nor three samples a pixel")
    values, highest = stored @ np.array(LUMA), 2.0**bits - 1
    return Frame(values / highest, None, 0.0, 1.0) if window else Frame(values, None, 0.0, highest)


def _modality_values(stored: NDArray[Any], header: Dataset, frame: int) -> tuple[Values, float | None, float | None]:
    if header.get("ModalityLUTSequence"):
        values, highest = look_up(stored, header.ModalityLUTSequence[0])
        return values, 0.0, highest
    slope, intercept = (number(header, f"Rescale{name}", frame) for name in ("Slope", "Intercept"))
    slope, intercept = 1.0 if slope is None else slope, intercept or 0.0
    if slope == 0:
        raise DicomError("the DICOM attribute RescaleSlope is 0")
    values = stored.astype(np.float64)
    values *= slope
    values += intercept
    if stored.dtype.kind == "f":
        return values, None, None
    ends = [end * slope + intercept for end in stored_range(header)]
    return values, min(ends), max(ends)


def _windowed(values: Values, header: Dataset, frame: int) -> Values:
    if header.get("VOILUTSequence"):
        output, highest = look_up(values, header.VOILUTSequence[0])
        return np.clip(output / highest, 0, 1)
    center, width = number(header, "WindowCenter", frame), number(header, "WindowWidth", frame)
    if center is None or width is None:
        raise DicomError("its DICOM header has no window: choose another intensity_range")
    return apply_window(values, center, width, str(attribute(header, "VOILUTFunction", frame) or "LINEAR"))


def slice_position(header: Dataset, frame: int = 0) -> float | None:
    """Distance of a slice from the origin along its normal in mm; None without position or orientation."""
    if any(attribute(header, name, frame) is None for name in ("ImagePositionPatient", "ImageOrientationPatient")):
        return None
    across, down = orientation(header, frame)
    return float(np.dot(np.cross(across, down), _vector(header, "ImagePositionPatient", frame, 3)))


def orientation(header: Dataset, frame: int = 0) -> tuple[Values, Values]:
    """Unit vectors (x, y, z in LPS) along a row and down a column."""
    both = np.array(_vector(header, "ImageOrientationPatient", frame, 6))
    return both[:3], both[3:]


def pixel_spacing(header: Dataset, frame: int = 0) -> tuple[float, float] | None:
    """Spacing in mm along x (between columns) and along y (between rows); None where the header has none.

    ``PixelSpacing``, else ``ImagerPixelSpacing`` (radiographs: at the detector, not corrected for magnification).
    """
    for name in ("PixelSpacing", "ImagerPixelSpacing"):
        if attribute(header, name, frame) is not None:
            down, across = _vector(header, name, frame, 2)
            if across > 0 and down > 0:
                return across, down
    return None


def image_affine(first: Dataset, frame: int = 0, step: Values | None = None) -> Values:
    """Affine (4, 4) from (x, y, slice) indices to RAS mm, as MONAI's readers give it.

    Args:
        first: header of the first slice.
        frame: the frame that is the first slice.
        step: vector from one slice to the next in LPS mm; None for one slice.

    Returns:
        The identity where the header has no spacing.
    """
    affine = np.eye(4)
    spacing = pixel_spacing(first, frame)
    if spacing is None:
        return affine
    known = attribute(first, "ImageOrientationPatient", frame) is not None
    across, down = orientation(first, frame) if known else (np.eye(3)[0], np.eye(3)[1])
    affine[:3, 0], affine[:3, 1] = across * spacing[0], down * spacing[1]
    if step is None:
        gap = number(first, "SpacingBetweenSlices", frame) or number(first, "SliceThickness", frame) or 1.0
        step = np.cross(across, down) * abs(gap)
    affine[:3, 2] = step
    if attribute(first, "ImagePositionPatient", frame) is not None:
        affine[:3, 3] = _vector(first, "ImagePositionPatient", frame, 3)
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
