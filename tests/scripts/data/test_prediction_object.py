"""What an analyst may return: the writer's object reads back, anything else is refused without being quoted."""

from __future__ import annotations

import io
import math
import re
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian

from fesf.scripts.data.dicom_image import encode_dicom
from fesf.scripts.data.prediction import Prediction, PredictionError
from fesf.scripts.data.prediction_object import (
    LARGEST,
    decode_prediction,
    encode_prediction,
    read_prediction,
    write_prediction,
)
from fesf.scripts.soak.mutation import apply, draw
from tests.scripts.data.validator import dciodvfy, errors

IDENTITY = "0123456789abcdef0123456789abcdef"
GOOD = Prediction(IDENTITY, ("benign", "Höhle (alt)", "3+"), (0.1, 0.7, 0.2), "ab" * 32, "0.1.0+cpu")


def received(dataset: Dataset, syntax: Any = None) -> Dataset:
    """A dataset as the other side reads it."""
    buffer = io.BytesIO()
    if syntax is not None:
        dataset.file_meta.TransferSyntaxUID = syntax
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return pydicom.dcmread(io.BytesIO(buffer.getvalue()))


def test_what_is_written_is_read() -> None:
    content = encode_prediction(GOOD)
    assert content == encode_prediction(GOOD)
    assert decode_prediction(content) == GOOD
    assert decode_prediction(content, ["benign", "Höhle (alt)", "3+"]) == GOOD
    assert read_prediction(received(write_prediction(GOOD), ImplicitVRLittleEndian)) == GOOD
    assert read_prediction(write_prediction(GOOD)) == GOOD


def test_probabilities_keep_every_bit() -> None:
    values = tuple(np.random.default_rng(0).dirichlet([1.0] * 7).tolist())
    given = replace(GOOD, class_names=tuple("abcdefg"), probabilities=values)
    assert decode_prediction(encode_prediction(given)).probabilities == values


def test_undefined_lengths_are_the_same_object() -> None:
    dataset = write_prediction(GOOD)
    for item in dataset.ContentSequence:
        item.is_undefined_length_sequence_item = True
    dataset["ContentSequence"].is_undefined_length = True
    again = received(dataset)
    assert again["ContentSequence"].is_undefined_length
    assert read_prediction(again) == GOOD


def test_it_lies_in_the_surrogates_own_study() -> None:
    surrogate = pydicom.dcmread(io.BytesIO(encode_dicom(np.zeros((9, 7), np.uint8), IDENTITY)))
    dataset = write_prediction(GOOD)
    assert dataset.StudyInstanceUID == surrogate.StudyInstanceUID
    assert dataset.PatientID == surrogate.PatientID
    assert dataset.SeriesInstanceUID != surrogate.SeriesInstanceUID
    other = write_prediction(replace(GOOD, probabilities=(0.2, 0.6, 0.2)))
    assert other.SOPInstanceUID != dataset.SOPInstanceUID
    assert other.SeriesInstanceUID == dataset.SeriesInstanceUID


def test_it_holds_no_date_name_or_machine() -> None:
    dataset = write_prediction(GOOD)
    for element in dataset.iterall():
        if element.VR in ("DA", "DT", "TM"):
            assert element.value in ("", "19700101", "000000")
        if element.VR == "PN":
            assert element.value == ""
    assert {dataset.CompletionFlag, dataset.VerificationFlag} == {"COMPLETE", "UNVERIFIED"}


def test_dciodvfy_finds_no_error(tmp_path: Path) -> None:
    (tmp_path / "p.dcm").write_bytes(encode_prediction(GOOD))
    lines = dciodvfy(tmp_path / "p.dcm")
    assert "ComprehensiveSR" in lines
    assert errors(lines) == []


def item(**values: Any) -> Dataset:
    dataset = Dataset()
    for name, value in values.items():
        setattr(dataset, name, value)
    return dataset


def number(dataset: Any, index: int = 2) -> Any:
    return dataset.ContentSequence[index].MeasuredValueSequence[0]


