"""Fill a DICOM data set with markers: the dictionary's texts, private elements, sequences, overlays, invalid values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.datadict import DicomDictionary
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from fesf.scripts.canaries.markers import SCRIPTS, Mint

READ = {
    "SpecificCharacterSet", "ImageType", "SOPClassUID", "SOPInstanceUID", "Modality", "ConversionType", "PatientID",
    "StudyInstanceUID", "SeriesInstanceUID", "NumberOfFrames", "InstanceNumber", "SliceThickness", "ImagerPixelSpacing",
    "SpacingBetweenSlices", "ImagePositionPatient", "ImageOrientationPatient", "OffsetTableUID",
    "PresentationIntentType", "RecognizableVisualFeatures", "Manufacturer",
}  # fmt: skip
"""Elements that decide what an object is or how its pixels are read: they are not filled from the dictionary."""
LEFT_OUT = (0x0000, 0x0002, 0x0004, 0x0028, 0x0048, 0x5400, 0x7FE0, 0xFFFA)
"""Groups of which the same is true: commands, meta information, DICOMDIR, image description, waveforms, pixels."""


def _values(mint: Mint, where: str) -> dict[str, Callable[[], str]]:
    """What makes a marked value of each value representation of text; a text of four characters (AS) holds none."""
    text = dict.fromkeys(("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT"), lambda: mint.text(where))
    numbers = {"DS": lambda: mint.decimal(where), "IS": lambda: mint.integer(where), "UI": lambda: mint.uid(where)}
    times = {"DA": lambda: mint.date(where), "DT": lambda: mint.moment(where), "TM": lambda: mint.time(where)}
    return text | numbers | times | {"UR": lambda: mint.text(where, around="https://pacs.invalid/{}")}


def dictionary() -> list[tuple[int, str, str]]:
    """Tag, VR and keyword of every text element of the DICOM dictionary that is filled, retired ones too."""
    kinds = _values(Mint(0), "")
    return [
        (tag, entry[0], entry[4])
        for tag, entry in sorted(DicomDictionary.items())
        if entry[0] in kinds and entry[4] and entry[4] not in READ and tag >> 16 not in LEFT_OUT
    ]


def fill(header: Dataset, mint: Mint, where: str, elements: Sequence[tuple[int, str, str]]) -> None:
    """Give elements of the dictionary a marked value, unless they have one."""
    values = _values(mint, where)
    for tag, kind, _ in elements:
        if tag not in header:
            header.add_new(tag, kind, values[kind]())


def fill_patient(header: Dataset, mint: Mint, where: str, script: str) -> None:
    """What a header usually says of patient, staff and place; the name and two long texts in a script."""
    charset, _, _ = SCRIPTS[script]

    def put(name: str, make: Callable[[], Any]) -> None:
        if name not in header:  # else it has an invalid value
            setattr(header, name, make())

    def name() -> str:
        given, latin = mint.script(where, script), mint.text(where)
        return f"{latin}^Anna={given}^{given[:2]}" if isinstance(charset, list) else f"{given}^{latin}"

    put("SpecificCharacterSet", lambda: charset)
    put("PatientName", name)
    put("PatientComments", lambda: "Patient: " + mint.script(where, script))
    put("InstitutionName", lambda: mint.script(where, script))
    for date in ("PatientBirthDate", "StudyDate", "SeriesDate", "AcquisitionDate"):
        put(date, lambda: mint.date(where))
    for time in ("StudyTime", "PatientBirthTime"):
        put(time, lambda: mint.time(where))
    for text in ("ReferringPhysicianName", "OperatorsName", "AccessionNumber", "StudyID", "StudyDescription",
                 "StationName", "PatientAddress", "InstitutionalDepartmentName", "DeviceSerialNumber"):  # fmt: skip
        put(text, lambda: mint.text(where))
    put("PixelSpacing", lambda: [mint.decimal(where), mint.decimal(where)])


def add_sequences(header: Dataset, mint: Mint, where: str, depth: int = 4) -> None:
    """Sequences within sequences, each item marked."""
    holder = header
    for _ in range(depth):
        item = Dataset()
        values = _values(mint, where)
        for keyword, kind in (("PatientName", "PN"), ("PatientID", "LO"), ("CodeMeaning", "LO"), ("StudyDate", "DA")):
            setattr(item, keyword, values[kind]())
        item.ReferencedSOPInstanceUID = mint.uid(where)
        holder.ReferencedStudySequence = Items([item])
        holder = item


def add_private(header: Dataset, mint: Mint, where: str) -> None:
    """Two private blocks: texts, bytes of unknown type, a sequence."""
    for group in (0x0029, 0x0143):
        block = header.private_block(group, mint.text(where), create=True)
        for offset, kind in enumerate(("LO", "UT", "PN", "SH"), start=1):
            block.add_new(offset, kind, mint.text(where))
        for offset, kind in enumerate(("OB", "UN"), start=0x10):
            block.add_new(offset, kind, b"\x01\x00" + mint.text(where).encode() + b"\x00\x00")
        item = Dataset()
        item.PatientName = mint.text(where)
        block.add_new(0x20, "SQ", Items([item]))


def add_planes(header: Dataset, mint: Mint, where: str, seed: int) -> list[tuple[str, NDArray[Any]]]:
    """An overlay, a curve and a thumbnail; returns the arrays of overlay and thumbnail."""
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 256, (32, 8), dtype=np.uint8)
    icon = rng.integers(0, 256, (32, 32), dtype=np.uint8)
    header.add_new(0x60000010, "US", 32)
    header.add_new(0x60000011, "US", 64)
    header.add_new(0x60000022, "LO", mint.text(where))
    header.add_new(0x60000040, "CS", "G")
    header.add_new(0x60000050, "SS", [1, 1])
    header.add_new(0x60000100, "US", 1)
    header.add_new(0x60000102, "US", 0)
    header.add_new(0x60001500, "LO", mint.text(where))
    header.add_new(0x60003000, "OW", bits.tobytes())
    header.add_new(0x50000005, "US", 1)
    header.add_new(0x50000010, "US", 6)
    header.add_new(0x50000020, "CS", mint.text(where))
    header.add_new(0x50000022, "LO", mint.text(where))
    header.add_new(0x50000103, "US", 0)
    header.add_new(0x50003000, "OW", mint.text(where).encode())
    item = Dataset()
    item.SamplesPerPixel, item.PhotometricInterpretation = 1, "MONOCHROME2"
    item.Rows, item.Columns = icon.shape
    item.BitsAllocated, item.BitsStored, item.HighBit, item.PixelRepresentation = 8, 8, 7, 0
    item.add_new("PixelData", "OB", icon.tobytes())
    header.IconImageSequence = Items([item])
    return [("overlay", bits), ("thumbnail", icon)]


INVALID: tuple[tuple[str, str, str], ...] = (
    ("StudyDate", "DA", "{}"),
    ("PatientBirthDate", "DA", "SCHMIDT {}"),
    ("StudyTime", "TM", "{}"),
    ("AcquisitionDateTime", "DT", "{}"),
    ("PatientWeight", "DS", "{}"),
    ("SeriesNumber", "IS", "{}"),
    ("AcquisitionNumber", "IS", "1.5{}"),
    ("PatientAge", "AS", "{}"),
    ("PatientSex", "CS", "weiblich {}"),
    ("StationAETitle", "AE", "{} that is much too long"),
    ("FrameOfReferenceUID", "UI", "1.2.{}"),
    ("StudyDescription", "LO", "{}" + " far too long" * 8),
    ("AccessionNumber", "SH", "{} longer than sixteen"),
    ("PatientName", "PN", "{}^a^b^c^d^e^f=g=h=i"),
    ("SpecificCharacterSet", "CS", "ISO_IR {}"),
    ("PatientSize", "DS", "{}\\1"),
    ("WindowCenter", "DS", "{}"),
    ("InstanceNumber", "IS", "{}"),
    ("PixelSpacing", "DS", "{}\\1"),
)
"""Values that a library may quote when it warns; the last four are of elements that are read."""


def add_invalid(header: Dataset, mint: Mint, where: str, number: int) -> None:
    """One invalid value more, the ``number``-th in turn. The data set must be written without validation."""
    name, kind, around = INVALID[number % len(INVALID)]
    header.add(unread(name, kind, mint.text(where, around=around)))


def unread(name: str, kind: str, value: str) -> DataElement:
    """An element whose number is no number, which pydicom would not make."""
    element = DataElement(name, "LO" if kind in ("DS", "IS") else kind, value)
    element.VR = kind
    return element
