"""The DICOM object in which an analyst returns a prediction: a Comprehensive SR of an allow-list, for both sides.

It says which surrogate, which classes with which probabilities, and which model. All else is constant or empty: no
date (``ContentDate`` and ``ContentTime``, which DICOM demands, are constants), no text but class names and the model's
version. The reader takes what the writer writes and nothing else: it rebuilds the object from what it read and
compares.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.multival import MultiValue
from pydicom.uid import UID, ExplicitVRLittleEndian

from fesf.scripts.data.dicom_elements import MANUFACTURER, uid
from fesf.scripts.data.linkage import MAX_CLASSES
from fesf.scripts.data.prediction import Prediction, PredictionError
from fesf.transforms.dicom_reader import quiet

COMPREHENSIVE_SR = "1.2.840.10008.5.1.4.1.1.88.33"
SCHEME = "99FESF"
TITLE = ("PREDICTION", "Prediction on a surrogate, not for diagnosis")
PROBABILITY = ("PROBABILITY", "Probability of a class")
CLASS_NAME = ("CLASS", "Name of the class")
MODEL_SHA256 = ("MODEL", "SHA-256 of the model's file")
MODEL_VERSION = ("VERSION", "Version of the model")
CONTENT_DATE, CONTENT_TIME = "19700101", "000000"
LARGEST = 2**18
"""Bytes of the largest object that is read: a hundred classes take 40 KB."""


def write_prediction(prediction: Prediction) -> Dataset:
    """The prediction as a DICOM object, ready to be sent or saved; the same one for the same prediction.

    It lies in the surrogate's own study, as a series of its own.
    """
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = UID(COMPREHENSIVE_SR)
    dataset.SOPInstanceUID = UID(uid(_digest(prediction), "prediction"))
    dataset.StudyDate, dataset.StudyTime = "", ""
    dataset.ContentDate, dataset.ContentTime = CONTENT_DATE, CONTENT_TIME
    dataset.AccessionNumber = ""
    dataset.Modality = "SR"
    dataset.Manufacturer = MANUFACTURER
    dataset.ReferringPhysicianName = ""
    dataset.ReferencedPerformedProcedureStepSequence = []
    dataset.PatientName, dataset.PatientID = "", prediction.identity
    dataset.PatientBirthDate, dataset.PatientSex = "", ""
    dataset.StudyInstanceUID = UID(uid(prediction.identity, "study"))
    dataset.SeriesInstanceUID = UID(uid(prediction.identity, "prediction series"))
    dataset.StudyID, dataset.SeriesNumber, dataset.InstanceNumber = "1", "2", "1"
    dataset.ValueType = "CONTAINER"
    dataset.ConceptNameCodeSequence = [_code(*TITLE)]
    dataset.ContinuityOfContent = "SEPARATE"
    dataset.PerformedProcedureCodeSequence = []
    dataset.CompletionFlag, dataset.VerificationFlag = "COMPLETE", "UNVERIFIED"
    dataset.ContentSequence = [
        _text("CONTAINS", MODEL_SHA256, prediction.model_sha256),
        _text("CONTAINS", MODEL_VERSION, prediction.model_version),
        *map(_probability, prediction.class_names, prediction.probabilities),
    ]
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


def encode_prediction(prediction: Prediction) -> bytes:
    """The object of :func:`write_prediction` as the bytes of a DICOM file."""
    buffer = io.BytesIO()
    dcmwrite(buffer, write_prediction(prediction), enforce_file_format=True)
    return buffer.getvalue()


def read_prediction(dataset: Dataset, class_names: Sequence[str] | None = None) -> Prediction:
    """Check an object that somebody else made.

    Args:
        dataset: what was received.
        class_names: what the classes must be, in order; None takes any.

    Raises:
        PredictionError: when it is not, element for element, what :func:`write_prediction` makes of some prediction.
    """
    try:
        with quiet():
            prediction = _extract(dataset)
            same = _plain(dataset) == _plain(write_prediction(prediction))
    except PredictionError:
        raise
    except Exception:  # whatever a hostile object makes pydicom raise; its text may quote values
        raise PredictionError("object", "The object is no prediction: an element is missing or malformed.") from None
    if not same:
        raise PredictionError("object", "The object holds other elements or values than a prediction has.")
    if class_names is not None and prediction.class_names != tuple(class_names):
        raise PredictionError("classes", "The classes are not those that are expected.")
    return prediction


def decode_prediction(content: bytes, class_names: Sequence[str] | None = None) -> Prediction:
    """:func:`read_prediction` of the bytes of a DICOM file.

    Raises:
        PredictionError: likewise, or when they are no DICOM file or too many.
    """
    if len(content) > LARGEST:
        raise PredictionError("size", f"The object is larger than {LARGEST} bytes.")
    try:
        with quiet():
            dataset = dcmread(io.BytesIO(content))
            deflated = dataset.file_meta.TransferSyntaxUID.is_deflated
    except Exception:
        raise PredictionError("object", "The object cannot be read as DICOM.") from None
    if deflated:
        raise PredictionError("object", "The object is deflated, which is not taken.")
    return read_prediction(dataset, class_names)


def _extract(dataset: Dataset) -> Prediction:
    digest, version, *numbers = dataset.ContentSequence
    if len(numbers) > MAX_CLASSES:
        raise PredictionError("classes", f"A prediction has 2 to {MAX_CLASSES} classes, each name once.")
    return Prediction(
        str(dataset.PatientID),
        tuple(str(item.ContentSequence[0].TextValue) for item in numbers),
        tuple(float(item.MeasuredValueSequence[0].FloatingPointValue) for item in numbers),
        str(digest.TextValue),
        str(version.TextValue),
    )


def _plain(dataset: Dataset) -> list[tuple[int, str, Any]]:
    """Tags, VRs and values of an object without what depends on its encoding."""
    return [(int(element.tag), str(element.VR), _value(element)) for element in dataset]


def _value(element: Any) -> Any:
    if element.VR == "SQ":
        return [_plain(item) for item in element.value]
    if element.value is None:
        return ""
    return "\\".join(map(str, element.value)) if isinstance(element.value, MultiValue | list) else str(element.value)


def _digest(prediction: Prediction) -> str:
    parts = (
        prediction.identity,
        prediction.model_sha256,
        prediction.model_version,
        *prediction.class_names,
        *(value.hex() for value in prediction.probabilities),
    )
    return sha256("\0".join(parts).encode()).hexdigest()


def _code(value: str, meaning: str, scheme: str = SCHEME) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _text(relation: str, concept: tuple[str, str], value: str) -> Dataset:
    item = Dataset()
    item.RelationshipType, item.ValueType = relation, "TEXT"
    item.ConceptNameCodeSequence = [_code(*concept)]
    item.TextValue = value
    return item


def _probability(name: str, value: float) -> Dataset:
    measured = Dataset()
    measured.MeasurementUnitsCodeSequence = [_code("1", "no units", "UCUM")]
    measured.FloatingPointValue = value
    measured.NumericValue = f"{value:.9f}"
    item = Dataset()
    item.RelationshipType, item.ValueType = "CONTAINS", "NUM"
    item.ConceptNameCodeSequence = [_code(*PROBABILITY)]
    item.MeasuredValueSequence = [measured]
    item.ContentSequence = [_text("HAS CONCEPT MOD", CLASS_NAME, name)]
    return item
