"""A DICOM store written anew with the officer's decision: pixels and ids stay, and nothing but the decision changes."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pydicom
import pytest

from fesf.scripts.data.declared import decision_of, declare_identity_removed
from fesf.scripts.data.dicom_image import encode_dicom
from fesf.scripts.data.verify import verify_store
from tests.scripts.data.made_store import identity, made, write

DICOM = {"type": "dicom", "bits": 16, "patient_identity_removed": "NO"}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    contents, dataset = {}, {"class_names": ["no", "yes"], "training": []}
    for number in range(3):
        values = np.random.default_rng(number).integers(0, 65535, (8, 6), np.uint16)
        contents[f"images/{identity(number)}.dcm"] = encode_dicom(values, identity(number))
    dataset["training"] = [{"image": name, "label": 0} for name in sorted(contents)]
    return write(tmp_path / "store", contents, dataset, encoding=DICOM)


def test_only_the_decision_changes(tmp_path: Path, store: Path) -> None:
    before = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    assert decision_of(store) == "NO"
    out = declare_identity_removed(store, tmp_path / "new")
    assert {path: path.read_bytes() for path in store.rglob("*") if path.is_file()} == before
    assert decision_of(out) == "YES"
    assert verify_store(store) == verify_store(out) == []
    old, new = (json.loads((folder / "manifest.json").read_text()) for folder in (store, out))
    assert new["encoding"] == DICOM | {"patient_identity_removed": "YES"}
    assert new["commitment"] == old["commitment"]
    assert list(new["files"]) == sorted(old["files"])
    for path in (store / "images").iterdir():
        held, said = (pydicom.dcmread(folder / "images" / path.name) for folder in (store, out))
        assert (held.PatientIdentityRemoved, said.PatientIdentityRemoved) == ("NO", "YES")
        said.PatientIdentityRemoved = "NO"
        buffer = io.BytesIO()
        said.save_as(buffer, enforce_file_format=False)
        assert buffer.getvalue() == path.read_bytes()
    assert not list(tmp_path.glob("*.partial"))


def test_it_can_be_asked_again_and_takes_no_other_place(tmp_path: Path, store: Path) -> None:
    out = declare_identity_removed(store, tmp_path / "new")
    (out / "manifest.sig").write_bytes(b"s" * 64)
    (tmp_path / "new.partial").mkdir()  # of an interrupted run
    assert declare_identity_removed(store, tmp_path / "new") == out
    assert (out / "manifest.sig").is_file()
    (tmp_path / "taken").mkdir()
    with pytest.raises(ValueError, match="The new store's place is taken"):
        declare_identity_removed(store, tmp_path / "taken")
    for place in (store, store / "new", tmp_path / "none" / "new"):
        with pytest.raises(ValueError, match="lies in the store, or its folder does not exist"):
            declare_identity_removed(store, place)
    assert not list(tmp_path.glob("*.partial"))


def test_other_stores_have_nothing_to_declare(tmp_path: Path, store: Path) -> None:
    other = made(tmp_path / "png")[0]
    assert decision_of(other) is None
    for source in (other, declare_identity_removed(store, tmp_path / "new")):
        with pytest.raises(ValueError, match="Only a DICOM store that says PatientIdentityRemoved NO"):
            declare_identity_removed(source, tmp_path / "again")


@pytest.mark.parametrize(
    "encoding",
    [
        {"type": "dicom", "bits": 16},
        DICOM | {"patient_identity_removed": "MAYBE"},
        DICOM | {"bits": 12},
        DICOM | {"more": 1},
        {"type": "png", "bits": 8, "patient_identity_removed": "NO"},
    ],
)
def test_a_malformed_encoding(store: Path, encoding: dict[str, object]) -> None:
    manifest = json.loads((store / "manifest.json").read_text())
    (store / "manifest.json").write_text(json.dumps(manifest | {"encoding": encoding}))
    assert ("malformed-manifest", "manifest.json") in verify_store(store)


@pytest.mark.parametrize("size", [[8], [8, 6, 4], [8, "6"], [0, 6], [8, 70000], None])
def test_a_size_that_no_dicom_image_has(store: Path, size: object) -> None:
    manifest = json.loads((store / "manifest.json").read_text())
    (store / "manifest.json").write_text(json.dumps(manifest | {"spatial_size": size}))
    assert ("malformed-manifest", "manifest.json") in verify_store(store)
    assert not [problem for problem in verify_store(store) if problem.code == "metadata"]
