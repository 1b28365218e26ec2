"""The command that writes docs/burned_in_text.*, on small images with a detector that finds what is white."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fesf.scripts import bench_text as module
from fesf.scripts.bench_text import grounds, main, rate, recall_grounds
from fesf.scripts.data import text_page
from tests.conftest import smooth


def film(seed: int, number: int, size: int) -> np.ndarray:
    """A stand-in for the demo's film, drawn in no time."""
    return np.rint(smooth(10 * seed + number, (size, size)) * 100).astype(np.uint8)


class White:
    """Finds the box around what is nearly white."""

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        rows, columns = np.nonzero(picture > 250)
        if len(rows) < 20:
            return np.zeros((0, 4), dtype=np.int64)
        return np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]])


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(module, "TextDetector", White)
    monkeypatch.setattr(module, "make_host", film)
    monkeypatch.setattr(text_page, "make_host", film)
    options = ["--victims", "4", "--candidates", "12", "--films", "1", "--quiet"]
    main([*options, "--out", str(tmp_path / "out"), "--shared", str(tmp_path / "nowhere")])
    figures = json.loads((tmp_path / "out" / "burned_in_text.json").read_text())
    attack = figures["attack"]
    assert (attack["background"], attack["candidates"], attack["covered_by_mask"]) == ("synthetic chest films", 12, 1.0)
    rows = {(row["variant"], row["attacker"], row["alpha"]): row for row in attack["rows"]}
    assert len(rows) == 5 * 2 * 3
    assert rows["text", "host known", 0.5]["rank_1"] == rows["text", "store alone", 0.5]["rank_1"] == 1.0
    assert rows["no text", "host known", 0.5]["rank_1"] < 1.0
    assert rows["masked", "host known", 0.5]["where_mask_covered"]["victims"] == 4
    recall = figures["recall"]
    assert recall["synthetic"]["texts"] == sum(group["texts"] for group in recall["synthetic"]["size"].values()) > 0
    assert recall["real"]["all"]["texts"] == 40  # of the files that pydicom ships
    page = (tmp_path / "out" / "burned_in_text.md").read_text()
    for text in ("python -m fesf.scripts.bench_text", "chance is 0.083", "| examples_rgb_color.dcm | 19 | 0 |"):
        assert text in page
    assert "{" not in page
    with Image.open(tmp_path / "out" / "burned_in_text.png") as sheet:
        assert sheet.size == (4 * 256 + 24, 256)
    assert "burned_in_text.md" in capsys.readouterr().out


def test_grounds_are_real_where_there_are_some(shared_data: Path) -> None:
    kind, images = grounds(shared_data.parent, 3)
    assert kind == "brain MRI (mri_cheng430)"
    assert {image.shape for image in images} == {(512, 512)}
    assert max(float(image.max()) for image in images) <= 1.0
    found = recall_grounds(shared_data.parent, 0, images)
    assert len(found) == 3 + 4 * 3 + 2 * 2
    assert all(0 <= float(image.min()) <= float(image.max()) <= 1 for _, image in found)


def test_intervals_are_exact() -> None:
    assert rate(np.array([1.0] * 10)) == {"victims": 10, "rank_1": 1.0, "low": 0.692, "high": 1.0}
    assert rate(np.array([])) == {"victims": 0, "rank_1": 0.0, "low": 0.0, "high": 1.0}
