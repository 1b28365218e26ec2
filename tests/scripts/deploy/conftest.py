"""Surrogates as DICOM files, and an unpacked bundle with weights of chance."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

from fesf.scripts.data.dicom_image import encode_dicom
from fesf.scripts.data.run_folder import configs_folder
from fesf.scripts.engines.operating_point import OperatingPoint
from tests.conftest import smooth

SHAPE = (18, 14)  # columns, rows


def identity(number: int) -> str:
    return hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest()


def levels(number: int, shape: tuple[int, int] = SHAPE, bits: int = 8) -> np.ndarray:
    return np.rint(smooth(number, shape) * (2**bits - 1)).astype(f"uint{bits}")


def surrogate(number: int, shape: tuple[int, int] = SHAPE, bits: int = 8) -> bytes:
    return encode_dicom(levels(number, shape, bits), identity(number))


@pytest.fixture
def surrogates(tmp_path: Path) -> Path:
    """Folder of six surrogates, as a store names them."""
    folder = tmp_path / "surrogates"
    folder.mkdir()
    for number in range(6):
        (folder / f"{identity(number)}.dcm").write_bytes(surrogate(number))
    return folder


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """An unpacked bundle; half of its decisions are "ill", whose probability is always below a half."""
    folder = tmp_path / "bundle"
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    text = (configs_folder() / "inference.json").read_text()
    (folder / "configs" / "inference.json").write_text(text)
    metadata = json.loads((configs_folder() / "metadata.json").read_text())
    metadata["network_data_format"]["inputs"]["image"]["spatial_shape"] = list(SHAPE)
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata))
    torch.manual_seed(3)
    network = ConfigParser(json.loads(text)).get_parsed_content("network_def")
    network.fc.bias.data.copy_(torch.tensor([1.0, 0.0]))
    torch.save(network.state_dict(), folder / "models" / "model.pt")
    OperatingPoint(threshold(network), "youden", ["well", "ill"], 1, 0.5).save(folder / "models/operating_point.json")
    return folder


def threshold(network: torch.nn.Module) -> float:
    """Between the third and the fourth probability of "ill"."""
    images = np.stack([levels(number)[None] for number in range(6)]).astype(np.float32) / 255
    with torch.no_grad():
        found = network.eval()(torch.from_numpy(images)).softmax(1)[:, 1].sort().values
    assert found[-1] < 0.5
    return float(found[2] + found[3]) / 2
