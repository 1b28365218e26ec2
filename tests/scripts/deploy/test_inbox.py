"""The node's folder: what is taken, in which batches it is classified, and what a killed node finds again."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from fesf.scripts.data import files
from fesf.scripts.deploy import inbox as module
from fesf.scripts.deploy.inbox import CANNOT_UNDERSTAND, NO_ROOM, NOT_MATCHING, TAKEN, Inbox
from tests.scripts.deploy.conftest import SHAPE, identity, surrogate


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    return Inbox(tmp_path / "node", SHAPE, 10**6)


def names(inbox: Inbox, folder: str) -> list[str]:
    return sorted(path.name for path in (inbox.folder / folder).iterdir())


def answer(source: Path, out: Path) -> None:
    """What the app leaves, in short: an object a surrogate, and the table."""
    (out / "objects").mkdir(parents=True)
    for path in source.iterdir():
        (out / "objects" / path.name).write_bytes(b"answer to " + path.stem.encode())
    (out / "predictions.csv").touch()


def age(inbox: Inbox, number: int, seconds: int) -> None:
    """Say that a surrogate arrived so many seconds after 1970."""
    os.utime(inbox.folder / "surrogates" / f"{identity(number)}.dcm", (seconds, seconds))


def test_a_surrogate_is_on_the_disk_before_it_is_acknowledged(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[int] = []
    monkeypatch.setattr(files.os, "fsync", flushed.append)
    assert inbox.take(surrogate(0)) == TAKEN
    assert len(flushed) == 2  # the file and its folder
    path = inbox.folder / "surrogates" / f"{identity(0)}.dcm"
    assert path.read_bytes() == surrogate(0)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(inbox.folder.stat().st_mode) == 0o700


def test_what_is_not_taken(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    assert inbox.take(b"SCHMIDT" * 100) == CANNOT_UNDERSTAND
    assert inbox.take(surrogate(0).replace(b"SYN ", b"DRW ")) == CANNOT_UNDERSTAND
    assert inbox.take(surrogate(0, SHAPE[::-1])) == NOT_MATCHING
    inbox.quota = 2 * len(surrogate(0))
    assert [inbox.take(surrogate(number)) for number in range(3)] == [TAKEN, TAKEN, NO_ROOM]
    inbox.quota = 10**6

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_atomic", full)
    assert inbox.take(surrogate(3)) == NO_ROOM
    assert names(inbox, "surrogates") == sorted(f"{identity(number)}.dcm" for number in range(2))
    counted = {"refused: no surrogate": 2, "refused: other size": 1, "refused: no room": 2, "taken": 2}
    assert inbox.counts == counted


def test_the_longest_waiting_are_classified_first(inbox: Inbox) -> None:
    assert inbox.newest() is None
    for number in range(4):
        inbox.take(surrogate(number))
        age(inbox, number, 1000 - number)
    assert (inbox.waiting(), inbox.newest()) == (4, 1000.0)
    source, out = inbox.begin(2)
    assert sorted(path.name for path in source.iterdir()) == sorted(f"{identity(number)}.dcm" for number in (2, 3))
    assert not out.exists()
    answer(source, out)
    assert inbox.complete() == 2
    assert inbox.waiting() == 2
    assert names(inbox, "answers") == sorted(f"{identity(number)}.dcm" for number in (2, 3))
    assert not (inbox.folder / "batch").exists()


def test_a_surrogate_that_is_sent_anew_meanwhile_is_classified_again(inbox: Inbox) -> None:
    inbox.take(surrogate(0))
    inbox.take(surrogate(1))
    source, out = inbox.begin(9)
    inbox.take(surrogate(1))
    answer(source, out)
    inbox.complete()
    assert names(inbox, "surrogates") == [f"{identity(1)}.dcm"]
    assert len(inbox.answers()) == 2


@pytest.mark.parametrize("when", ["in the batch", "among the answers", "while taking"])
def test_a_killed_node_finds_all_again(when: str, inbox: Inbox) -> None:
    for number in range(3):
        inbox.take(surrogate(number))
    source, out = inbox.begin(9)
    answer(source, out)
    if when == "among the answers":
        first = sorted((out / "objects").iterdir())[0]
        first.rename(inbox.folder / "answers" / first.name)
    if when == "while taking":
        (inbox.folder / "surrogates" / f".{identity(7)}.dcm.new").write_bytes(b"half")
    again = Inbox(inbox.folder, SHAPE, 10**6)
    assert again.waiting() == 3
    assert not (again.folder / "batch").exists()
    answer(*again.begin(9))
    assert again.complete() == 3
    assert again.waiting() == 0
    assert [path.name for path in again.answers()] == sorted(f"{identity(number)}.dcm" for number in range(3))
    assert names(again, "surrogates") == []


def test_answers_leave_when_the_hospital_has_spoken(inbox: Inbox) -> None:
    for number in range(2):
        inbox.take(surrogate(number))
    answer(*inbox.begin(9))
    inbox.complete()
    one, two = inbox.answers()
    inbox.answered(one)
    inbox.refused(two)
    assert inbox.answers() == []
    assert names(inbox, "refused") == [two.name]
    assert inbox.counts == {"taken": 2, "classified": 2, "answered": 1, "answers refused": 1}


def test_a_folder_that_others_can_enter_is_refused(tmp_path: Path) -> None:
    (tmp_path / "node").mkdir(mode=0o755)
    with pytest.raises(ValueError, match="chmod 700"):
        Inbox(tmp_path / "node", SHAPE, 10**6)


def test_several_threads_do_not_pass_the_quota(inbox: Inbox) -> None:
    inbox.quota = 3 * len(surrogate(0))
    threads = [threading.Thread(target=inbox.take, args=(surrogate(number),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert inbox.waiting() == 3
