"""Originals are sealed, whole or absent, bounded, and gone when removed."""

from __future__ import annotations

from pathlib import Path

import pytest

from fesf.scripts.engines.sealed import Seal, SealError
from fesf.scripts.gateway.spool import FullError, Spool

SECRET = b"s" * 32


def spool(folder: Path, quota: int = 10_000, secret: bytes = SECRET) -> Spool:
    return Spool(folder / "originals", Seal(secret, "gateway r1"), quota)


def test_an_original_comes_back_and_is_not_in_the_clear(tmp_path: Path) -> None:
    one = spool(tmp_path)
    one.put("a" * 32, b"Schmidt^Anna" * 10)
    (path,) = (tmp_path / "originals").iterdir()
    assert b"Schmidt" not in path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    assert spool(tmp_path).get("a" * 32) == b"Schmidt^Anna" * 10
    assert "a" * 32 in spool(tmp_path)
    with pytest.raises(SealError):
        spool(tmp_path, secret=b"t" * 32).get("a" * 32)
    path.rename(path.with_name("b" * 32 + ".sealed"))
    with pytest.raises(SealError):  # sealed for another place
        spool(tmp_path).get("b" * 32)


def test_the_quota_counts_what_lies_there(tmp_path: Path) -> None:
    one = spool(tmp_path, quota=1000)
    one.put("a", bytes(400))
    with pytest.raises(FullError):
        spool(tmp_path, quota=1000).put("b", bytes(600))
    one.remove("a")
    one.remove("a")
    assert one.size == 0
    one.put("b", bytes(600))
    assert spool(tmp_path).size == one.size > 600


def test_a_disk_that_takes_nothing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = spool(tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fesf.scripts.gateway.spool.write_atomic", full)
    with pytest.raises(OSError, match="No space"):
        one.put("a", b"x")
    assert one.size == 0


def test_strays_and_half_written_files_go(tmp_path: Path) -> None:
    one = spool(tmp_path)
    one.put("a", b"x")
    one.put("b", b"x")
    (tmp_path / "originals" / ".c.sealed.new").write_bytes(b"half")
    again = spool(tmp_path)
    assert again.keep_only({"a"}) == 1
    assert [path.name for path in (tmp_path / "originals").iterdir()] == ["a.sealed"]
