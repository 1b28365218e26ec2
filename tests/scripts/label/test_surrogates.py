"""What a label server may show of a store: published images alone, with the labels of both sides."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from fesf.scripts.data.store_format import StoreError
from fesf.scripts.data.verify import verify_store
from fesf.scripts.label import surrogates as surrogates_module
from fesf.scripts.label.labels import LabelError
from fesf.scripts.label.surrogates import REFUSED, Surrogates
from tests.scripts.data.made_store import even_out, identity, png
from tests.scripts.label.conftest import LABELS, SECTION


@pytest.fixture
def surrogates(store: Path, tmp_path: Path) -> Surrogates:
    return Surrogates(store, tmp_path / "labels")


def test_every_image_of_the_store_by_its_id(surrogates: Surrogates, store: Path) -> None:
    assert set(surrogates.images) == {identity(number) for number in LABELS}
    for number, label in LABELS.items():
        found = surrogates.find(identity(number))
        assert (found.section, found.label) == (SECTION[number], label)
        assert Path(surrogates.path(identity(number))) == store / "images" / f"{identity(number)}.png"


@pytest.mark.parametrize(
    "image", [None, 3, [1.0], "", "/etc/hostname", "images/x.png", "f" * 32, "../manifest.json", "dataset"]
)
def test_anything_that_is_no_id_of_the_store_is_refused(image: Any, surrogates: Surrogates) -> None:
    for act in (surrogates.find, surrogates.path, lambda name: surrogates.save_label(name, b"no")):
        with pytest.raises(StoreError) as caught:
            act(image)
        assert str(caught.value) == REFUSED  # nothing of what was asked for is quoted


def test_an_image_that_changed_after_the_start_is_refused(surrogates: Surrogates, store: Path) -> None:
    path = store / "images" / f"{identity(0)}.png"
    path.write_bytes(png(99))
    with pytest.raises(StoreError, match=f"'images/{identity(0)}.png' differs from its digest"):
        surrogates.path(identity(0))
    path.unlink()
    with pytest.raises(StoreError, match="cannot be read"):
        surrogates.path(identity(0))
    assert surrogates.path(identity(1))


def test_a_store_with_an_added_file_or_none_is_not_served(store: Path, tmp_path: Path) -> None:
    (store / "images" / "Anna Schmidt.png").write_bytes(png(1))
    with pytest.raises(StoreError, match="1 files that its manifest does not list") as caught:
        Surrogates(store, tmp_path / "labels")
    assert "Anna" not in str(caught.value)
    with pytest.raises(StoreError, match="is not a surrogate store"):
        Surrogates(tmp_path, tmp_path / "labels")


def change(store: Path, item: dict[str, Any]) -> None:
    """Change the first item of training, with a digest that fits."""
    dataset = json.loads((store / "dataset.json").read_text())
    dataset["training"][0] |= item
    content = json.dumps(dataset).encode()
    (store / "dataset.json").write_bytes(content)
    manifest = json.loads((store / "manifest.json").read_text())
    manifest["files"]["dataset.json"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    (store / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"label": 2}, "A label of training is no index"),
        ({"label": True}, "A label of training is no index"),
        ({"image": "../cohort/Anna.png"}, "An image of training is not in the store's manifest"),
    ],
)
def test_a_store_that_contradicts_itself_is_not_served(
    item: dict[str, Any], message: str, store: Path, tmp_path: Path
) -> None:
    change(store, item)
    with pytest.raises(StoreError, match=message) as caught:
        Surrogates(store, tmp_path / "labels")
    assert "Anna" not in str(caught.value)


def test_a_signature_can_be_required(store: Path, tmp_path: Path) -> None:
    from fesf.scripts.data.signature import make_keys

    public = make_keys(tmp_path / "key")
    with pytest.raises(StoreError, match="public_key requires one"):
        Surrogates(store, tmp_path / "labels", public)


def test_a_store_of_dicom_files_needs_pydicom_3(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = json.loads((store / "manifest.json").read_text())
    (store / "manifest.json").write_text(json.dumps(manifest | {"encoding": {"type": "dicom", "bits": 8}}))
    assert Surrogates(store, tmp_path / "labels").suffix == ".dcm"  # the control: pydicom 3 is here
    monkeypatch.setattr(surrogates_module, "find_spec", lambda name: None if name == "pydicom.pixels" else object())
    with pytest.raises(StoreError, match=r"MONAI Label's environment holds pydicom 2: ask the hospital for .* PNG"):
        Surrogates(store, tmp_path / "labels")


def test_labels_of_both_sides(surrogates: Surrogates, store: Path) -> None:
    a, b, c = identity(2), identity(3), identity(5)
    assert surrogates.unlabelled() == sorted([a, b])  # of training alone
    assert surrogates.save_label(a, b"yes") == "yes"
    surrogates.save_label(c, b'{"label": "no"}')
    assert surrogates.unlabelled() == [b]
    assert surrogates.labels()[a] == {"final": "yes"}
    assert surrogates.labels()[identity(0)] == {"store": "no"}
    assert list(surrogates.labels()) == sorted(surrogates.labels())
    training = {item["id"]: item["label"] for item in surrogates.items("training")}
    assert training == {identity(0): 0, identity(1): 1, a: 1}
    assert {item["id"]: item["label"] for item in surrogates.items("validation")} == {identity(4): 1, c: 0}
    assert [item["image"] for item in surrogates.items("test")] == [str(store / f"images/{identity(6)}.png")]


@pytest.mark.parametrize(
    ("number", "content", "message"),
    [
        (0, b"yes", "The store itself labels this surrogate"),
        (7, b"yes", "of the test section"),
        (2, b"Anna", "names none of the store's classes"),
    ],
)
def test_labels_that_are_not_taken(number: int, content: bytes, message: str, surrogates: Surrogates) -> None:
    with pytest.raises(LabelError, match=message):
        surrogates.save_label(identity(number), content)
    assert surrogates.given.read() == {}


def test_nothing_is_written_into_the_store(surrogates: Surrogates, store: Path) -> None:
    times = {path: os.stat(path).st_mtime_ns for path in [store, *store.rglob("*")]}
    surrogates.save_label(identity(2), b"yes")
    surrogates.items("training")
    assert {path: os.stat(path).st_mtime_ns for path in [store, *store.rglob("*")]} == times
    assert verify_store(store) == []


def test_another_store_has_labels_of_its_own(surrogates: Surrogates, store: Path, tmp_path: Path) -> None:
    """An id is keyed by its release; a label never passes to an image of another store."""
    surrogates.save_label(identity(2), b"yes")
    assert Surrogates(store, tmp_path / "labels").given.read() == {identity(2): "yes"}
    manifest = json.loads((store / "manifest.json").read_text())
    (store / "manifest.json").write_text(json.dumps(manifest | {"commitment": "1" * 64}))
    assert Surrogates(even_out(store), tmp_path / "labels").given.read() == {}
