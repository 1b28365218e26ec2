"""Every way to alter a store has its code; a sound one has none."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fesf.scripts.data.verify import CODES, Problem, verify_store
from tests.scripts.data.made_store import even_out, identity, made, png, write

NAME = f"images/{identity(0)}.png"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return made(tmp_path)[0]


def test_a_sound_store_has_no_problem(store: Path) -> None:
    assert verify_store(store) == []
    (store / "manifest.sig").write_bytes(bytes(64))
    assert verify_store(even_out(store)) == []


def replace(store: Path, content: bytes) -> None:
    """Another content, vouched for by a new manifest."""
    dataset = json.loads((store / "dataset.json").read_text())
    contents = {f"images/{path.name}": path.read_bytes() for path in (store / "images").iterdir()}
    write(store, contents | {NAME: content}, dataset)


def link(store: Path) -> None:
    (store / NAME).rename(store.parent / "elsewhere")
    (store / NAME).symlink_to(store.parent / "elsewhere")


def swap(store: Path) -> None:
    other = store / f"images/{identity(1)}.png"
    first, second = (store / NAME).read_bytes(), other.read_bytes()
    (store / NAME).write_bytes(second)
    other.write_bytes(first)


TAMPERED: list[tuple[str, Callable[[Path], Any], list[tuple[str, str]]]] = [
    ("altered", lambda s: (s / NAME).write_bytes(png(99)), [("digest-differs", identity(0))]),
    ("longer", lambda s: (s / NAME).write_bytes(png(10) + b"\0"), [("size-differs", identity(0))]),
    ("removed", lambda s: (s / NAME).unlink(), [("missing-file", identity(0))]),
    ("swapped", swap, [("digest-differs", identity(0)), ("digest-differs", identity(1))]),
    # "Schmidt" sorts before the hex digits' letters, and after their figures: its place is a number.
    ("added", lambda s: (s / "images" / "~Schmidt.png").write_bytes(b""), [("extra-file", "images:13")]),
    ("added beside", lambda s: (s / "Schmidt.txt").write_bytes(b""), [("extra-file", "store:1")]),
    ("added folder", lambda s: (s / "images" / "~Schmidt").mkdir(), [("extra-file", "images:13")]),
    ("link", link, [("not-a-file", identity(0))]),
    ("metadata", lambda s: replace(s, png(10, end=b"Schmidt")), [("metadata", identity(0))]),
    ("size", lambda s: replace(s, png(10, (6, 8))), [("other-encoding", identity(0))]),
    ("no image", lambda s: replace(s, b"Schmidt"), [("not-an-image", identity(0))]),
    ("twice", lambda s: replace(s, png(11)), [("duplicate", identity(1))]),
]


@pytest.mark.parametrize(("tamper", "expected"), [t[1:] for t in TAMPERED], ids=[t[0] for t in TAMPERED])
def test_an_altered_store(store: Path, tamper: Callable[[Path], Any], expected: list[tuple[str, str]]) -> None:
    tamper(store)
    problems = verify_store(even_out(store))
    assert sorted(problems) == sorted(Problem(*each) for each in expected)
    assert "Schmidt" not in repr(problems)


def test_unequal_times(store: Path) -> None:
    os.utime(store / NAME, (1, 1))
    assert verify_store(store) == [Problem("unequal-times", "-")]


@pytest.mark.parametrize(
    ("change", "code", "shown"),
    [
        (lambda d: d.update(source="/data/Schmidt"), "unknown-key", "dataset.json"),
        (lambda d: d["test"][0].update(path="Schmidt"), "unknown-key", "dataset.json"),
        (lambda d: d["training"].append(d["training"].pop(0)), "not-sorted", "training"),
        (lambda d: d["training"][0].update(label=2), "bad-label", None),
        (lambda d: d["training"][0].update(label=True), "bad-label", None),
        (lambda d: d["training"][0].update(patient="Schmidt"), "bad-patient", None),
        (lambda d: d["training"].pop(0), "not-in-dataset", None),
        (lambda d: d["training"].insert(0, d["training"][0]), "listed-twice", None),
        (lambda d: d["training"][0].update(image="../../Schmidt.png"), "not-in-manifest", "-"),
        (lambda d: d.update(class_names="no"), "malformed-dataset", "dataset.json"),
        (lambda d: d.update(test=[3]), "malformed-dataset", "dataset.json"),
    ],
)
def test_a_document_that_does_not_fit(store: Path, change: Callable[[Any], Any], code: str, shown: str | None) -> None:
    dataset = json.loads((store / "dataset.json").read_text())
    first = dataset["training"][0]["image"][7:39]
    change(dataset)
    contents = {f"images/{path.name}": path.read_bytes() for path in (store / "images").iterdir()}
    write(store, contents, dataset)
    problems = verify_store(store)
    assert Problem(code, first if shown is None else shown) in problems
    assert "Schmidt" not in repr(problems)


def test_a_disclosed_patient_in_two_sections(store: Path) -> None:
    dataset = json.loads((store / "dataset.json").read_text())
    dataset["training"][0]["patient"] = dataset["test"][0]["patient"] = "a" * 32
    contents = {f"images/{path.name}": path.read_bytes() for path in (store / "images").iterdir()}
    write(store, contents, dataset)
    assert verify_store(store) == [Problem("patient-in-two-splits", dataset["test"][0]["image"][7:39])]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"format": "other"}, ("format-version", "manifest.json")),
        ({"version": 2}, ("format-version", "manifest.json")),
        ({"files": []}, ("malformed-manifest", "manifest.json")),
        ({"files": {"images/Schmidt.png": {"size": 1}}}, ("malformed-manifest", "manifest.json")),
        ({"encoding": {"type": "gif", "bits": 8}}, ("malformed-manifest", "manifest.json")),
        ({"spatial_size": [8, 6, 4]}, ("malformed-manifest", "manifest.json")),
        ({"spatial_size": 7}, ("malformed-manifest", "manifest.json")),
        ({"spatial_size": ["a", "b"]}, ("malformed-manifest", "manifest.json")),
        (
            {"encoding": {"type": "nifti", "bits": 8}, "spatial_size": [8, 6, 10**30]},
            ("malformed-manifest", "manifest.json"),
        ),
        ({"encoding": {"type": {}, "bits": 8}}, ("malformed-manifest", "manifest.json")),
        ({"date": "2026"}, ("unknown-key", "manifest.json")),
    ],
)
def test_a_manifest_that_is_not_ours(store: Path, change: dict[str, Any], problem: tuple[str, str]) -> None:
    manifest = json.loads((store / "manifest.json").read_text())
    (store / "manifest.json").write_text(json.dumps(manifest | change))
    problems = verify_store(even_out(store))
    assert Problem(*problem) in problems
    assert "Schmidt" not in repr(problems)


def test_an_id_that_is_not_keyed(store: Path) -> None:
    shutil.copy(store / NAME, store / "images" / "Schmidt.png")
    manifest = json.loads((store / "manifest.json").read_text())
    entry = manifest["files"].pop(NAME)
    manifest["files"] |= {"images/Schmidt.png": entry, "../../etc/passwd": entry}
    (store / "manifest.json").write_text(json.dumps(manifest))
    problems = verify_store(even_out(store))
    assert [problem for problem in problems if problem.code == "malformed-id"] == [
        Problem("malformed-id", "files:13"),
        Problem("malformed-id", "files:14"),
    ]
    assert "Schmidt" not in repr(problems)
    assert "passwd" not in repr(problems)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"[" * 100_000, b"\xff"])
def test_no_manifest_at_all(store: Path, content: bytes) -> None:
    (store / "manifest.json").write_bytes(content)
    assert verify_store(store)[0].code in ("malformed-manifest", "format-version")
    (store / "manifest.json").unlink()
    assert verify_store(store) == [Problem("no-manifest", "-")]


def test_every_code_is_explained() -> None:
    sources = Path(__file__).parents[3] / "scripts"
    text = "".join(
        (sources / name).read_text()
        for name in ("data/verify.py", "data/verify_hospital.py", "data/file_metadata.py", "verify_store.py")
    )
    for code in CODES:
        assert text.count(f'"{code}"') >= 2, code
