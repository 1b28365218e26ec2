from __future__ import annotations

import pytest

from fesf.scripts.gateway.settings import Egress, Study
from fesf.scripts.gateway.timing import due_time, is_complete, retry_pause


@pytest.mark.parametrize(
    ("first", "last", "now", "complete"),
    [(0, 0, 9.9, False), (0, 0, 10, True), (0, 95, 99, False), (0, 95, 100, True), (0, 50, 60, True)],
)
def test_a_study_is_complete_when_quiet_or_old(first: float, last: float, now: float, complete: bool) -> None:
    assert is_complete(first, last, now, Study(10, 100)) is complete


def test_pauses_double_up_to_the_longest() -> None:
    rule = Egress(first_retry_seconds=2, longest_retry_seconds=15)
    assert [retry_pause(failures, 0.5, rule) for failures in (1, 2, 3, 4, 5, 10_000)] == [2, 4, 8, 15, 15, 15]
    assert retry_pause(1, 0.0, rule) == pytest.approx(1.6)
    assert retry_pause(1, 1.0, rule) == pytest.approx(2.4)


def test_jitter_and_batches() -> None:
    assert due_time(7.0, 0.5, Egress()) == 7.0
    assert due_time(7.0, 0.5, Egress(jitter_seconds=10)) == 12.0
    assert due_time(7.0, 0.5, Egress(batch_seconds=60)) == 60.0
    assert due_time(59.0, 0.5, Egress(batch_seconds=60, jitter_seconds=10)) == 120.0
    assert due_time(120.0, 0.9, Egress(batch_seconds=60)) == 120.0
