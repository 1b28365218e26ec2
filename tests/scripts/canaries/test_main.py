"""The search for canaries: a small export goes through the stages in the test, the whole one by ``make canaries``."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fesf.scripts.canaries import __main__ as canaries
from fesf.scripts.canaries.search import Found, Hit
from fesf.scripts.data.folders import LINKAGE

FILES = 24


@pytest.fixture(scope="module")
def quick() -> Iterator[tuple[int, Path]]:
    """In a folder of a short name: each zone has its temporary folder below, in which sockets lie."""
    with tempfile.TemporaryDirectory(prefix="c") as place:
        yield run(Path(place))


def run(folder: Path) -> tuple[int, Path]:
    words = ["--files", str(FILES), "--quick", "--quiet", "--work", str(folder / "work"), "--out", str(folder / "out")]
    return canaries.main(words), folder


def test_nothing_leaks(quick: tuple[int, Path]) -> None:
    status, folder = quick
    found = json.loads((folder / "out" / "canaries.json").read_text())
    assert found["found"] == 0, [place["hits"] for place in found["places"].values()]
    assert found["planted"] == {"planted": len(found["forms"]) + 12, "found": len(found["forms"]) + 12, "missed": []}
    assert found["unexpected"] == []
    assert status == 0
    assert found["clean"]


def test_what_was_run_and_searched(quick: tuple[int, Path]) -> None:
    _, folder = quick
    found = json.loads((folder / "out" / "canaries.json").read_text())
    assert found["files"] == FILES + 5
    assert sum(found["transfer_syntaxes"].values()) == FILES
    assert len(found["transfer_syntaxes"]) == 13
    assert min(found["markers"][kind] for kind in ("text", "date", "time", "uid", "script", "file")) > 20
    assert [stage.split(":")[1].split(" (")[0].strip() for stage in found["stages"]] == [
        "make_cohort", "hide", "train", "evaluate", "infer", "hide-quoting",
    ]  # fmt: skip
    assert found["stages"][-1] == "hospital: hide-quoting (quoting): status 1"
    assert all(place["files"] for place in found["places"].values())
    assert found["found_in_the_hospitals_own_tables"] > 10
    page = (folder / "out" / "canaries.md").read_text()
    assert "**Found: 0.**" in page
    assert "**This is a quick run**" in page
    assert f"`python -m fesf.scripts.canaries --files {FILES} --seed 0 --quick`" in page
    held = found["places"]["the analyst's copy of the store"]["files"]
    assert f"| the analyst's copy of the store | {held} |" in page


def test_the_commands_logged_and_failed_with_a_text_that_names_the_row_alone(quick: tuple[int, Path]) -> None:
    _, folder = quick
    said = (folder / "work" / "logs" / "hospital" / "hide-quoting.log").read_text()
    assert "DEBUG" in said
    assert "its image cannot be read (ValueError)" in said
    assert (folder / "work" / "logs" / "analyst" / "train.log").read_text().count("DEBUG") > 10


def test_work_that_is_not_empty_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "kept").touch()
    assert canaries.main(["--work", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "error: --work is not empty: name a new folder.\n"


def test_too_few_files_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert canaries.main(["--files", "20", "--quiet"]) == 2
    assert "20 files: give 21 or more, so that every transfer syntax is among them." in capsys.readouterr().err


class Course:
    """What a run left, made up: a leak in the store, and the three things that the hospital's own may say."""

    def __init__(self, work: Path) -> None:
        self.work, self.root = work, work / "QZPLACE"
        self.out, self.analyst, self.logs = work / "out", work / "analyst", work / "logs"
        self.run = type("Run", (), {"store": self.root / "store"})
        for place in (self.run.store, self.logs / "hospital", self.logs / "analyst", self.root / "zone"):
            place.mkdir(parents=True)
        (self.root / "hospital").mkdir()


class Needles:
    """Finds everything everywhere."""

    def search(self, root: Path, found: Found, name: str = "") -> None:
        assert "QZPLACE" not in name
        found.hits += [Hit(name, "UTF-8", what) for what in (f"place of {canaries.PLACE}", "text of file 1")]
        found.hits.append(Hit(name, "UTF-8", f"host of {canaries.USER}"))


def test_only_the_hospital_may_say_where_it_is(tmp_path: Path) -> None:
    course: Any = Course(tmp_path)
    found = canaries.search_all(course, Needles())  # type: ignore[arg-type]
    hits = {name: {hit.what for hit in place.hits} for name, place in found.items() if place.hits}
    everything = {f"place of {canaries.PLACE}", "text of file 1", f"host of {canaries.USER}"}
    assert hits.pop(canaries.LOGS) == {"text of file 1", f"host of {canaries.USER}"}
    assert hits.pop(canaries.FOLDERS) == {"text of file 1"}
    assert len(hits) == 6 - 1  # no predictions
    assert all(what == everything for what in hits.values())


def test_a_leak_is_reported_and_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = {"bytes": 7, "bytes_in_containers": 1, "hits": [f"{LINKAGE} | UTF-8 | text of file 1"]}
    found = {"markers": {"text": 3}, "arrays": 2, "files": 1, "stages": ["x"], "found": 1, "clean": False}
    found |= {"places": {"store": place}, "unexpected": ["train-nan ended with 0, not with a failure"]}
    found |= {"planted": {"planted": 5, "found": 4, "missed": ["gzip"]}}
    monkeypatch.setattr(canaries, "measure", lambda *_: found)
    assert canaries.main(["--work", str(tmp_path / "new")]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "3 markers and 2 arrays in 1 files, 1 commands, 8 bytes searched: 1 found. Planted: 4 of 5 found.",
        "  store: linkage.csv | UTF-8 | text of file 1",
        "  planted and missed: gzip",
        "  train-nan ended with 0, not with a failure",
    ]
