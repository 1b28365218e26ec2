"""Each check passes what is right and names what is wrong, with its cure."""

from __future__ import annotations

from pathlib import Path

import pytest

from fesf.scripts.engines.checks import existing_file, matching_classes, refuse, with_labels


def test_matching_classes() -> None:
    assert matching_classes(("a", "b"), 2, ["a", "b"]) == ["a", "b"]
    with pytest.raises(
        ValueError, match=r"num_classes=2, but the data have 3 classes \(a, b, c\): pass --num_classes 3"
    ):
        matching_classes(["a", "b", "c"], 2)
    with pytest.raises(ValueError, match="model decides between b, a; the data have a, b"):
        matching_classes(["a", "b"], 2, ["b", "a"])
    assert matching_classes(None, 2, ["a", "b"]) == ["a", "b"]
    with pytest.raises(ValueError, match=r"num_classes=5, but the model has 2 classes \(a, b\)"):
        matching_classes(None, 5, ["a", "b"])
    with pytest.raises(ValueError, match="Neither the data nor the model"):
        matching_classes(None, 2)


def test_with_labels() -> None:
    assert with_labels(({"label": 0},)) == [{"label": 0}]
    with pytest.raises(ValueError, match=r"1 of 2 images have no label.*inference.json.*fesf.scripts.link"):
        with_labels([{"label": 0}, {}])


def test_existing_file(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    with pytest.raises(ValueError, match=r"model.pt' is not a file: train first"):
        existing_file(path, "train first")
    path.touch()
    assert existing_file(path, "train first") == str(path)


def test_refuse() -> None:
    with pytest.raises(ValueError, match="not here"):
        refuse("not here")
