"""The chained log: every kind of tampering that it can show, and those that it cannot."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fesf.scripts.data.release_log import LogError, append, read_log

NOW = datetime(2026, 11, 24, 16, 0, tzinfo=UTC)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "release-log.jsonl"
    for number in range(4):
        append(path, {"event": "release", "to": f"clinic {number}"}, NOW)
    return path


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines()


def test_each_line_holds_the_digest_of_the_one_before(log: Path) -> None:
    previous = "0" * 64
    for number, line in enumerate(lines(log), 1):
        entry = json.loads(line)
        assert entry == {
            "event": "release",
            "to": f"clinic {number - 1}",
            "number": number,
            "time": "2026-11-24T16:00:00Z",
            "previous": previous,
        }
        previous = hashlib.sha256(line).hexdigest()
    head = json.loads((log.parent / "release-log.head").read_text())
    assert head == {"lines": 4, "last": previous}
    assert read_log(log).head == previous
    assert read_log(log).unconfirmed == 0
    assert [path.stat().st_mode & 0o777 for path in sorted(log.parent.iterdir())] == [0o600, 0o600]


@pytest.mark.parametrize(
    ("tamper", "message"),
    [
        (lambda held: [held[0].replace(b"clinic 0", b"clinic 9"), *held[1:]], "Line 2 of the release log does"),
        (lambda held: [held[0], *held[2:]], "Line 2 of"),
        (lambda held: held[1:], "Line 1 of"),
        (lambda held: [held[1], held[0], *held[2:]], "Line 1 of"),
        (lambda held: [held[0], held[2], held[1], held[3]], "Line 2 of"),
        (lambda held: [held[0], held[0], *held[1:]], "Line 2 of"),
        (lambda held: [held[0], b"{", *held[1:]], "Line 2 of"),
        (lambda held: [held[0], b"", *held[1:]], "Line 2 of"),
        (lambda held: [*held[:3], held[3].replace(b"clinic 3", b"clinic 9")], "lines were cut off, or changed"),
        (lambda held: held[:3], r"has 3 lines and its head speaks of 4"),
        (lambda held: [], "has 0 lines and its head speaks of 4"),
    ],
)  # fmt: skip
def test_tampering_is_found(log: Path, tamper: Callable[[list[bytes]], list[bytes]], message: str) -> None:
    log.write_bytes(b"".join(line + b"\n" for line in tamper(lines(log))))
    with pytest.raises(LogError, match=message):
        read_log(log)
    before = log.read_bytes()
    with pytest.raises(LogError, match=message):
        append(log, {"event": "release"})
    assert log.read_bytes() == before


def test_a_removed_log_is_found_by_its_head(log: Path) -> None:
    log.unlink()
    with pytest.raises(LogError, match="its head speaks of 4"):
        read_log(log)
    (log.parent / "release-log.head").write_text("{}")
    with pytest.raises(LogError, match="is malformed"):
        read_log(log)


def test_who_cuts_both_files_is_found_by_a_noted_head_alone(log: Path) -> None:
    noted = read_log(log).head
    held = lines(log)[:2]
    log.write_bytes(b"".join(line + b"\n" for line in held))
    head = {"lines": 2, "last": hashlib.sha256(held[-1]).hexdigest()}
    (log.parent / "release-log.head").write_text(json.dumps(head))
    assert len(read_log(log).entries) == 2  # unseen: the module says so
    with pytest.raises(LogError, match="No line of the release log has the digest"):
        read_log(log, noted)


def test_an_earlier_head_stays_valid(log: Path) -> None:
    noted = read_log(log).head
    append(log, {"event": "release"})
    assert len(read_log(log, noted).entries) == 5


def test_a_run_that_was_stopped_while_it_wrote(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open(log, "ab") as file:
        file.write(b'{"event": "rel')
    assert len(read_log(log).entries) == 4
    append(log, {"event": "model"}, NOW)
    assert [entry["event"] for entry in read_log(log).entries] == ["release"] * 4 + ["model"]

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", stop)  # between the line and the head
    with pytest.raises(KeyboardInterrupt):
        append(log, {"event": "release"}, NOW)
    monkeypatch.undo()
    assert (len(read_log(log).entries), read_log(log).unconfirmed) == (6, 1)
    append(log, {"event": "release"}, NOW)
    assert (len(read_log(log).entries), read_log(log).unconfirmed) == (7, 0)
