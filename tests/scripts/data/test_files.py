"""Atomic, private writing."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from fesf.scripts.data.files import file_sha256, make_private_folder, to_csv, to_json, write_atomic


def test_write_replaces_at_once_and_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    write_atomic(path, b"old")
    assert path.stat().st_mode & 0o777 == 0o600
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    monkeypatch.undo()
    write_atomic(path, b"new", 0o644)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"new", 0o644)
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_documents_are_the_same_bytes_for_the_same_value() -> None:
    assert to_json({"b": 1, "a": "é"}) == '{\n "a": "é",\n "b": 1\n}\n'.encode()
    assert to_csv(("a", "b"), [{"a": 1, "b": "x,y"}]) == b'a,b\n1,"x,y"\n'


def test_folder_is_private_or_refused(tmp_path: Path) -> None:
    folder = make_private_folder(tmp_path / "deep" / "hospital")
    assert folder.stat().st_mode & 0o777 == 0o700
    make_private_folder(folder)
    folder.chmod(0o750)
    with pytest.raises(ValueError, match="can be read by other users: chmod 700"):
        make_private_folder(folder)


def test_digest_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "generator.pt"
    path.write_bytes(b"weights")
    assert file_sha256(path) == file_sha256(str(path)) == hashlib.sha256(b"weights").hexdigest()
    assert file_sha256(None) is None
    for missing in (tmp_path / "nowhere.pt", tmp_path):
        with pytest.raises(ValueError, match=r"' is not a file: give the path of one, or null for none\."):
            file_sha256(missing)
