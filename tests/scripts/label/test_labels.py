"""Labels that a server was given: what is taken, what is refused, and what stays on the disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fesf.scripts.label.labels import LARGEST, LabelError, LabelFolder, parse_label

NAMES = ["normal", "opacity"]
IMAGE = "0" * 31 + "a"


@pytest.mark.parametrize(
    "content", [b"opacity", b" opacity\r\n", b'"opacity"', b'{"label": "opacity", "prediction": [0.1, 0.9]}']
)
def test_forms_of_a_label(content: bytes) -> None:
    assert parse_label(content, NAMES) == "opacity"


def test_a_class_that_is_a_number_is_taken_as_text() -> None:
    assert parse_label(b"3", ["0", "3"]) == "3"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"Anna Schmidt",
        b"Opacity",
        b"1",
        b'{"label": 1}',
        b'{"label": ["opacity"]}',
        b'{"class": "opacity"}',
        b"[" * 4000,
        b"\xff\xfe",
        b"\x89PNG\r\n\x1a\n",
        b" " * LARGEST + b"opacity",
    ],
)
def test_anything_else_is_refused_and_not_quoted(content: bytes) -> None:
    with pytest.raises(LabelError) as caught:
        parse_label(content, NAMES)
    assert str(caught.value).startswith("The label names none of the store's classes: send a file that holds one of")
    assert "normal, opacity" in str(caught.value)
    assert "Anna" not in str(caught.value)


def test_save_read_replace_and_remove(tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path / "labels", NAMES)
    assert labels.read() == {}
    assert labels.save(IMAGE, b"normal") == "normal"
    assert labels.save(IMAGE, b'{"label": "opacity"}') == "opacity"
    assert labels.read() == {IMAGE: "opacity"}
    assert LabelFolder(tmp_path / "labels", NAMES).read() == {IMAGE: "opacity"}  # as a training's process sees it
    (file,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert json.loads(file.read_text()) == {"label": "opacity"}
    labels.remove(IMAGE)
    assert labels.read() == {}
    with pytest.raises(LabelError, match="nothing to remove"):
        labels.remove(IMAGE)


@pytest.mark.parametrize("image", ["../../outside", "a/b", "", "0" * 31, "0" * 33, IMAGE.upper()])
def test_an_id_never_leads_out_of_the_folder(image: str, tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path / "labels", NAMES)
    for act in (labels.path, labels.remove, lambda name: labels.save(name, b"normal")):
        with pytest.raises(LabelError, match="32 hexadecimal digits"):
            act(image)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_refused_label_leaves_the_earlier_one(tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path, NAMES)
    labels.save(IMAGE, b"normal")
    with pytest.raises(LabelError):
        labels.save(IMAGE, b"Anna")
    assert labels.read() == {IMAGE: "normal"}


def test_other_files_are_left_alone_and_a_spoilt_one_is_named(tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path, NAMES)
    (labels.folder / "notes.txt").write_text("opacity")
    (labels.folder / f".{IMAGE}.json.new").write_text("opa")
    assert labels.read() == {}
    labels.path(IMAGE).write_text("Anna")
    with pytest.raises(LabelError, match=rf"The label of '{IMAGE}' names none .* send it again, or delete its file"):
        labels.read()
