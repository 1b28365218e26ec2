"""The report for the PACS: a Comprehensive SR of the original patient and study, unverified, made by highdicom."""

from __future__ import annotations

import io
from datetime import datetime
from typing import Any

from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    ComprehensiveSR,
    DeviceObserverIdentifyingAttributes,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    SourceImageForMeasurementGroup,
    TrackingIdentifier,
)
from pydicom import dcmwrite
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import UID

from fesf.scripts.data.dicom_elements import MANUFACTURER, uid
from fesf.scripts.data.prediction import Prediction
from fesf.scripts.data.prediction_object import SCHEME
from fesf.scripts.gateway.origin import Origin
from fesf.transforms.dicom_reader import quiet

TITLE = CodedConcept("REPORT", SCHEME, "Classifier's prediction, unverified")
PROCEDURE = CodedConcept("PREDICTION", SCHEME, "Prediction by a classifier")
ALGORITHM = "FESF classifier of surrogates"
SERIES = "FESF prediction, unverified"


def write_report(origin: Origin, prediction: Prediction, answered: float, name: str) -> bytes:
    """Bytes of the report's file; the same for the same arguments, so that storing it twice is storing it once.

    Args:
        origin: the original's patient, study and image.
        prediction: what the analyst returned.
        answered: when, in seconds: the report's date and time.
        name: keyed name of the report, from which its UIDs follow; the analyst, who knows the surrogate's id, cannot
            tell it.
    """
    with quiet():
        report = ComprehensiveSR(
            evidence=[_evidence(origin)],
            content=_content(origin, prediction, name),
            series_instance_uid=uid(name, "report series"),
            series_number=9001,
            sop_instance_uid=uid(name, "report"),
            instance_number=1,
            manufacturer=MANUFACTURER,
            is_complete=True,
            is_final=False,
            is_verified=False,
            series_description=SERIES,
        )
        _settle(report, datetime.fromtimestamp(answered))
        if origin.patient_id_issuer:
            report.IssuerOfPatientID = origin.patient_id_issuer
        buffer = io.BytesIO()
        dcmwrite(buffer, report, enforce_file_format=True)
    return buffer.getvalue()


def _evidence(origin: Origin) -> Dataset:
    """The original as highdicom wants it: what it copies, and no more."""
    evidence = Dataset()
    evidence.SpecificCharacterSet = "ISO_IR 192"
    evidence.SOPClassUID, evidence.SOPInstanceUID = UID(origin.sop_class), UID(origin.sop_instance)
    evidence.StudyInstanceUID, evidence.SeriesInstanceUID = UID(origin.study), UID(origin.series)
    evidence.PatientID, evidence.PatientName = origin.patient_id, origin.patient_name
    evidence.PatientBirthDate, evidence.PatientSex = origin.birth_date, origin.sex
    evidence.StudyDate, evidence.StudyTime = origin.study_date, origin.study_time
    evidence.StudyID, evidence.AccessionNumber = origin.study_id, origin.accession
    evidence.ReferringPhysicianName = origin.referring
    return evidence


def _content(origin: Origin, prediction: Prediction, name: str) -> Any:
    parameters = [f"sha256 {prediction.model_sha256}"]
    algorithm = AlgorithmIdentification(ALGORITHM, prediction.model_version, parameters)
    measurements = [
        Measurement(
            CodedConcept(f"CLASS{number}", SCHEME, f"Probability of {label}"[:64]),
            value,
            codes.UCUM.NoUnits,
        )
        for number, (label, value) in enumerate(zip(prediction.class_names, prediction.probabilities, strict=True))
    ]
    tracking = TrackingIdentifier(uid(name, "tracking"), "prediction")
    source = SourceImageForMeasurementGroup(origin.sop_class, origin.sop_instance)
    device = DeviceObserverIdentifyingAttributes(uid(prediction.model_sha256, "device"), ALGORITHM, MANUFACTURER)
    group = MeasurementsAndQualitativeEvaluations(
        tracking, algorithm_id=algorithm, measurements=measurements, source_images=[source]
    )
    observer = ObserverContext(codes.DCM.Device, device)
    return MeasurementReport(ObservationContext(observer_device_context=observer), PROCEDURE, [group], TITLE)


def _settle(report: Dataset, answered: datetime) -> None:
    """Replace every date and time of now by the answer's: highdicom writes when it ran."""
    date, time = answered.strftime("%Y%m%d"), answered.strftime("%H%M%S.%f")
    for name in ("InstanceCreationDate", "ContentDate", "SeriesDate"):
        if name in report:
            setattr(report, name, date)
    for name in ("InstanceCreationTime", "ContentTime", "SeriesTime"):
        if name in report:
            setattr(report, name, time)
    for item in report.get("ContributingEquipmentSequence", ()):
        if "ContributionDateTime" in item:
            item.ContributionDateTime = date + time
