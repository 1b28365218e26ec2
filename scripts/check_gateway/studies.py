"""Studies of real images whose every identifier is a marker, and the release that the gateway hides by."""

from __future__ import annotations

import csv
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom import dcmwrite, uid
from pydicom.dataset import FileDataset, FileMetaDataset

from fesf.scripts.canaries import elements
from fesf.scripts.canaries.files import Export
from fesf.scripts.canaries.markers import Mint
from fesf.scripts.data.files import SHARED, to_csv, write_atomic
from fesf.scripts.make_demo import make_demo

HOSTS, COHORT = 6, 12
SET = "mri_cheng430"


@dataclass(frozen=True)
class Study:
    """A study of one image: its file, and what the report must say."""

    path: Path
    patient_id: str
    patient_name: str
    study: str
    sop_class: str
    sop_instance: str
    accession: str


@dataclass(frozen=True)
class Pictures:
    """Images by what they are for, one patient each; ``source`` says where they are from."""

    source: str
    hosts: list[Path]
    cohort: list[tuple[Path, str]]
    studies: list[Path]
    class_names: tuple[str, ...]


def choose_pictures(shared: Path, folder: Path, number: int) -> Pictures:
    """Images for hosts, a release and studies: of a public set where it is there, else of the demo.

    Args:
        shared: folder that holds ``data/``.
        folder: for the demo.
        number: of studies.
    """
    table, source = shared / "data" / SET / "labels.csv", SET
    if table.is_file():
        with open(table, newline="") as file:
            rows = [(table.parent / row["file"], row["label"], row["patient_id"]) for row in csv.DictReader(file)]
    else:
        source, made = "demo", make_demo(folder / "demo", patients=number + HOSTS + 3 * COHORT, size=64)
        with open(made, newline="") as file:
            rows = [(made.parent / row["image"], row["label"], row["patient"]) for row in csv.DictReader(file)]
    names = tuple(sorted({label for _, label, _ in rows}))
    by_patient = {patient: (path, label) for path, label, patient in rows}
    order = np.random.default_rng(0).permutation(sorted(by_patient)).tolist()
    hosts, rest = [by_patient[name][0] for name in order[:HOSTS]], order[HOSTS:]
    cohort = [by_patient[name] for label in names
              for name in [one for one in rest if by_patient[one][1] == label][: COHORT // len(names)]]  # fmt: skip
    used = {path for path, _ in cohort}
    studies = [path for path, _, patient in rows if patient in rest and path not in used]
    if len(studies) < number:
        raise ValueError(f"--studies {number}: {source} has {len(studies)} images for studies.")
    return Pictures(source, hosts, cohort, studies[:number], names)


def write_cohort(pictures: Pictures, folder: Path) -> Path:
    """The release's ``cohort.csv`` and ``hosts/``; returns the table."""
    (folder / "hosts").mkdir(parents=True)
    for number, path in enumerate(pictures.hosts):
        Image.open(path).convert("L").save(folder / "hosts" / f"{number}.png")
    rows = (
        {"image": str(path.absolute()), "label": label, "patient": f"P{number}"}
        for number, (path, label) in enumerate(pictures.cohort)
    )
    write_atomic(folder / "cohort.csv", to_csv(("image", "label", "patient"), rows), SHARED)
    return folder / "cohort.csv"


def make_studies(pictures: Pictures, folder: Path, number: int) -> tuple[Export, list[Study]]:
    """Wrap images as DICOM, each in turn: a patient, a study and an image of its own, every text of it a marker."""
    folder.mkdir(parents=True)
    export, studies = Export(folder, Mint(7)), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for index in range(number):
            studies.append(_write(export, pictures.studies[index % len(pictures.studies)], index))
    return export, studies


def _write(export: Export, picture: Path, number: int) -> Study:
    mint, where = export.mint, f"study {number}"
    pixels = np.asarray(Image.open(picture).convert("L"))
    path = export.folder / f"{mint.text(f'name of {where}', 'file')}.dcm"
    header = FileDataset(str(path), {}, file_meta=FileMetaDataset(), preamble=bytes(128))
    header.SOPClassUID, header.Modality = uid.MRImageStorage, "MR"
    header.SOPInstanceUID, header.SeriesInstanceUID = mint.uid(where), mint.uid(where)
    header.StudyInstanceUID, header.PatientID = mint.uid(where), mint.text(where)
    header.ImageType = ["ORIGINAL", "PRIMARY"]
    elements.fill_patient(header, mint, where, ("Latin", "Greek", "Cyrillic", "Devanagari")[number % 4])
    elements.add_sequences(header, mint, where, depth=2)
    elements.add_private(header, mint, where)
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.Rows, header.Columns = pixels.shape
    header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 8, 8, 7, 0
    header.add_new("PixelData", "OB", pixels.tobytes() + bytes(pixels.size % 2))
    header.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    dcmwrite(path, header, enforce_file_format=True)
    export.files.append(path)
    export.arrays.append((f"pixels of {where}", pixels, 8))
    export.streams.append((f"file of {where}", path.read_bytes()))
    return Study(
        path,
        str(header.PatientID),
        str(header.PatientName),
        str(header.StudyInstanceUID),
        str(header.SOPClassUID),
        str(header.SOPInstanceUID),
        str(header.AccessionNumber),
    )
