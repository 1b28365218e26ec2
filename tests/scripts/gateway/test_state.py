from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from fesf.scripts.gateway.state import STATE, State, read_report


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / STATE)


def add(state: State, number: int = 1, study: str = "s", key: str | None = None, now: float = 100.0) -> int:
    return state.add(f"id{number}", key or f"k{number}", f"d{number}", study, b"sealed", now)


def only(state: State, number: int = 1):
    found = state.by_identity(f"id{number}")
    assert found is not None
    return found


def test_every_commit_reaches_the_disk(state: State, tmp_path: Path) -> None:
    assert state._base.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL: fsync at each commit, WAL included
    assert state._base.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert (tmp_path / STATE).stat().st_mode & 0o777 == 0o600


def test_an_image_goes_its_way(state: State, tmp_path: Path) -> None:
    assert add(state) == 1
    assert state.open_studies() == [("s", 100.0, 100.0)]
    state.complete("s", 99.0)  # one more had come since
    assert only(state).state == "received"
    state.complete("s", 100.0)
    assert state.open_studies() == []
    image = only(state)
    assert image.state == "ready"
    assert state.open_identities("k1") == [image.identity]
    state.note(image, "hiding", 101.0)
    assert state.move(image, ("ready",), "hidden", 102.0, entry="e", due=110.0)
    assert state.due(("hidden",), 109.0) == []
    assert [one.entry for one in state.due(("hidden",), 110.0)] == ["e"]
    assert state.move(image, ("hidden", "sending"), "sending", 111.0)
    assert not state.move(image, ("ready",), "hidden", 112.0)
    assert state.move(image, ("sending",), "sent", 113.0)
    assert state.move(image, ("sent",), "answered", 114.0, prediction=b"p")
    assert only(state).answered_at == 114.0
    assert state.move(image, ("answered",), "stored", 115.0)
    assert state.open_identities("k1") == []
    state.close()
    report = read_report(tmp_path)
    assert report["states"] == {"stored": 1}
    assert report["times"] == [
        {"received": 100.0, "hiding": 101.0, "hidden": 102.0, "sent": 113.0, "answered": 114.0, "stored": 115.0}
    ]


def test_a_corrected_image_supersedes_what_is_not_answered(state: State) -> None:
    assert [add(state, number, key="k") for number in (1, 2)] == [1, 2]
    assert only(state, 1).state == "superseded"
    assert state.move(only(state, 2), ("received",), "answered", 0.0)
    assert add(state, 3, key="k") == 3
    assert only(state, 2).state == "answered"
    with pytest.raises(sqlite3.IntegrityError):
        state.add("id4", "k", "d3", "s", b"", 0.0)
    assert state.find("k", "d3") is not None
    assert state.find("k", "d4") is None


def test_a_late_image_opens_its_study_again(state: State) -> None:
    add(state, 1, now=100.0)
    state.complete("s", 100.0)
    add(state, 2, now=500.0)
    assert state.open_studies() == [("s", 500.0, 500.0)]  # not as old as the first time
    add(state, 3, now=510.0)
    assert state.open_studies() == [("s", 500.0, 510.0)]


def test_what_is_postponed_waits_and_counts(state: State) -> None:
    add(state)
    state.postpone(only(state), 200.0)
    state.postpone(only(state), 300.0)
    assert only(state).failures == 2
    assert state.due(("received",), 299.0) == []
    state.move(only(state), ("received",), "ready", 0.0)
    assert only(state).failures == 0


def test_old_entries_are_forgotten(state: State) -> None:
    add(state, 1, study="old", now=100.0)
    add(state, 2, study="new", now=200.0)
    assert [image.identity for image in state.received_before(200.0, ("received",))] == ["id1"]
    assert state.forget(150.0) == 1
    assert [study for study, _, _ in state.open_studies()] == ["new"]
    assert state.by_identity("id1") is None


def test_counts_and_commitments(state: State) -> None:
    state.count("refused: rate")
    state.count("refused: rate")
    assert state.report()["counts"] == {"refused: rate": 2}
    state.add_commitment(b"c")
    ((number, sealed, failures),) = state.commitments(0.0)
    assert (sealed, failures) == (b"c", 0)
    state.end_commitment(number, 10.0)
    assert state.commitments(9.0) == []
    assert state.commitments(10.0) == [(number, b"c", 1)]
    state.end_commitment(number)
    assert state.commitments(99.0) == []


def test_a_change_that_fails_changes_nothing(state: State) -> None:
    add(state)
    with pytest.raises(sqlite3.OperationalError):
        state.move(only(state), ("received",), "ready", 0.0, nothing=1)
    assert only(state).state == "received"
    with pytest.raises(ValueError, match="choose received"):
        state.note(only(state), "ready", 0.0)


def test_a_report_needs_a_gateway(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no gateway has run there"):
        read_report(tmp_path)


class FullDisk:
    """SQLite's connection, whose commits fail."""

    def __init__(self, base: sqlite3.Connection) -> None:
        self._base, self.full = base, True

    def execute(self, text: str, *values: Any) -> Any:
        if self.full and text == "COMMIT":
            raise sqlite3.OperationalError("database or disk is full")
        return self._base.execute(text, *values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._base, name)


def test_a_commit_that_fails_leaves_nothing_and_can_be_tried_again(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = FullDisk(state._base)
    monkeypatch.setattr(state, "_base", disk)
    for _ in range(2):  # not "within a transaction" the second time
        with pytest.raises(sqlite3.OperationalError, match="full"):
            add(state)
    disk.full = False
    assert add(state) == 1


def test_an_image_that_is_gone_is_not_taken_up(state: State) -> None:
    add(state)
    image = only(state)
    with pytest.raises(LookupError):
        state.take_up(image, 200.0)  # it has not failed
    assert state.move(image, ("received",), "failed", 110.0, reason="x")
    state.forget(1e12)
    with pytest.raises(LookupError):
        state.take_up(image, 200.0)
