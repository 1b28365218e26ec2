"""What a DICOM header says of text in the pixels: which objects usually hold some, and ultrasound regions.

Pure functions of a header. Sources: PS3.3 C.7.6.1 (BurnedInAnnotation), C.8.6.1 (ConversionType), C.8.5.5
(SequenceOfUltrasoundRegions), PS3.6 (SOP classes).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fesf.transforms.dicom import DicomError, attribute, number

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

STORAGE = "1.2.840.10008.5.1.4.1.1."
SECONDARY_CAPTURE = tuple(STORAGE + end for end in ("7", "7.1", "7.2", "7.3", "7.4"))
ULTRASOUND = tuple(STORAGE + end for end in ("3", "3.1", "6", "6.1", "6.2"))
"""Ultrasound images, multi-frame images and volumes; the first and the third are retired."""
HARDCOPY = ("1.2.840.10008.5.1.1.29", "1.2.840.10008.5.1.1.30")
"""Retired: printed films, grey and in colour."""
SCANNED = ("DF", "DRW", "SD", "SI")
"""ConversionType of digitised film, drawings, scanned documents and scanned images."""
CORNERS = ("RegionLocationMinX0", "RegionLocationMinY0", "RegionLocationMaxX1", "RegionLocationMaxY1")

MARKS = {
    "burned-in-text": "the header says that text is burned into the pixels",
    "secondary-capture": "a secondary capture or a screen shot, which often shows names",
    "scanned-document": "a scanned document or film, or an object of no known device",
    "ultrasound-without-region": "ultrasound that does not say where on the screen the image is",
}
"""Signs of burned-in text, in the order in which they are looked at, and what each means."""


def text_marks(header: Dataset) -> tuple[str, ...]:
    """Signs in a header that the pixels hold text (keys of :data:`MARKS`); which sign means what is our choice.

    - "burned-in-text": BurnedInAnnotation is YES.
    - "secondary-capture": one of the five SOP classes, or an ImageType with the word SCREEN (screen saves).
    - "scanned-document": ConversionType DF, DRW, SD or SI; modality DOC or HC; a hardcopy SOP class; modality OT of
      another class than a secondary capture, in which OT says nothing. Digitised film (DF) is among them: the name is
      on the film. DI, DV, SYN and WSD say how the pixels came, and the SOP class decides.
    - "ultrasound-without-region": an ultrasound class, or modality US of another class than a secondary capture,
      without a declared region inside the image.

    Raises:
        DicomError: when an attribute cannot be read; the text quotes nothing of it.
    """
    sop_class, modality, conversion = (_word(header, name) for name in ("SOPClassUID", "Modality", "ConversionType"))
    kinds = attribute(header, "ImageType") or ()
    screen = any("SCREEN" in str(kind).upper() for kind in ([kinds] if isinstance(kinds, str) else kinds))
    captured = sop_class in SECONDARY_CAPTURE
    scanned = conversion in SCANNED or modality in ("DOC", "HC") or sop_class in HARDCOPY
    sonogram = sop_class in ULTRASOUND or (modality == "US" and not captured)
    held = {
        "burned-in-text": _word(header, "BurnedInAnnotation") == "YES",
        "secondary-capture": captured or screen,
        "scanned-document": scanned or (modality == "OT" and not captured),
        "ultrasound-without-region": sonogram and not declared_regions(header),
    }
    return tuple(mark for mark in MARKS if held[mark])


def _word(header: Dataset, name: str) -> str:
    return str(attribute(header, name) or "").strip().upper()


def declared_regions(header: Dataset) -> list[tuple[int, int, int, int]]:
    """The regions of an ultrasound image, as far as they lie inside it: (left, top, right, bottom), ends exclusive.

    What a region holds is not looked at: some devices declare the whole screen, texts and all.

    Raises:
        DicomError: when a region's corner cannot be read.
    """
    rows, columns = (int(number(header, name) or 0) for name in ("Rows", "Columns"))
    regions = []
    for region in header.get("SequenceOfUltrasoundRegions") or ():
        corners = [number(region, name) for name in CORNERS]
        if None in corners:
            raise DicomError("a region of the ultrasound image lacks a corner")
        left, top, right, bottom = (max(0, int(corner or 0)) for corner in corners)
        right, bottom = min(right + 1, columns), min(bottom + 1, rows)  # the corners belong to the region
        if left < right and top < bottom:
            regions.append((left, top, right, bottom))
    return regions


def outside_regions(header: Dataset) -> NDArray[np.bool_] | None:
    """Where pixels lie in none of the declared regions: a mask (rows, columns); None where no region is declared.

    Raises:
        DicomError: when a region's corner cannot be read.
    """
    regions = declared_regions(header)
    if not regions:
        return None
    outside = np.ones([int(number(header, name) or 0) for name in ("Rows", "Columns")], dtype=bool)
    for left, top, right, bottom in regions:
        outside[top:bottom, left:right] = False
    return outside
