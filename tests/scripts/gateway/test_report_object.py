"""The report: on the original patient and study, unverified, the same bytes each time, and fine by dciodvfy."""

from __future__ import annotations

import io
import time
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest

from fesf.scripts.data.dicom_elements import uid
from fesf.scripts.gateway.origin import Origin
from fesf.scripts.gateway.report_object import write_report
from tests.scripts.data.validator import dciodvfy, errors
from tests.scripts.gateway.made import ROOT, SECONDARY_CAPTURE, prediction

ORIGIN = Origin(
    SECONDARY_CAPTURE, f"{ROOT}1", f"{ROOT}2", f"{ROOT}3", "PAT1", "Müller^Änne", "19500101", "F", "20200102", "101112",
    "S1", "ACC1", "Haus^G", "HOSPITAL",
)  # fmt: skip
ANSWER = prediction("a" * 32, 0.25)
NOW = 1_000_000_000.0


def report(origin: Origin = ORIGIN) -> pydicom.Dataset:
    return pydicom.dcmread(io.BytesIO(write_report(origin, ANSWER, NOW, "name")))


def test_it_is_the_original_patients_and_studys() -> None:
    found = report()
    assert found.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.33"
    assert (found.PatientID, found.PatientName, found.IssuerOfPatientID) == ("PAT1", "Müller^Änne", "HOSPITAL")
    assert (found.PatientBirthDate, found.PatientSex) == ("19500101", "F")
    assert (found.StudyInstanceUID, found.StudyDate, found.StudyTime) == (f"{ROOT}3", "20200102", "101112")
    assert (found.StudyID, found.AccessionNumber, found.ReferringPhysicianName) == ("S1", "ACC1", "Haus^G")
    assert (found.VerificationFlag, found.PreliminaryFlag, found.CompletionFlag) == (
        "UNVERIFIED", "PRELIMINARY", "COMPLETE",
    )  # fmt: skip
    (study,) = found.CurrentRequestedProcedureEvidenceSequence
    (series,) = study.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == f"{ROOT}2"
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == f"{ROOT}1"


def test_it_says_classes_probabilities_and_the_model() -> None:
    group = report().ContentSequence[-1].ContentSequence[0].ContentSequence
    said = [
        (item.ConceptNameCodeSequence[0].CodeMeaning, item.MeasuredValueSequence[0].FloatingPointValue)
        for item in group
        if item.ValueType == "NUM"
    ]
    assert said == [("Probability of no", 0.75), ("Probability of yes", 0.25)]
    texts = {item.ConceptNameCodeSequence[0].CodeMeaning: item.TextValue for item in group if item.ValueType == "TEXT"}
    assert texts["Algorithm Version"] == ANSWER.model_version
    assert texts["Algorithm Parameters"] == f"sha256 {ANSWER.model_sha256}"
    assert "unverified" in report().ConceptNameCodeSequence[0].CodeMeaning


def test_it_is_the_same_bytes_at_any_time() -> None:
    first = write_report(ORIGIN, ANSWER, NOW, "name")
    time.sleep(0.01)
    assert write_report(ORIGIN, ANSWER, NOW, "name") == first
    assert report().ContentDate == report().InstanceCreationDate == time.strftime("%Y%m%d", time.localtime(NOW))


def test_its_uids_follow_from_the_keyed_name_and_not_from_what_the_analyst_knows() -> None:
    found = report()
    other = pydicom.dcmread(io.BytesIO(write_report(ORIGIN, ANSWER, NOW, "other")))
    assert found.SOPInstanceUID == uid("name", "report")
    assert {found.SOPInstanceUID, found.SeriesInstanceUID}.isdisjoint({other.SOPInstanceUID, other.SeriesInstanceUID})
    assert ANSWER.identity.encode() not in write_report(ORIGIN, ANSWER, NOW, "name")


@pytest.mark.parametrize("origin", [ORIGIN, replace(ORIGIN, patient_name="", study_date="", study_time="",
                                                    birth_date="", sex="", referring="")])  # fmt: skip
def test_dciodvfy_finds_no_error(origin: Origin, tmp_path: Path) -> None:
    (tmp_path / "report.dcm").write_bytes(write_report(origin, ANSWER, NOW, "name"))
    lines = dciodvfy(tmp_path / "report.dcm")
    assert "ComprehensiveSR" in lines
    assert errors(lines) == []
