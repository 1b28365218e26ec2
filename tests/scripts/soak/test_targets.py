"""What counts as a fault: each kind is put in, and seen."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from fesf.scripts.data.cohort import CohortError, LoadImageCohortd
from fesf.scripts.data.inspection import Finding
from fesf.scripts.data.verify import Problem
from fesf.scripts.soak import targets as module
from fesf.scripts.soak.sources import COHORT_IMAGES, MARKER, collect, made_store, picture
from fesf.scripts.soak.targets import Outcome, fault_of, run_case

OPTIONS = {"size": [12, 10], "rule": None, "spacing": None, "frame": None, "sealed": True}
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="measures memory on Linux alone")
pytestmark = linux


@pytest.fixture(scope="module")
def sources() -> dict[str, Any]:
    return collect()


@pytest.fixture
def feed(tmp_path: Path, sources: dict[str, Any]) -> Callable[..., Outcome]:
    for name in COHORT_IMAGES:
        (tmp_path / name).write_bytes(picture(len(name)))

    def run(source: str, kind: str, content: bytes | None = None, **options: Any) -> Outcome:
        name = MARKER + sources[source].suffix
        (tmp_path / name).write_bytes(sources[source].content if content is None else content)
        return run_case(kind, str(tmp_path), name, OPTIONS | options, str(tmp_path / "stage"))

    return run


def test_sound_files_are_accepted(feed: Callable[..., Outcome], tmp_path: Path) -> None:
    for name, kind in (("pydicom/CT_small.dcm", "dicom"), ("made/2d.nii", "nifti"), ("made/L.png", "png")):
        outcome = feed(name, kind)
        assert (outcome.codes, outcome.fault) == ((("make_cohort", "accepted"), ("hide", "accepted")), ""), name
        assert 0 < outcome.seconds < 60
        assert outcome.mebibytes < 1000
    assert (tmp_path / "stage").read_text() == "hide"
    assert feed("made/cohort.csv", "cohort").codes == (
        ("labels", "Row # of the labels has no series: fill it in or delete the row."),
        ("cohort", "accepted"),
        ("rows", "accepted"),
    )


def test_refused_files_have_a_reason_and_a_sentence(feed: Callable[..., Outcome]) -> None:
    outcome = feed("made/3d.nii.gz", "nifti")
    assert outcome == Outcome(
        (
            ("make_cohort", "accepted"),
            ("hide", "its image has # axes, image_size [# #] has # Give image_size as many lengths, or name a frame."),
        ),
        "",
        outcome.seconds,
        outcome.mebibytes,
    )
    outcome = feed("made/L.png", "png", b"\x89PNG\r\n\x1a\n")
    assert outcome.codes[0] == ("make_cohort", "truncated")
    assert outcome.codes[1][1].startswith("its image cannot be read (UnidentifiedImageError)")
    assert not outcome.fault
    assert feed("made/short.csv", "cohort", b"\xff").codes[1][1].startswith("The cohort cannot be read (UnicodeDec")
    assert feed("pydicom/dicomdirtests/DICOMDIR", "dicom").codes[0][0] == "make_cohort"


@pytest.mark.parametrize("encoding", ["png", "nifti"])
def test_a_store_is_opened_as_training_opens_it(tmp_path: Path, encoding: str) -> None:
    store = tmp_path / "store"
    for name, content in made_store(encoding).items():
        (store / name).parent.mkdir(parents=True, exist_ok=True)
        (store / name).write_bytes(content)
    for path in [*store.rglob("*"), store]:
        os.utime(path, (0, 0))
    outcome = run_case("manifest", str(store), "manifest.json", OPTIONS, str(tmp_path / "stage"))
    assert (outcome.codes, outcome.fault) == ((("verify_store", "accepted"), ("training", "accepted")), "")
    (store / "dataset.json").write_text("{}")
    outcome = run_case("dataset", str(store), "dataset.json", OPTIONS, str(tmp_path / "stage"))
    assert outcome.codes == (
        ("verify_store", "size-differs+unequal-times"),
        ("training", "'dataset.json' differs from its digest in the manifest: it was changed after publication."),
    )


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("Row 7 of the cohort: its image cannot be read (OSError).", ""),
        ("of one patient, qzxvirn.", "a marker"),
        ("cannot open /srv/place/a.png.", "a path"),
        ("x" * 601 + ".", "endless"),
        ("a\nb.", "control characters"),
        ("\x1b[2J.", "control characters"),
        ("an error", "no sentence"),
        ("", "no sentence"),
    ],
)
def test_faults_of_a_text(text: str, fault: str) -> None:
    found = fault_of(text, Path("/srv/place"))
    assert fault in found
    assert bool(found) == bool(fault)


def raising(error: BaseException) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> Any:
        raise error

    return fail


def answering(value: Any) -> Callable[..., Any]:
    return lambda *_, **__: value


@pytest.mark.parametrize(
    ("name", "change", "fault"),
    [
        ("inspect", raising(KeyError("x")), r"make_cohort: unhandled KeyError at .*test_targets:\d+"),
        ("inspect", answering(Finding("odd")), "make_cohort: 'odd' is no reason code"),
        ("inspect", answering(Finding("", "png")), "make_cohort: accepted without a digest"),
        ("LoadImageCohortd", raising(RecursionError()), "hide: unhandled RecursionError at"),
        ("LoadImageCohortd", raising(MemoryError()), "hide: MemoryError"),
        ("LoadImageCohortd", answering(raising(CohortError(f"of {MARKER}."))), "hide: the text holds a marker"),
    ],
)
def test_faults_of_readers_are_seen(
    feed: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, name: str, change: Any, fault: str
) -> None:
    monkeypatch.setattr(module, name, change)
    assert re.match(fault, feed("made/L.png", "png").fault)


@pytest.mark.parametrize(
    ("image", "fault"),
    [
        (torch.zeros(1, 3, 3), "an image of shape"),
        (torch.zeros(1, 12, 10, dtype=torch.float64), "float64"),
        (torch.full((1, 12, 10), 2.0), "outside"),
        (torch.full((1, 12, 10), torch.nan), "outside"),
    ],
)
def test_faults_of_images_are_seen(
    feed: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, image: torch.Tensor, fault: str
) -> None:
    monkeypatch.setattr(LoadImageCohortd, "__call__", answering({"image": MetaTensor(image)}))
    assert fault in feed("made/L.png", "png").fault


def test_what_is_printed_is_searched(feed: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    for encoding in ("utf-8", "utf-16-le"):
        monkeypatch.setattr(module, "_image", lambda *_, code=encoding: os.write(2, f"of {MARKER}".encode(code)))
        monkeypatch.setitem(module.TARGETS, "png", module._image)
        assert feed("made/L.png", "png").fault.endswith("a marker was printed")
    monkeypatch.setitem(module.TARGETS, "png", lambda *_: os.write(1, b"of nobody"))
    assert feed("made/L.png", "png").fault == ""


def test_memory_that_ends_the_process_is_passed_on(
    feed: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "inspect", raising(MemoryError()))
    with pytest.raises(MemoryError):
        feed("made/L.png", "png")


def test_memory_is_the_highest_not_the_last(feed: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(module.TARGETS, "png", lambda *_: np.ones(300 * 2**20, np.uint8).sum())
    assert 290 < feed("made/L.png", "png").mebibytes < 400
    monkeypatch.setitem(module.TARGETS, "png", lambda *_: None)
    assert feed("made/L.png", "png").mebibytes < 20


def test_faults_of_tables_and_stores_are_seen(
    feed: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for change, fault in (
        (raising(ValueError("of nobody")), "cohort: unhandled ValueError"),
        (answering(module.read_cohort), "cohort: unhandled AttributeError"),
    ):
        monkeypatch.setattr(module, "read_cohort", change)
        assert feed("made/cohort.csv", "cohort").fault.startswith(fault)
    monkeypatch.undo()
    monkeypatch.setattr(module, "assign_splits", answering({}))
    assert feed("made/cohort.csv", "cohort").fault == "cohort: patients without a split"
    monkeypatch.undo()
    monkeypatch.setattr(module.CohortDataset, "__getitem__", lambda *_: {"error": f"{MARKER}."})
    assert feed("made/cohort.csv", "cohort").fault == "rows: the text holds a marker"
    for name, content in made_store("png").items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    for name, change, fault in (
        ("verify_store", answering([Problem("odd", "-")]), "verify_store: a problem that is none of the codes"),
        ("verify_store", answering([Problem("duplicate", "a/b c")]), "verify_store: a problem that is none"),
        ("verify_store", answering([Problem("duplicate", MARKER)]), "verify_store: the text holds a marker"),
        ("load_datalist", raising(ValueError("of nobody")), "training: unhandled ValueError"),
        ("load_datalist", raising(TypeError("of nobody")), "training: unhandled TypeError"),
    ):
        monkeypatch.setattr(module, name, change)
        assert run_case("manifest", str(tmp_path), "manifest.json", OPTIONS, str(tmp_path / "s")).fault.startswith(
            fault
        )
        monkeypatch.undo()
