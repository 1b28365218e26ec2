from __future__ import annotations

from typing import Any

import pytest
from pydicom.dataset import Dataset

from fesf.scripts.gateway.commitment import ALL_HELD, SOME_MISSING, make_report, read_request


def request(*uids: Any, transaction: str = "1.2.9") -> Dataset:
    dataset = Dataset()
    dataset.TransactionUID = transaction
    dataset.ReferencedSOPSequence = []
    for uid in uids:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", uid
        dataset.ReferencedSOPSequence.append(item)
    return dataset


def test_what_is_held_and_what_is_not() -> None:
    asked = read_request(request("1.2.1", "1.2.2"))
    assert asked is not None
    report, event = make_report(*asked, lambda uid: uid == "1.2.1")
    assert event == SOME_MISSING
    assert report.TransactionUID == "1.2.9"
    assert [item.ReferencedSOPInstanceUID for item in report.ReferencedSOPSequence] == ["1.2.1"]
    (failed,) = report.FailedSOPSequence
    assert (failed.ReferencedSOPInstanceUID, failed.FailureReason) == ("1.2.2", 0x0112)
    report, event = make_report(*asked, lambda uid: True)
    assert event == ALL_HELD
    assert "FailedSOPSequence" not in report
    report, event = make_report(*asked, lambda uid: False)
    assert event == SOME_MISSING
    assert "ReferencedSOPSequence" not in report


@pytest.mark.parametrize(
    "dataset",
    [Dataset(), request(), request("1.2.1", transaction=""), request(""), request(*["1.2.1"] * 10_001)],
    ids=["empty", "no object", "no transaction", "no uid", "too many"],
)
def test_a_malformed_request_is_none(dataset: Dataset) -> None:
    assert read_request(dataset) is None
