"""A surrogate's DICOM object: every element listed here by itself, judged by dciodvfy, read back by three readers."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import itk
import numpy as np
import pydicom
import pytest
import torch
from monai.data import PydicomReader
from monai.transforms import LoadImage
from PIL import Image
from pydicom.sr.codedict import codes
from pydicom.uid import UID

from fesf.scripts.data import dicom_image
from fesf.scripts.data.dicom_image import decode_dicom, encode_dicom
from fesf.scripts.data.store import decode_image, encode_image
from fesf.scripts.data.store_format import StoreError
from fesf.transforms.loading import load_image
from tests.scripts.data.validator import dciodvfy, errors
from tests.transforms.dicom_files import make_dicom

IDENTITY = "0123456789abcdef0123456789abcdef"
SHAPE = (9, 7)  # columns, rows; an odd number of bytes
DEPTHS = ("uint8", "uint16")


def grey(kind: str = "uint8", shape: tuple[int, int] = SHAPE) -> np.ndarray:
    return np.random.default_rng(0).integers(0, np.iinfo(kind).max, shape, kind, endpoint=True)


def flat(dataset: pydicom.Dataset, within: str = "") -> dict[str, Any]:
    """Every element of a data set, nested ones too, by keyword (tag where it has none)."""
    found: dict[str, Any] = {}
    for element in dataset:
        name = within + (element.keyword or str(element.tag))
        if element.VR == "SQ":
            found[name] = len(element.value)
            for item in element.value:
                found |= flat(item, f"{name}.")
        else:
            found[name] = element.value
    return found


def derived(name: str, value: Any, file: dict[str, Any]) -> bool:
    """The rules for what is no constant."""
    rules = {
        "MediaStorageSOPInstanceUID": lambda: value == file["SOPInstanceUID"],
        "SOPInstanceUID": lambda: value.is_valid and value.startswith("2.25."),
        "StudyInstanceUID": lambda: value.is_valid and value.startswith("2.25."),
        "SeriesInstanceUID": lambda: value.is_valid and value.startswith("2.25."),
        "PatientID": lambda: value == IDENTITY,
        "FileMetaInformationGroupLength": lambda: 100 < value < 200,
        "PixelData": lambda: len(value) in (64, 126),
        "Rows": lambda: value == SHAPE[1],
        "Columns": lambda: value == SHAPE[0],
    }
    return rules[name]() if name in rules else False


def constants(bits: int) -> dict[str, Any]:
    """Every element that the object may hold beside those of :func:`derived`, with its one value."""
    empty = ("StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "PatientName", "PatientBirthDate")
    return {
        "FileMetaInformationVersion": b"\0\1",
        "MediaStorageSOPClassUID": "1.2.840.10008.5.1.4.1.1.7",
        "TransferSyntaxUID": "1.2.840.10008.1.2.1",
        "ImplementationClassUID": "1.2.826.0.1.3680043.9.7433.1.1",
        "ImageType": ["DERIVED", "SECONDARY", "OTHER"],
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7",
        "Modality": "OT",
        "ConversionType": "SYN",
        "Manufacturer": "fesf",
        "SeriesDescription": "FESF surrogate, not for diagnosis",
        "DerivationDescription": "A host image that carries amplitudes of another image. Not for diagnosis.",
        "PatientIdentityRemoved": "NO",
        "DeidentificationMethodCodeSequence": 1,
        "DeidentificationMethodCodeSequence.CodeValue": "113100",
        "DeidentificationMethodCodeSequence.CodingSchemeDesignator": "DCM",
        "DeidentificationMethodCodeSequence.CodeMeaning": "Basic Application Confidentiality Profile",
        "StudyID": "1",
        "SeriesNumber": 1,
        "InstanceNumber": 1,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": 0,
        "LongitudinalTemporalInformationModified": "REMOVED",
        **dict.fromkeys((*empty, "PatientSex", "PatientOrientation", "Laterality"), ""),
    }


@pytest.mark.parametrize("kind", DEPTHS)
def test_every_element_is_a_listed_constant_or_follows_a_rule(kind: str) -> None:
    content = encode_dicom(grey(kind), IDENTITY)
    file = pydicom.dcmread(io.BytesIO(content))
    assert file.preamble == bytes(128)
    found = flat(file.file_meta) | flat(file)
    listed = constants(np.dtype(kind).itemsize * 8)
    for name, value in found.items():
        assert (name in listed and value == listed[name]) or derived(name, value, found), f"{name}: {value!r}"
    assert set(listed) <= set(found)
    assert len(found) == len(listed) + 9
    times = [element for element in file.iterall() if element.VR in ("DA", "TM", "DT")]
    assert {(element.keyword, element.value) for element in times} == {
        (name, "") for name in ("StudyDate", "StudyTime", "PatientBirthDate")
    }
    assert not [element for element in file.iterall() if element.tag.is_private]
    assert "BurnedInAnnotation" not in file  # absent: text may be there; "NO" is not ours to say
    assert content.endswith(file.PixelData)


def test_codes_are_those_of_the_context_group() -> None:
    file = pydicom.dcmread(io.BytesIO(encode_dicom(grey(), IDENTITY)))
    held = [(c.CodeValue, c.CodingSchemeDesignator, c.CodeMeaning) for c in file.DeidentificationMethodCodeSequence]
    known = codes.cid7050.BasicApplicationConfidentialityProfile
    assert held == [(known.value, known.scheme_designator, known.meaning)]


def test_uids_follow_from_the_id_and_are_apart_for_each_image_and_level() -> None:
    one, same, other = (
        pydicom.dcmread(io.BytesIO(encode_dicom(grey(), identity))) for identity in (IDENTITY, IDENTITY, "f" * 32)
    )
    levels = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    assert [one[level].value for level in levels] == [same[level].value for level in levels]
    held = {file[level].value for file in (one, other) for level in levels}
    assert len(held) == 6
    assert all(UID(value).is_valid and len(value) <= 44 for value in held)


PROGRAM = """
import datetime, os, sys
import numpy as np
import highdicom.base, highdicom.sc.sop
from fesf.scripts.data.dicom_image import encode_dicom

