"""A folder through make_cohort: each file is a row or set aside, and what is printed names nobody."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fesf.scripts.data.files import to_csv, write_atomic
from fesf.scripts.soak import folder as module
from fesf.scripts.soak.folder import feed_folder
from fesf.scripts.soak.sources import MARKER, collect
from fesf.scripts.soak.targets import Outcome

OPTIONS = {"names": [f"A/{MARKER}0", f"{MARKER}1", f"{MARKER}2"], "rows": "image", "patient_from_folder": True}
SOUND = ("pydicom/CT_small.dcm", "made/L.png", "pydicom/dicomdirtests/DICOMDIR")


def feed(place: Path, **options: Any) -> Outcome:
    sources = collect()
    contents = [sources[name].content for name in SOUND]
    return feed_folder(place, contents, ["", ".png", ""], OPTIONS | options, 60.0, 2**30)


def test_real_files_end_as_rows_or_aside(tmp_path: Path) -> None:
    for rows, last in (("image", "accepted"), ("volume", "not-a-volume")):
        outcome = feed(tmp_path / "a", rows=rows)
        assert outcome.fault == ""
        assert sorted(code for _, code in outcome.codes) == sorted(["bad-dicomdir", "no-patient", last])
        assert not (tmp_path / "a").exists()


def answering(status: int, said: str = "", aside: list[tuple[str, str]] | None = None) -> Callable[..., int]:
    """A make_cohort that writes this quarantine and no row."""

    def main(arguments: list[str]) -> int:
        rows = [{"file": file, "frame": "", "reason": reason} for file, reason in aside or []]
        write_atomic(Path(arguments[2]).parent / "quarantine.csv", to_csv(("file", "frame", "reason"), rows))
        print(said)
        return status

    return main


ALL = [(f"A/{MARKER}0", "empty"), (f"{MARKER}1.png", "empty"), (f"{MARKER}2", "empty")]


@pytest.mark.parametrize(
    ("main", "fault"),
    [
        (answering(2, aside=ALL), ""),
        (answering(2, aside=ALL[:2]), ""),  # a DICOMDIR that is fine is neither
        (answering(2, aside=ALL[:1]), "folder: 1 files were lost"),
        (answering(2, aside=[*ALL[:2], (f"{MARKER}2", "odd")]), "folder: a reason that is none of the codes"),
        (answering(1, aside=ALL), "folder: status 1"),
        (answering(2, f"of {MARKER.lower()}", ALL), "folder: a marker, a path or a traceback was printed"),
        (answering(2, "Traceback (most recent call last)", ALL), "folder: a marker, a path or a traceback was printed"),
        (lambda *_: 1 / 0, "folder: unhandled ZeroDivisionError"),
    ],
)
def test_faults_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, main: Any, fault: str) -> None:
    monkeypatch.setattr(module, "main", main)
    assert feed(tmp_path / "a").fault == fault
