from __future__ import annotations

import io
from typing import Any

import pytest
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import DeflatedExplicitVRLittleEndian

from fesf.scripts.gateway.origin import Origin, body, describe
from fesf.scripts.gateway.report_object import write_report
from fesf.transforms.dicom import DicomError
from tests.scripts.gateway.made import ROOT, SECONDARY_CAPTURE, original, prediction

PIXELS, DEPTH = 2000, 3


def test_what_a_report_needs_is_read() -> None:
    found = describe(original(4), PIXELS, DEPTH)
    assert found == Origin(
        SECONDARY_CAPTURE, f"{ROOT}1.4", f"{ROOT}3.4", f"{ROOT}2.4", "PAT4", "Schmidt^Anna4", "19500101", "F",
        "20200102", "101112", "S4", "ACC4", "Haus^G",
    )  # fmt: skip
    assert Origin.from_bytes(found.to_bytes()) == found


def test_what_is_no_date_is_left_out() -> None:
    found = describe(original(StudyDate="SCHMIDT", StudyTime="noon", PatientID=None), PIXELS, DEPTH)
    assert isinstance(found, Origin)
    assert (found.study_date, found.study_time, found.patient_id) == ("", "", "")


def nested(depth: int) -> list[Dataset]:
    item = Dataset()
    item.PatientID = "x"
    for _ in range(depth - 1):
        outer = Dataset()
        outer.ReferencedStudySequence = [item]
        item = outer
    return [item]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (original(NumberOfFrames=2), "too-many-pixels"),
        (original(NumberOfFrames="-1"), "no-image"),
        (original(Rows=0), "no-image"),
        (original(Rows=None), "no-image"),
        (original(Columns=60000), "too-many-pixels"),
        (original(StudyInstanceUID=""), "no-uid"),
        (original(SeriesInstanceUID="1.2.x"), "no-uid"),
        (original(ReferencedStudySequence=nested(4)), "too-deep"),
        (original(PatientID="P" * 1025), "long-text"),
        (b"Schmidt" * 100, "not-dicom"),
        (b"", "not-dicom"),
        (original()[:140], "not-dicom"),
    ],
)
def test_what_is_refused(content: bytes, reason: str) -> None:
    assert describe(content, PIXELS, DEPTH) == reason


def test_depth_at_the_limit_is_fine() -> None:
    assert isinstance(describe(original(ReferencedStudySequence=nested(3)), PIXELS, DEPTH), Origin)


def test_sequences_deeper_than_python_goes_are_refused_or_raise() -> None:
    deep = b"\x08\x00\x10\x11SQ\0\0\xff\xff\xff\xff" + bytes.fromhex("feff00e0ffffffff")
    with pytest.raises(DicomError):  # in the gateway: in a limited process, which says "undecodable"
        describe(original()[:500] + deep * 5000, PIXELS, DEPTH)


def test_deflated_objects_are_refused() -> None:
    dataset, buffer = dcmread(io.BytesIO(original())), io.BytesIO()
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dcmwrite(buffer, dataset, enforce_file_format=True)
    assert describe(buffer.getvalue(), PIXELS, DEPTH) == "deflated"


def test_the_body_is_the_same_whatever_the_meta_information_says() -> None:
    dataset, buffer = dcmread(io.BytesIO(original())), io.BytesIO()
    dataset.file_meta.SourceApplicationEntityTitle = "ELSEWHERE"
    dcmwrite(buffer, dataset, enforce_file_format=True)
    assert buffer.getvalue() != original()
    assert body(buffer.getvalue()) == body(original())
    assert body(original(1)) != body(original())
    start = bytearray(original())
    start[140:144] = b"\xff\xff\xff\x7f"  # a group longer than the file
    assert body(bytes(start)) is None


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("PatientID", ["A", "B"], "A\\B"),
        ("PatientName", ["A^B", "C^D"], "A^B"),
        ("PatientSex", "X", ""),
        ("PatientSex", "O", "O"),
        ("StudyDate", "20201399", ""),
        ("StudyDate", "20200229", "20200229"),
        ("StudyTime", "99", ""),
        ("StudyTime", "2361", ""),
        ("StudyTime", "23", "23"),
        ("StudyTime", "235959.5", "235959.5"),
    ],
)
def test_what_a_report_cannot_hold_is_left_out(name: str, value: Any, kept: str) -> None:
    found = describe(original(**{name: value}), PIXELS, DEPTH)
    assert isinstance(found, Origin)
    fields = {"PatientID": found.patient_id, "PatientName": found.patient_name, "PatientSex": found.sex,
              "StudyDate": found.study_date, "StudyTime": found.study_time}  # fmt: skip
    assert fields[name] == kept
    report = dcmread(io.BytesIO(write_report(found, prediction("a" * 32), 0.0, "name")))
    shown = report[name].value
    assert ("\\".join(map(str, shown)) if isinstance(shown, MultiValue) else str(shown)) == kept
