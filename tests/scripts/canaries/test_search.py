"""The search against Python's own ``in``, at every alignment, across pieces, and inside containers."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from fesf.scripts.canaries import search as canary_search
from fesf.scripts.canaries.search import Hit, Needles
from fesf.scripts.canaries.verdict import containers

TEXT = b"QZABCDEFGHJK"


def needles(*contents: bytes, short: bool = False) -> Needles:
    return Needles([(content, "form", f"needle {number}", short) for number, content in enumerate(contents)])


@pytest.mark.parametrize("offset", range(20))
def test_any_offset(offset: int) -> None:
    assert needles(TEXT).scan(b"." * offset + TEXT + b"..", "here") == [Hit("here", "form", "needle 0")]


def test_the_ends_of_a_content() -> None:
    search = needles(TEXT)
    assert len(search.scan(TEXT)) == 1
    assert search.scan(TEXT[:-1]) == []
    assert search.scan(TEXT[1:]) == []
    assert search.scan(b"") == []
    assert search.scan(b"short") == []


def test_many_needles_as_python_finds_them() -> None:
    rng = np.random.default_rng(0)
    contents = [bytes(rng.integers(97, 100, rng.integers(8, 11), dtype=np.uint8)) for _ in range(400)]
    contents = sorted(set(contents))
    document = bytes(rng.integers(97, 100, 20_000, dtype=np.uint8))
    search = needles(*contents)
    found: set[str] = set()
    for start in range(0, len(document), 50):  # a content gives no more than 50 hits
        found |= {hit.what for hit in search.scan(document[start : start + 60])}
    assert found == {f"needle {n}" for n, content in enumerate(contents) if content in document}
    assert 20 < len(found) < len(contents)


@pytest.mark.parametrize("offset", range(56, 80))
def test_across_the_pieces(monkeypatch: pytest.MonkeyPatch, offset: int) -> None:
    monkeypatch.setattr(canary_search, "CHUNK", 64)
    assert len(needles(TEXT).scan(b"." * offset + TEXT + b"." * 100)) == 1


def test_hits_are_limited() -> None:
    assert len(needles(TEXT).scan(TEXT * 1000)) == canary_search.MOST_HITS


def test_a_short_needle_is_refused() -> None:
    with pytest.raises(ValueError, match="A needle of 7 bytes is too short: 8 are needed"):
        needles(b"1234567")


@pytest.mark.parametrize(
    ("document", "found"),
    [
        (b"born 15810203", 1),
        (b"IMG_15810203.dcm", 1),
        (b"15810203112233", 1),
        (b"0.15810203", 0),
        (b"915810203", 0),
        (b"3fa85f6415810203b3fc2c96", 0),
    ],
)
def test_a_short_number_within_another_is_none(document: bytes, found: int) -> None:
    assert len(needles(b"15810203", short=True).scan(document)) == found
    assert len(needles(b"15810203").scan(document)) == 1


def test_names_of_files_and_folders_are_searched(tmp_path: Path) -> None:
    name = TEXT.decode()
    (tmp_path / "a" / name).mkdir(parents=True)
    (tmp_path / "a" / name / f"x-{name}.bin").write_bytes(b"empty")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    found = needles(TEXT).search(tmp_path, name="store")
    assert [hit.place for hit in found.hits] == [f"name of store/a/{name}", f"name of store/a/{name}/x-{name}.bin"]
    assert (found.files, found.size) == (1, 5)


PICTURE = bytes(range(64, 96))
WORDS = np.arange(1000, 1016, dtype="<u2").tobytes()


@pytest.mark.parametrize("kind", containers(TEXT, PICTURE, WORDS))
def test_inside_every_kind_of_container(tmp_path: Path, kind: str) -> None:
    content = containers(TEXT, PICTURE, WORDS)[kind]
    planted = [TEXT, PICTURE, WORDS]
    if "checkpoint" not in kind:  # which PyTorch stores uncompressed
        assert not any(needle in content for needle in planted)
    (tmp_path / "file").write_bytes(content)
    found = needles(*planted).search(tmp_path / "file")
    assert found.hits
    assert found.files == 1
    assert found.inside > 0


def test_what_breaks_off_is_counted_and_searched_as_far_as_it_goes(tmp_path: Path) -> None:
    made = containers(TEXT, PICTURE, WORDS)
    for name, content in {
        "zip": made["compressed zip"][:-10],
        "png": made["pixels of a PNG"][:40],
        "tar": made["tar of a gzip"][:700],
        "sqlite": made["SQLite"][:100] + b"\xff" * 9000,
        "gzip": made["broken gzip"],
        "both": TEXT + made["compressed zip"],
    }.items():
        (tmp_path / name).write_bytes(content)
    found = needles(TEXT).search(tmp_path)
    assert dict(found.unopened) == {"zip": 1, "picture": 1, "tar": 1, "sqlite": 1, "gzip": 1}
    assert [hit.place.split("/")[1] for hit in found.hits] == ["both", "gzip > gzip", "tar > tar > gzip"]


def test_a_database_in_wal_mode(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "base")
    database.execute("pragma journal_mode=wal")
    database.execute("create table said (what text, number integer)")
    database.execute("insert into said values (?, 1)", ["x" * 5000 + TEXT.decode()])
    database.commit()
    database.execute("pragma wal_checkpoint(truncate)")
    database.close()
    found = needles(TEXT).search(tmp_path / "base")
    assert not found.unopened
    assert any("sqlite" in hit.place for hit in found.hits)