ALTERED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "a name": (lambda d: setattr(d, "PatientName", "Schmidt^Anna"), "object"),
    "a date": (lambda d: setattr(d, "StudyDate", "20200101"), "object"),
    "private": (lambda d: d.private_block(0x0009, "SCHMIDT", create=True).add_new(1, "LO", "Anna"), "object"),
    "another class": (lambda d: setattr(d, "SOPClassUID", "1.2.840.10008.5.1.4.1.1.7"), "object"),
    "another study": (lambda d: setattr(d, "StudyInstanceUID", "1.2.3"), "object"),
    "another instance": (lambda d: setattr(d, "SOPInstanceUID", "1.2.3"), "object"),
    "verified": (lambda d: setattr(d, "VerificationFlag", "VERIFIED"), "object"),
    "another id": (lambda d: setattr(d, "PatientID", "f" * 32), "object"),
    "a patient's id": (lambda d: setattr(d, "PatientID", "4711"), "id"),
    "two ids": (lambda d: setattr(d, "PatientID", [IDENTITY, IDENTITY]), "id"),
    "no content": (lambda d: delattr(d, "ContentSequence"), "object"),
    "empty content": (lambda d: setattr(d, "ContentSequence", []), "object"),
    "a text more": (lambda d: d.ContentSequence.append(item(TextValue="Schmidt")), "object"),
    "one class": (lambda d: d.ContentSequence.__delitem__(slice(3, 5)), "classes"),
    "a class twice": (lambda d: d.ContentSequence.append(d.ContentSequence[2]), "classes"),
    "a class less": (lambda d: d.ContentSequence.pop(), "sum"),
    "classes without end": (lambda d: d.ContentSequence.extend([d.ContentSequence[2]] * 1001), "classes"),
    "no number": (lambda d: delattr(number(d), "FloatingPointValue"), "object"),
    "NaN": (lambda d: setattr(number(d), "FloatingPointValue", math.nan), "number"),
    "infinite": (lambda d: setattr(number(d), "FloatingPointValue", math.inf), "number"),
    "negative": (lambda d: setattr(number(d), "FloatingPointValue", -0.1), "number"),
    "minus zero": (lambda d: setattr(number(d), "FloatingPointValue", -1e-30), "number"),
    "above one": (lambda d: setattr(number(d), "FloatingPointValue", 1.0000001), "number"),
    "another sum": (lambda d: setattr(number(d), "FloatingPointValue", 0.2), "sum"),
    "another decimal": (lambda d: setattr(number(d), "NumericValue", "0.9"), "object"),
    "decimals more": (lambda d: setattr(number(d), "NumericValue", ["0.1", "0.1"]), "object"),
    "other units": (lambda d: setattr(number(d).MeasurementUnitsCodeSequence[0], "CodeValue", "%"), "object"),
    "nested": (lambda d: setattr(number(d), "PatientName", "Schmidt"), "object"),
    "markup": (lambda d: setattr(d.ContentSequence[2].ContentSequence[0], "TextValue", "<b>"), "classes"),
    "formula": (lambda d: setattr(d.ContentSequence[2].ContentSequence[0], "TextValue", "=1+1"), "classes"),
    "two lines": (lambda d: setattr(d.ContentSequence[2].ContentSequence[0], "TextValue", "a\nb"), "classes"),
    "a long name": (lambda d: setattr(d.ContentSequence[2].ContentSequence[0], "TextValue", "a" * 65), "classes"),
    "digest": (lambda d: setattr(d.ContentSequence[0], "TextValue", "x" * 64), "model"),
    "version": (lambda d: setattr(d.ContentSequence[1], "TextValue", "Anna Schmidt"), "model"),
    "overlay": (lambda d: d.add_new(0x60003000, "OW", b"\1\2"), "object"),
}


@pytest.mark.parametrize(("alter", "reason"), ALTERED.values(), ids=ALTERED)
def test_anything_else_is_refused_and_not_quoted(alter: Callable[[Any], Any], reason: str) -> None:
    dataset = write_prediction(GOOD)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        alter(dataset)
        sent = [dataset, received(dataset)]
    for given in sent:
        with pytest.raises(PredictionError) as raised:
            read_prediction(given)
        assert raised.value.reason == reason
        assert not re.search("schmidt|anna|4711|<b>", str(raised.value), re.IGNORECASE)
        assert raised.value.__cause__ is None


def test_other_classes_than_expected_are_refused() -> None:
    for names in (["benign", "3+", "Höhle (alt)"], ["benign", "3+"], []):
        with pytest.raises(PredictionError, match="not those that are expected"):
            decode_prediction(encode_prediction(GOOD), names)


def test_bytes_that_are_no_file_too_large_or_deflated_are_refused() -> None:
    deflated = io.BytesIO()
    dataset = write_prediction(GOOD)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    pydicom.dcmwrite(deflated, dataset, enforce_file_format=True)
    for content, reason in (
        (b"", "object"),
        (b"Schmidt" * 40, "object"),
        (encode_prediction(GOOD)[:500], "object"),
        (bytes(LARGEST + 1), "size"),
        (deflated.getvalue(), "object"),
    ):
        with pytest.raises(PredictionError) as raised:
            decode_prediction(content)
        assert raised.value.reason == reason


def test_sequences_without_end_are_refused() -> None:
    """Sequences in sequences, deeper than Python calls itself."""
    start = bytes.fromhex("feff00e0ffffffff")  # an item of undefined length
    deep = b"\x40\x00\x30\xa7SQ\0\0\xff\xff\xff\xff" + start
    content = encode_prediction(GOOD)
    with pytest.raises(PredictionError):
        decode_prediction(content + deep * 5000)


OTHER = Prediction("f" * 32, ("x", "y"), (0.5, 0.5), "cd" * 32, "2")


def test_mutated_objects_are_refused_or_what_they_were() -> None:
    """Its UID is a digest of the content: no mutation makes another prediction."""
    content, others = encode_prediction(GOOD), {"other": encode_prediction(OTHER)}
    outcomes = Counter()
    for seed in range(300):
        mutated = apply(content, draw(Random(seed), content, False, others), others)
        try:
            assert decode_prediction(mutated) in (GOOD, OTHER)
            outcomes["taken"] += 1
        except PredictionError as error:
            outcomes[error.reason] += 1
    assert outcomes["object"] > 100
    assert outcomes["taken"] > 0  # preamble and meta information are not compared
