"""Storage commitment: which of the objects asked for the spool holds now."""

from __future__ import annotations

from collections.abc import Callable

from pydicom.dataset import Dataset

ALL_HELD, SOME_MISSING = 1, 2
"""Event types of the report."""
NO_SUCH_OBJECT = 0x0112
MOST = 10_000
"""Most objects in one request."""
LARGEST = 2**21
"""Most bytes of one request, which so many objects do not take."""
MOST_WAITING = 1000
"""Most requests that are not answered yet."""


def read_request(dataset: Dataset) -> tuple[str, list[tuple[str, str]]] | None:
    """Transaction UID and the objects (SOP class, SOP instance) of an N-ACTION; None where it is malformed."""
    try:
        transaction = str(dataset.TransactionUID)
        items = dataset.ReferencedSOPSequence
        objects = [(str(item.ReferencedSOPClassUID), str(item.ReferencedSOPInstanceUID)) for item in items[: MOST + 1]]
    except Exception:
        return None
    fine = all(_is_uid(uid) for uid in (transaction, *(uid for pair in objects for uid in pair)))
    return (transaction, objects) if fine and 0 < len(objects) <= MOST else None


def make_report(
    transaction: str, objects: list[tuple[str, str]], is_held: Callable[[str], bool]
) -> tuple[Dataset, int]:
    """The N-EVENT-REPORT's data set and its event type.

    Args:
        transaction: UID of the request.
        objects: of the request.
        is_held: whether a SOP instance lies in the spool.
    """
    report = Dataset()
    report.TransactionUID = transaction
    held = [pair for pair in objects if is_held(pair[1])]
    missing = [pair for pair in objects if not is_held(pair[1])]
    if held:
        report.ReferencedSOPSequence = [_reference(pair) for pair in held]
    if missing:
        report.FailedSOPSequence = [_reference(pair, NO_SUCH_OBJECT) for pair in missing]
    return report, SOME_MISSING if missing else ALL_HELD


def _reference(pair: tuple[str, str], reason: int | None = None) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = pair
    if reason is not None:
        item.FailureReason = reason
    return item


def _is_uid(text: str) -> bool:
    return 0 < len(text) <= 64 and set(text) <= set("0123456789.")
