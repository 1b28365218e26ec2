"""A made-up export of a PACS whose every text, name and pixel is a marker: nothing of it may be found outside."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin
from pydicom import config, dcmwrite, uid
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import generate_frames

from fesf.scripts.canaries import elements
from fesf.scripts.canaries.markers import SCRIPTS, Mint
from fesf.scripts.canaries.syntaxes import BORROWED, SYNTAXES, describe, put_borrowed, put_native

CLASSES = (
    uid.ComputedRadiographyImageStorage,
    uid.DigitalXRayImageStorageForPresentation,
    uid.CTImageStorage,
    uid.MRImageStorage,
)
MODALITIES = ("CR", "DX", "CT", "MR")
LABELS = ("absent", "present")
SIZE = (72, 64)
SPECIAL = 8
"""Files at the end of an export of another kind than the rest; see :data:`_SPECIAL`."""


@dataclass
class Export:
    """What was made.

    Args:
        folder: the export.
        mint: its markers.
        arrays: (what, pixels, bits): as stored.
        streams: (what, bytes): encoded pixels, and whole files whose digest would name them.
        files: the files.
        syntaxes: how many files of each transfer syntax.
        patients: patients in the order of their first file.
    """

    folder: Path
    mint: Mint
    arrays: list[tuple[str, NDArray[Any], int]] = field(default_factory=list)
    streams: list[tuple[str, bytes]] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    syntaxes: dict[str, int] = field(default_factory=dict)
    patients: list[str] = field(default_factory=list)


def smooth(seed: int, shape: tuple[int, ...] = SIZE) -> NDArray[np.float64]:
    """Noise with the falling spectrum of a photograph, in [0, 1]."""
    rng = np.random.default_rng(seed)
    grids = np.meshgrid(*(np.fft.fftfreq(length) * length for length in shape), indexing="ij")
    radius = np.sqrt(sum(grid**2 for grid in grids)) + 1
    image = np.fft.ifftn(np.fft.fftn(rng.normal(size=shape)) / radius**1.2).real
    scaled: NDArray[np.float64] = (image - image.min()) / (image.max() - image.min())
    return scaled


def make_export(folder: str | Path, files: int, seed: int = 0) -> Export:
    """Write the export: two DICOM files a patient, in folders and files that are named like people.

    Args:
        folder: where; it must not exist.
        files: number of DICOM files, at least 24: the last :data:`SPECIAL` are objects of special kinds.
        seed: of markers and pixels.

    Raises:
        ValueError: for fewer files.
    """
    least = SPECIAL + len(SYNTAXES) + len(BORROWED)
    if files < least:
        raise ValueError(f"{files} files: give {least} or more, so that every transfer syntax is among them.")
    export = Export(Path(folder), Mint(seed))
    export.folder.mkdir(parents=True)
    every = elements.dictionary()
    share = max(40, -(-len(every) // (files - SPECIAL)))
    with _without_validation():
        for number in range(files):
            start = number * share % len(every)
            _make_file(export, number, number - (files - SPECIAL), (every + every)[start : start + share])
    _add_others(export)
    return export


def _make_file(export: Export, number: int, special: int, chosen: list[tuple[int, str, str]]) -> None:
    mint, where = export.mint, f"file {number}"
    foreign = elements.INVALID[number % len(elements.INVALID)][0] != "SpecificCharacterSet"
    script = list(SCRIPTS)[number // 2 % len(SCRIPTS)] if foreign else "ASCII"
    if number % 2 == 0:
        patient = mint.text(where, around="MUELLER-{}")
        export.patients.append(patient)
        place = export.folder / (mint.text(f"folder of {where}", "file") + "_Anna")
        place.mkdir()
    else:
        patient = export.patients[-1]
        place = export.files[-1].parent
    stem = mint.script(f"name of {where}", script) if number % 3 == 0 else mint.text(f"name of {where}", "file")
    path = place / (stem + ("", ".dcm", ".ima")[number % 3])
    header = FileDataset(str(path), {}, file_meta=FileMetaDataset(), preamble=bytes(128))
    header.SOPClassUID, header.Modality = CLASSES[number % 4], MODALITIES[number % 4]
    header.SOPInstanceUID, header.SeriesInstanceUID = mint.uid(where), mint.uid(where)
    header.StudyInstanceUID, header.PatientID = mint.uid(where), patient
    header.ImageType = ["ORIGINAL", "PRIMARY"]
    elements.add_invalid(header, mint, where, number)
    elements.fill_patient(header, mint, where, script)
    elements.fill(header, mint, where, chosen)
    elements.add_sequences(header, mint, where)
    elements.add_private(header, mint, where)
    planes = elements.add_planes(header, mint, where, export.mint.seed * 10_000 + number)
    export.arrays += [(f"{name} of {where}", values, 8) for name, values in planes]
    _put_pixels(export, header, number, special)
    if special >= 0:
        _SPECIAL[special](header, export.mint)
    meta = header.file_meta
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
    meta.ImplementationVersionName = mint.text(f"meta information of {where}")
    meta.SourceApplicationEntityTitle = mint.text(f"meta information of {where}")
    header.add_new(0xFFFCFFFC, "OB", mint.text(f"trailing padding of {where}").encode())
    little, implicit = (getattr(meta.TransferSyntaxUID, name) for name in ("is_little_endian", "is_implicit_VR"))
    dcmwrite(path, header, enforce_file_format=True, little_endian=little, implicit_vr=implicit)
    export.files.append(path)
    export.streams.append((f"file {number}", path.read_bytes()))


@contextmanager
def _without_validation() -> Iterator[None]:
    """Invalid values are what is wanted: no warning of them, and no refusal."""
    before = config.settings.writing_validation_mode, config.settings.reading_validation_mode
    config.settings.writing_validation_mode = config.settings.reading_validation_mode = config.IGNORE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        config.settings.writing_validation_mode, config.settings.reading_validation_mode = before


def _put_pixels(export: Export, header: FileDataset, number: int, special: int) -> None:
    where, kinds = f"file {number}", [*SYNTAXES, *BORROWED]
    syntax = kinds[number] if number < len(kinds) else list(SYNTAXES)[number % len(SYNTAXES)]
    if special >= 0:
        syntax = uid.ExplicitVRLittleEndian
    put, bits = SYNTAXES.get(syntax, (put_borrowed, 12))
    kind = np.uint8 if bits == 8 else np.uint16
    pixels = np.rint(smooth(1_000 + number) * (2**bits - 1)).astype(kind)
    describe(header, pixels, bits)
    put(header, pixels, syntax)
    export.syntaxes[syntax.name] = export.syntaxes.get(syntax.name, 0) + 1
    if syntax in BORROWED:
        return
    decoded = pixels
    if syntax in (uid.JPEGBaseline8Bit, uid.JPEG2000):
        decoded = header.pixel_array
    export.arrays.append((f"pixels of {where}", decoded, bits))
    if syntax.is_encapsulated:
        export.streams.append((f"frame of {where}", next(generate_frames(header.PixelData, number_of_frames=1))))


def _frames(header: FileDataset, mint: Mint) -> None:
    volume = np.stack([np.rint(smooth(5_000 + index) * 4095).astype(np.uint16) for index in range(3)])
    describe(header, volume, 12)
    put_native(header, volume, uid.ExplicitVRLittleEndian)


def _colour(header: FileDataset, mint: Mint) -> None:
    header.SamplesPerPixel, header.PhotometricInterpretation, header.PlanarConfiguration = 3, "RGB", 0
    header.BitsAllocated, header.BitsStored, header.HighBit = 8, 8, 7
    colour = np.stack([np.rint(smooth(6_000 + band) * 255) for band in range(3)], axis=-1).astype(np.uint8)
    header.add_new("PixelData", "OW", colour.tobytes())


def _inverted(header: FileDataset, mint: Mint) -> None:
    header.PhotometricInterpretation = "MONOCHROME1"


def _captured(header: FileDataset, mint: Mint) -> None:
    header.SOPClassUID, header.Modality = uid.SecondaryCaptureImageStorage, "OT"
    header.SecondaryCaptureDeviceManufacturer = mint.text("a secondary capture")


def _burned_in(header: FileDataset, mint: Mint) -> None:
    header.BurnedInAnnotation = "YES"


def _report(header: FileDataset, mint: Mint) -> None:
    header.SOPClassUID, header.Modality = uid.BasicTextSRStorage, "SR"
    del header.PixelData


def _cut(header: FileDataset, mint: Mint) -> None:
    header.PixelData = header.PixelData[:1000]


def _nonsense(header: FileDataset, mint: Mint) -> None:
    for name, kind in (("NumberOfFrames", "IS"), ("RescaleSlope", "DS")):
        header.add(elements.unread(name, kind, mint.text("an element that the reading needs")))


_SPECIAL: tuple[Callable[[FileDataset, Mint], None], ...] = (
    _frames, _colour, _inverted, _captured, _burned_in, _report, _cut, _nonsense,
)  # fmt: skip


def _add_others(export: Export) -> None:
    """Files that are not DICOM: pictures with texts, a PDF, a file of nonsense after "DICM", an empty one."""
    mint = export.mint
    for number in range(2):
        patient = mint.text("folder of a picture", "file")
        (export.folder / patient).mkdir()
        export.patients.append(patient)
        said = PngImagePlugin.PngInfo()
        said.add_text("Patient", mint.text("text chunk of a picture"))
        said.add_text("Comment", mint.text("compressed text chunk of a picture"), zip=True)
        pixels = np.rint(smooth(8_000 + number) * 255).astype(np.uint8)
        path = export.folder / patient / f"{mint.text('name of a picture', 'file')}.png"
        Image.fromarray(pixels).save(path, pnginfo=said)
        export.arrays.append((f"picture {number}", pixels, 8))
        export.files.append(path)
    for suffix, start in ((".pdf", b"%PDF-1.4 "), (".dcm", bytes(128) + b"DICM"), (".nii", None)):
        path = export.folder / (mint.text("name of a broken file", "file") + suffix)
        path.write_bytes(b"" if start is None else start + mint.text("a broken file").encode() * 9)
        export.files.append(path)


def write_labels(export: Export, path: str | Path) -> None:
    """``labels.csv`` by patient, two classes in turn; a column of its own names each patient's ward."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["patient", "label", "ward"])
        for number, patient in enumerate(export.patients):
            table.writerow([patient, LABELS[number % 2], export.mint.text("an attribute of the labels")])
