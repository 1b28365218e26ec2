"""The archive of a store: the same bytes whoever makes it and when, and nothing but the store in it."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
from pathlib import Path

import pytest

from fesf.scripts.data.archive import write_archive
from tests.scripts.data.made_store import made


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return made(tmp_path)[0]


def test_two_archives_are_the_same_bytes(tmp_path: Path, store: Path) -> None:
    digest = write_archive(store, tmp_path / "a.tar")
    copy = shutil.copytree(store, tmp_path / "copy")  # another folder, other times, owner and modes
    for path in copy.rglob("*"):
        path.chmod(0o700)
        os.utime(path, (1, 1))
        os.chown(path, 1000, 1000) if os.geteuid() == 0 else None
    assert write_archive(copy, tmp_path / "b.tar") == digest
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    assert hashlib.sha256((tmp_path / "a.tar").read_bytes()).hexdigest() == digest


def test_members_are_sorted_and_say_nothing_of_their_maker(tmp_path: Path, store: Path) -> None:
    (store / "Schmidt.txt").write_text("not listed")
    write_archive(store, tmp_path / "a.tar", signature=b"s" * 64)
    with tarfile.open(tmp_path / "a.tar") as archive:
        members = archive.getmembers()
        names = [member.name for member in members]
        images = sorted(f"store/images/{path.name}" for path in (store / "images").iterdir())
        documents = ["store/manifest.json", "store/manifest.sig"]
        assert names == ["store", "store/images", "store/dataset.json", *images, *documents]
        for member in members:
            assert (member.uid, member.gid, member.uname, member.gname) == (0, 0, "", "")
            assert member.mtime == 315_532_800
            assert member.mode == (0o755 if member.isdir() else 0o644)
            assert member.isdir() or member.isreg()
        archive.extractall(tmp_path / "out", filter="data")
    for name in (*images, "store/dataset.json", "store/manifest.json"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / name).read_bytes()
    assert (tmp_path / "out" / "store" / "manifest.sig").read_bytes() == b"s" * 64


def test_the_stores_own_signature_is_taken(tmp_path: Path, store: Path) -> None:
    given = write_archive(store, tmp_path / "a.tar", signature=b"s" * 64)
    (store / "manifest.sig").write_bytes(b"s" * 64)
    assert write_archive(store, tmp_path / "b.tar") == given


def test_refused_places(tmp_path: Path, store: Path) -> None:
    with pytest.raises(ValueError, match="The archive lies in the store"):
        write_archive(store, store / "a.tar")
    with pytest.raises(ValueError, match="does not exist: make it first"):
        write_archive(store, tmp_path / "nowhere" / "a.tar")
    (store / "dataset.json").unlink()
    with pytest.raises(FileNotFoundError):
        write_archive(store, tmp_path / "a.tar")
    assert not list(tmp_path.glob("*.tar*")) + list(tmp_path.glob(".*"))
