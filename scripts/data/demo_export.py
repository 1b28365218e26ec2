"""The demo cohort as a PACS would export it: DICOM files with headers of nobody, and a table of labels.

Beside the pictures lie six files that an export often holds and a cohort must not: what each teaches is its reason in
``quarantine.csv`` (:mod:`fesf.scripts.make_cohort`). All names, dates and UIDs are made up and follow from the rows.
"""

from __future__ import annotations

import csv
import io
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fesf.scripts.data.dicom_image import require

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

EXPORT, LABELS = "export", "labels.csv"
UNFIT = {
    "burned.dcm": "burned-in-text",
    "copy.dcm": "duplicate-instance",
    "cut.dcm": "truncated",
    "notes.txt": "unknown-format",
    "other.dcm": "no-label",
    "screen.dcm": "secondary-capture",
}
"""Files of the folder ``export/unfit``, and the reason for which each is set aside."""
_SPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "demo.fesf.invalid")


def _uid(name: str) -> str:
    return f"2.25.{uuid.uuid5(_SPACE, name).int}"


def _file(pixels: NDArray[np.uint8], row: dict[str, str], number: str, **others: Any) -> FileDataset:
    """One radiograph; ``number`` names the instance."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

    values: dict[str, Any] = {
        "SOPClassUID": DigitalXRayImageStorageForPresentation,
        "SOPInstanceUID": _uid(number),
        "StudyInstanceUID": _uid(row["study"]),
        "SeriesInstanceUID": _uid(f"{row['study']} series"),
        "StudyDate": f"2001{1 + int(row['study'].split('-')[1]) % 12:02d}01",
        "PatientName": f"Synthetic^{row['patient']}",
        "PatientID": row["patient"],
        "PatientBirthDate": "19500101",
        "PatientSex": row["sex"],
        "InstitutionName": f"Nowhere, site {row['site']}",
        "Modality": "DX",
        "SeriesNumber": 1,
        "InstanceNumber": 1,
        "BurnedInAnnotation": "NO",
        "PixelSpacing": [1.0, 1.0],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
    } | others
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = values["SOPClassUID"], values["SOPInstanceUID"]
    file = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    for name, value in values.items():
        setattr(file, name, value)
    file.add_new("PixelData", "OW", pixels.tobytes() + bytes(pixels.size % 2))
    return file


def _bytes(file: FileDataset) -> bytes:
    buffer = io.BytesIO()
    file.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def write_export(folder: Path) -> None:
    """Write ``export/`` and ``labels.csv`` beside the ``cohort.csv`` of a demo.

    The table has the columns study (a StudyInstanceUID), label, sex and site.

    Args:
        folder: of the demo.

    Raises:
        ValueError: when pydicom is not installed.
    """
    from pydicom.uid import SecondaryCaptureImageStorage

    require("pydicom")
    with open(folder / "cohort.csv", newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    labels: dict[str, dict[str, str]] = {}
    for row in rows:
        pixels = np.asarray(Image.open(folder / row["image"]))
        place = folder / EXPORT / row["patient"] / row["study"].split("-")[1]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"IM{Path(row['image']).stem}").write_bytes(_bytes(_file(pixels, row, row["image"])))
        labels[row["study"]] = {"study": _uid(row["study"])} | {key: row[key] for key in ("label", "sex", "site")}
    first = _file(pixels, row, row["image"])
    stranger = row | {"patient": "P99999", "study": "P99999-1"}
    turned = pixels[::-1].copy()  # other pixels: else they would be duplicates first
    files = {
        "burned.dcm": _bytes(_file(turned, row, "burned", BurnedInAnnotation="YES")),
        "copy.dcm": _bytes(first),
        "cut.dcm": _bytes(_file(turned, row, "cut"))[: -pixels.size // 2],
        "notes.txt": b"Call the ward back about the film of Monday.\n",
        "other.dcm": _bytes(_file(turned, stranger, "other")),
        "screen.dcm": _bytes(_file(turned, row, "screen", SOPClassUID=SecondaryCaptureImageStorage, Modality="OT")),
    }
    (folder / EXPORT / "unfit").mkdir()
    for name, content in files.items():
        (folder / EXPORT / "unfit" / name).write_bytes(content)
    with open(folder / LABELS, "w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, ["study", "label", "sex", "site"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(labels[study] for study in sorted(labels))
