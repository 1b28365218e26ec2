"""One image through the limited process and the pipeline: what the pipeline alone gives, or a reason."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch

from fesf.networks import EnhancementGenerator
from fesf.networks.surrogate import SurrogateNet
from fesf.scripts.canaries.files import smooth
from fesf.scripts.data.dicom_elements import dicom_fault
from fesf.scripts.gateway.hiding import HideError, Hider
from fesf.scripts.gateway.hospital import load_pipeline
from fesf.scripts.gateway.origin import Origin
from fesf.scripts.gateway.reading import Reader, read_pixels
from tests.scripts.gateway.made import SIZE, make_hospital, original

IDENTITY = "a" * 32
RULE = (SIZE, None, None, False)


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    made = Reader(1024)
    yield made
    made.close()


@pytest.fixture(scope="module")
def hider(reader: Reader, tmp_path_factory: pytest.TempPathFactory) -> Hider:
    folder = make_hospital(tmp_path_factory.mktemp("gateway") / "hospital").parent
    return Hider(*load_pipeline(folder / "kept", folder / "hosts"), reader)


def test_a_surrogate_is_the_pipelines(hider: Hider) -> None:
    content, check = hider.hide(original(1), IDENTITY)
    assert check.passed
    assert dicom_fault(content, SIZE, 8, IDENTITY, "NO") is None
    plain = torch.from_numpy(np.rint(smooth(1, SIZE) * 255).astype(np.float32).T / 255)[None, None]
    expected = np.rint(hider.network(plain)[0, 0].numpy() * 255)
    assert np.array_equal(pydicom.dcmread(io.BytesIO(content)).pixel_array.T, expected)
    assert hider.hide(original(1), IDENTITY)[0] == content


def test_with_a_generator_the_check_looks_at_a_shifted_plaintext(hider: Hider) -> None:
    torch.manual_seed(0)
    generator = EnhancementGenerator(2).eval()
    network = SurrogateNet(hider.pool.host, 0.1, 0.5, generator)
    content, check = Hider(hider.recipe, hider.pool, network, hider.reader).hide(original(1), IDENTITY)
    assert check.passed
    assert check.shift_change > 0.0
    assert content != hider.hide(original(1), IDENTITY)[0]


class Leaking(torch.nn.Module):
    """A pipeline that lets the plaintext through."""

    def __init__(self, network: SurrogateNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, plain: torch.Tensor) -> torch.Tensor:
        return plain


def test_a_pipeline_that_leaks_is_seen(hider: Hider) -> None:
    leaking = Hider(hider.recipe, hider.pool, Leaking(hider.network), hider.reader)  # type: ignore[arg-type]
    with pytest.raises(HideError) as raised:
        leaking.hide(original(1), IDENTITY)
    assert raised.value.reason == "phase"


def test_an_image_that_is_a_host_is_refused(hider: Hider) -> None:
    host = np.rint(hider.pool.host[0].numpy().T * 255).astype(np.uint8)
    with pytest.raises(HideError) as raised:
        hider.hide(original(1, PixelData=host.tobytes()), IDENTITY)
    assert raised.value.reason == "near-host"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (original(1)[:-500], "unusable"),
        (original(1, NumberOfFrames=2, PixelData=bytes(2 * SIZE[0] * SIZE[1])), "unusable"),
        (b"Schmidt", "undecodable"),
    ],
)
def test_what_cannot_be_read_is_a_reason(hider: Hider, content: bytes, reason: str) -> None:
    with pytest.raises(HideError) as raised:
        hider.hide(content, IDENTITY)
    assert raised.value.reason == reason
    assert hider.hide(original(1), IDENTITY)[1].passed  # the process is there again


def test_reading_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    before = set(os.listdir("/proc/self/fd"))
    values = read_pixels(original(3), RULE)
    assert isinstance(values, np.ndarray)
    assert values.shape == (1, *SIZE)
    assert list(tmp_path.iterdir()) == []
    assert len(set(os.listdir("/proc/self/fd")) - before) <= 1


def test_headers_are_read_in_the_process_too(reader: Reader) -> None:
    assert isinstance(reader.describe(original(1), 2000, 3), Origin)
    assert reader.describe(original(1), 100, 3) == "too-many-pixels"
    deep = b"\x08\x00\x10\x11SQ\0\0\xff\xff\xff\xff" + bytes.fromhex("feff00e0ffffffff")
    assert reader.describe(original()[:500] + deep * 5000, 2000, 3) == "undecodable"
