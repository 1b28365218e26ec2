"""The journal of an unfinished release."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from fesf.scripts.data.journal import Journal, Written


def record(name: str, content: bytes) -> Written:
    return Written(name, sha256(content).hexdigest(), len(content), 0.25, 0.99, 0.01)


def test_what_is_appended_is_read_back_and_half_lines_are_dropped(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl", {"recipe": "r"})
    assert list(journal) == []
    journal.start("host")
    journal.append(record("a", b"1"))
    with open(journal.path, "a") as file:
        file.write('{"id": "b", "sha')
    again = Journal(journal.path, {"recipe": "r"})
    assert list(again) == [record("a", b"1")]
    again.start("host")
    again.append(record("c", b"3"))
    assert [r.id for r in again] == ["a", "c"]
    assert journal.path.stat().st_mode & 0o777 == 0o600


def test_other_settings_are_refused(tmp_path: Path) -> None:
    Journal(tmp_path / "j", {"recipe": "r"}).start("host")
    with pytest.raises(ValueError, match="unfinished run with another recipe: run it again"):
        Journal(tmp_path / "j", {"recipe": "other"})
    with pytest.raises(ValueError, match="unfinished run with another host"):
        Journal(tmp_path / "j", {"recipe": "r"}).start("other")


def test_intact_wants_the_file_and_its_digest(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", {})
    journal.start("host")
    for name in "abc":
        journal.append(record(name, name.encode()))
    (tmp_path / "a.png").write_bytes(b"a")
    (tmp_path / "b.png").write_bytes(b"changed")
    assert journal.intact(tmp_path, ".png") == {"a"}
