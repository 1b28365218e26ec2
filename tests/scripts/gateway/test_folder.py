"""The watched folder: whole files alone, no links, nothing deleted that was not taken."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fesf.scripts.gateway.folder import FolderWatch
from fesf.scripts.gateway.intake import NO_ROOM, REFUSED, TAKEN


class Taker:
    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.status = TAKEN

    def __call__(self, content: bytes) -> int:
        self.got.append(content)
        return self.status


@pytest.fixture
def taker() -> Taker:
    return Taker()


@pytest.fixture
def watch(tmp_path: Path, taker: Taker) -> FolderWatch:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    return FolderWatch(tmp_path / "in", taker, 2.0, 1000)


def test_a_file_is_taken_once_it_has_settled(watch: FolderWatch, taker: Taker, tmp_path: Path) -> None:
    path = tmp_path / "in" / "deep" / "a.dcm"
    path.write_bytes(b"ha")
    assert watch.look(10.0) == 0
    path.write_bytes(b"half")
    assert watch.look(12.0) == 0  # it changed
    assert watch.look(13.9) == 0
    assert taker.got == []
    assert watch.look(14.0) == 1
    assert taker.got == [b"half"]
    assert not path.exists()
    assert watch.look(20.0) == 0


@pytest.mark.parametrize("name", [".hidden", "a.part", "a.TMP", "a.filepart", ".folder/a.dcm"])
def test_what_is_still_written_is_left(watch: FolderWatch, taker: Taker, tmp_path: Path, name: str) -> None:
    path = tmp_path / "in" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x")
    watch.look(0.0)
    assert watch.look(100.0) == 0
    path.rename(tmp_path / "in" / "whole.dcm")
    watch.look(200.0)
    assert watch.look(300.0) == 1


def test_links_pipes_and_files_with_two_names_are_left(watch: FolderWatch, taker: Taker, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "b.dcm").write_bytes(b"outside")
    (tmp_path / "in" / "link.dcm").symlink_to(secret)
    (tmp_path / "in" / "folder").symlink_to(tmp_path / "outside")
    os.link(secret, tmp_path / "in" / "hard.dcm")
    os.mkfifo(tmp_path / "in" / "pipe")
    for now in (0.0, 10.0, 20.0):
        assert watch.look(now) == 0
    assert taker.got == []
    assert secret.exists()


def test_a_file_that_becomes_a_link_is_not_read(
    watch: FolderWatch, taker: Taker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Swapped between the look and the reading."""
    secret, path = tmp_path / "secret", tmp_path / "in" / "a.dcm"
    secret.write_bytes(b"secret")
    path.write_bytes(b"x")
    watch.look(0.0)
    read = watch._read

    def swap(name: str, folder: int, mark: object) -> bytes | None:
        path.unlink()
        path.symlink_to(secret)
        return read(name, folder, mark)  # type: ignore[arg-type]

    monkeypatch.setattr(watch, "_read", swap)
    assert watch.look(10.0) == 0
    assert taker.got == []
    assert secret.read_bytes() == b"secret"


def test_a_file_that_changes_while_it_is_read_waits(watch: FolderWatch, taker: Taker, tmp_path: Path) -> None:
    path = tmp_path / "in" / "a.dcm"
    path.write_bytes(b"x")
    watch.look(0.0)
    old = os.stat(path)
    path.write_bytes(b"y")
    os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))  # same size, same time of change: the inode's time tells
    assert watch.look(10.0) == 0
    assert watch.look(12.0) == 1


def test_a_file_that_grows_between_the_look_and_the_reading_waits(
    watch: FolderWatch, taker: Taker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "in" / "a.dcm"
    path.write_bytes(b"x")
    watch.look(0.0)
    read = watch._read

    def grow(name: str, folder: int, mark: object) -> bytes | None:
        path.write_bytes(b"more")
        return read(name, folder, mark)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(watch, "_read", grow)
        assert watch.look(10.0) == 0
    assert taker.got == []
    assert watch.look(11.0) == 0
    assert watch.look(13.0) == 1
    assert taker.got == [b"more"]


def test_a_refused_file_stays_and_is_not_tried_again_unless_it_changes(
    watch: FolderWatch, taker: Taker, tmp_path: Path
) -> None:
    path, taker.status = tmp_path / "in" / "a.dcm", REFUSED
    path.write_bytes(b"x")
    for now in (0.0, 10.0, 20.0, 30.0):
        watch.look(now)
    assert taker.got == [b"x"]
    assert path.exists()
    path.write_bytes(b"better")
    taker.status = TAKEN
    watch.look(40.0)
    assert watch.look(50.0) == 1


def test_where_there_is_no_room_it_is_tried_again(watch: FolderWatch, taker: Taker, tmp_path: Path) -> None:
    path, taker.status = tmp_path / "in" / "a.dcm", NO_ROOM
    path.write_bytes(b"x")
    watch.look(0.0)
    assert watch.look(10.0) == 0
    assert path.exists()
    taker.status = TAKEN
    assert watch.look(11.0) == 1


def test_no_more_is_read_than_the_limit_and_one(watch: FolderWatch, taker: Taker, tmp_path: Path) -> None:
    (tmp_path / "in" / "a.dcm").write_bytes(bytes(5000))
    watch.look(0.0)
    watch.look(10.0)
    assert [len(content) for content in taker.got] == [1001]


def test_a_file_that_comes_under_a_taken_ones_name_is_not_deleted(tmp_path: Path) -> None:
    folder, got = tmp_path / "in", []
    folder.mkdir()

    def take(content: bytes) -> int:
        got.append(content)
        if content == b"first":
            (tmp_path / "next").write_bytes(b"second")
            (tmp_path / "next").replace(folder / "a.dcm")
        return TAKEN

    watch = FolderWatch(folder, take, 0.0, 1000)
    (folder / "a.dcm").write_bytes(b"first")
    assert watch.look(0.0) == 1
    assert watch.look(1.0) == 1
    assert got == [b"first", b"second"]
    assert not list(folder.iterdir())


def test_what_was_refused_is_forgotten_with_its_file(watch: FolderWatch, taker: Taker, tmp_path: Path) -> None:
    path, taker.status = tmp_path / "in" / "a.dcm", REFUSED
    path.write_bytes(b"x")
    watch.look(0.0)
    watch.look(3.0)
    assert len(taker.got) == len(watch._refused) == 1
    path.unlink()
    watch.look(4.0)
    assert watch._refused == {}