class Later(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2031, 5, 17, 3, 4, 5, 678901)

class Clock:
    datetime, date, time, timezone = Later, datetime.date, datetime.time, datetime.timezone

highdicom.base.datetime = highdicom.sc.sop.datetime = Clock
if os.geteuid() == 0:
    os.setuid(65534)
values = np.random.default_rng(0).integers(0, 255, (9, 7), "uint8", endpoint=True)
sys.stdout.buffer.write(encode_dicom(values, "0123456789abcdef0123456789abcdef"))
"""


def test_another_user_at_another_time_writes_the_same_bytes(tmp_path: Path) -> None:
    changed = {"USER": "schmidt", "LOGNAME": "schmidt", "HOME": str(tmp_path), "TZ": "Asia/Tokyo", "LANG": "C"}
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM]
    done = subprocess.run(command, env=os.environ | changed, capture_output=True, check=True)
    assert done.stdout == encode_dicom(grey(), IDENTITY)


@pytest.mark.parametrize("decision", ["NO", "YES"])
@pytest.mark.parametrize("kind", DEPTHS)
def test_dciodvfy_reports_no_error(tmp_path: Path, kind: str, decision: str) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(encode_dicom(grey(kind), IDENTITY, decision))
    lines = dciodvfy(path)
    assert errors(lines) == []
    assert [line for line in lines if not line.startswith("Warning")] == ["SCImage"]
    warned = [line.rsplit("attribute <" if "attribute <" in line else " - ", 1)[1] for line in lines if " - " in line]
    assert warned == ["Study Date", "Study Time", "Laterality>"]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda file: delattr(file, "ConversionType"), "Element=<ConversionType>"),
        (lambda file: setattr(file, "BitsStored", 9), "Bits Stored = 9 exceeds High Bit"),
        (lambda file: setattr(file, "PatientIdentityRemoved", "MAYBE"), "value <MAYBE>"),
    ],
)
def test_dciodvfy_reports_a_spoiled_object(tmp_path: Path, spoil: Any, said: str) -> None:
    file = pydicom.dcmread(io.BytesIO(encode_dicom(grey(), IDENTITY)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spoil(file)
        file.save_as(tmp_path / "a.dcm")
    assert said in " ".join(errors(dciodvfy(tmp_path / "a.dcm")))


@pytest.mark.filterwarnings("ignore:PydicomReader. ImageOrientationPatient:UserWarning")  # there is none
@pytest.mark.parametrize("kind", DEPTHS)
def test_pixels_are_those_of_the_png_whoever_reads(tmp_path: Path, kind: str) -> None:
    bits = np.dtype(kind).itemsize * 8
    image = grey(kind)[None] / np.iinfo(kind).max
    encodings = {"png": {"type": "png", "bits": bits}}
    encodings["dicom"] = {"type": "dicom", "bits": bits, "patient_identity_removed": "NO"}
    for name, encoding in encodings.items():
        (tmp_path / name).write_bytes(encode_image(image, encoding, identity=IDENTITY))
    ours, theirs = (decode_image((tmp_path / name).read_bytes(), of) for name, of in encodings.items())
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape) == (torch.float32, (1, *SHAPE))
    assert torch.equal(ours.as_tensor(), theirs.as_tensor())
    assert torch.equal(ours.affine, theirs.affine)
    picture = np.asarray(Image.open(tmp_path / "png"))
    np.testing.assert_array_equal(picture, grey(kind).T)  # upright in a viewer
    (tmp_path / "dicom").rename(tmp_path / "a.dcm")
    np.testing.assert_array_equal(itk.array_from_image(itk.imread(str(tmp_path / "a.dcm"))).squeeze(), picture)
    by_monai = LoadImage(reader=PydicomReader(swap_ij=True), image_only=True)(tmp_path / "a.dcm")
    np.testing.assert_array_equal(np.asarray(by_monai).squeeze(), picture.T)
    assert torch.equal(load_image(tmp_path / "a.dcm")[..., 0], theirs.as_tensor())


def test_what_the_allow_list_does_not_hold_is_never_written(monkeypatch: pytest.MonkeyPatch) -> None:
    dicom_image._template.cache_clear()
    monkeypatch.setattr(dicom_image, "SERIES_DESCRIPTION", "Anna Schmidt")
    try:
        with pytest.raises(StoreError, match=r"not what the allow-list says \(metadata\): install the versions"):
            encode_dicom(grey(), IDENTITY)
    finally:
        dicom_image._template.cache_clear()


def test_a_decision_that_dicom_does_not_know() -> None:
    with pytest.raises(ValueError, match="identity_removed='yes': choose NO or YES"):
        encode_dicom(grey(), IDENTITY, "yes")


@pytest.mark.parametrize(("package", "call"), [("highdicom", lambda: encode_dicom(grey(), IDENTITY)),
                                               ("pydicom", lambda: decode_dicom(b""))])  # fmt: skip
def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, package: str, call: Any) -> None:
    monkeypatch.setattr(dicom_image, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=rf"need {package}, which is not installed: pip install 'fesf\[dicom\]'"):
        call()


def test_a_patients_dicom_is_no_surrogate(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    make_dicom(path, grey().T)
    for content in (path.read_bytes(), b"", encode_dicom(grey(), IDENTITY)[:-20]):
        with pytest.raises(StoreError, match="A DICOM file is no surrogate: it holds other elements") as caught:
            decode_dicom(content)
        assert "Schmidt" not in str(caught.value)


def test_a_surrogate_of_impossible_pixels_is_broken() -> None:
    content = encode_dicom(grey(), IDENTITY)
    rows = content.index(b"\x28\x00\x10\x00US") + 8
    with pytest.raises(StoreError, match="A DICOM surrogate is broken: its pixels cannot be decoded"):
        decode_dicom(content[:rows] + b"\xff\xff" + content[rows + 2 :])


def test_the_digest_of_a_known_object_is_kept() -> None:
    """Another version of the libraries must not change what a resumed run writes."""
    digest = hashlib.sha256(encode_dicom(np.arange(63, dtype=np.uint8).reshape(9, 7), IDENTITY)).hexdigest()
    assert digest == "3c0cad10ae4115c85cff21eacf335daebb7abc00e47ce5bb32ef7b00d35af263"
