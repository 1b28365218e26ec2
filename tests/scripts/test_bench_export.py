"""Exports against eager: differences are real, ratios are of one round, and a mistake gets one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from fesf.scripts import bench_export
from fesf.scripts.bench_export import compare, main, pipeline, read_images
from tests.conftest import smooth, write_png

pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Converting a tensor to a Python:torch.jit.TracerWarning"),
]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for index in range(5):
        write_png(folder / f"{index}.png", smooth(index, (40, 32)))
    return folder


def test_all_formats_agree_on_images(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--images", str(images), "--count", "4", "--sizes", "32", "--repeats", "1", "--out", str(tmp_path)]
    assert main(words) == 0
    found = json.loads((tmp_path / "bench_export.json").read_text())
    assert found["command"] == "python -m fesf.scripts.bench_export"
    assert [(entry["network"], entry["batch"]) for entry in found["networks"]] == [
        ("pipeline", 1),
        ("classifier", 1),
        ("pipeline", 16),
        ("classifier", 16),
    ]
    for entry in found["networks"]:
        for name in ("torchscript", "onnx"):
            if name in entry:
                assert entry[name]["largest_difference"] <= 1e-5
                assert entry[name]["ms"] > 0
    assert "onnx" not in found["networks"][3]  # MONAI's ONNX file takes one image a call
    assert str(tmp_path) not in (tmp_path / "bench_export.json").read_text()


def test_a_difference_is_found_and_ends_with_1(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def off(part: Tensor) -> np.ndarray:
        return part.numpy() + np.float32(2e-5)

    found = compare({"eager": lambda part: part.numpy(), "onnx": off}, torch.zeros(3, 1, 4, 4), 2, 1)
    assert found["onnx"]["largest_difference"] == pytest.approx(2e-5)
    assert found["onnx"]["meets"] is False
    monkeypatch.setattr(bench_export, "measure", lambda options: [found])
    assert main(["--images", str(images), "--out", str(tmp_path)]) == 1


def test_the_generator_is_far_from_the_identity() -> None:
    host = torch.from_numpy(smooth(1, (32, 32))).float()[None]
    net = pipeline(host)
    with torch.no_grad():
        stages = net.stages(torch.from_numpy(smooth(2, (32, 32))).float()[None, None])
    assert float((stages["enhanced"] - stages["synthetic"]).abs().mean()) > 0.01


def test_too_few_images_get_one_line(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (images / "6.png").write_bytes(b"no image")
    assert read_images(images, 32, 5).shape == (5, 1, 32, 32)
    assert main(["--images", str(images), "--count", "5", "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        "error: --images holds 5 images that can be read, 6 are needed: name another folder.\n"
    )
