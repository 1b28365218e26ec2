"""Figures of quality.json: likeness against scikit-image, distances with their controls, the report."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.signal import convolve2d
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import nn

from fesf.networks import SurrogateNet
from fesf.scripts.data.cohort import LoadImageCohortd
from fesf.scripts.data.distance import HostDistance
from fesf.scripts.data.hosts import HostPool
from fesf.scripts.data.kept_splits import ensure_splits
from fesf.scripts.data.quality import SCALES, QualityReport, distances, likeness
from fesf.scripts.data.recipe import Recipe
from fesf.scripts.data.unpaired import HostHalves, host_halves, read_plaintexts
from tests.conftest import smooth, write_png

SIZE = 24


def images(first: int, count: int, size: int = SIZE) -> torch.Tensor:
    return torch.from_numpy(np.stack([smooth(first + index, (size, size)) for index in range(count)])).float()[:, None]


def ms_ssim(first: np.ndarray, second: np.ndarray) -> float:
    """Wang et al. 2003 with the first three of their weights, a 5-wide Gaussian and valid windows."""
    line = np.exp(-(np.arange(-2, 3) ** 2) / 2)
    window = np.outer(line, line) / line.sum() ** 2
    weights = np.array([0.0448, 0.2856, 0.3001]) / (0.0448 + 0.2856 + 0.3001)
    result = 1.0
    for level, weight in enumerate(weights):
        means = [convolve2d(each, window, "valid") for each in (first, second)]
        products = [convolve2d(a * b, window, "valid") for a, b in ((first, first), (second, second), (first, second))]
        spread = products[0] - means[0] ** 2 + products[1] - means[1] ** 2
        contrast = (2 * (products[2] - means[0] * means[1]) + 0.03**2) / (spread + 0.03**2)
        light = (2 * means[0] * means[1] + 0.01**2) / (means[0] ** 2 + means[1] ** 2 + 0.01**2)
        result *= max((contrast * (light if level == 2 else 1)).mean(), 0) ** weight
        first, second = (each.reshape(len(each) // 2, 2, -1, 2).mean((1, 3)) for each in (first, second))
    return result


def test_likeness_is_that_of_scikit_image() -> None:
    first, second = images(0, 5), images(50, 5)
    second = 0.6 * first + 0.4 * second
    found = likeness(first, second)
    pairs = [(a[0].double().numpy(), b[0].double().numpy()) for a, b in zip(first, second, strict=True)]
    assert found["ssim"] == pytest.approx(np.mean([structural_similarity(*pair, data_range=1) for pair in pairs]))
    assert found["psnr"] == pytest.approx(np.mean([peak_signal_noise_ratio(*pair, data_range=1) for pair in pairs]))
    assert found["ms_ssim"] == pytest.approx(np.mean([ms_ssim(*pair) for pair in pairs]), abs=1e-4)
    assert sum(SCALES) == pytest.approx(1)


def test_equal_images_count_for_ssim_alone() -> None:
    first = images(0, 3)
    second = first.clone()
    second[2] += 0.1
    found = likeness(first, second)
    assert found["psnr"] == pytest.approx(20, abs=1e-4)
    assert likeness(first, first) == {"ssim": pytest.approx(1), "psnr": None, "ms_ssim": pytest.approx(1, abs=1e-5)}


def test_opposite_contrasts_count_as_nothing() -> None:
    first = images(0, 2)
    assert likeness(first, 1 - first)["ms_ssim"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("size", "defined"), [(19, False), (20, True)])
def test_small_images_have_no_three_scales(size: int, defined: bool) -> None:
    found = likeness(images(0, 2, size), images(5, 2, size))
    assert (found["ms_ssim"] is not None) is defined
    assert found["ssim"] is not None


@pytest.fixture(scope="module")
def halves() -> HostHalves:
    return HostHalves(images(0, 12), images(20, 10))


def test_distances_have_their_controls_at_one_number_of_images(halves: HostHalves) -> None:
    synthetic, stack = images(40, 8) - 0.3, images(60, 30)
    host = halves.training[0]
    found = distances({"plaintext": images(80, 9), "synthetic": synthetic, "enhanced": stack}, halves, host)
    assert found["images_drawn"] == 8
    assert list(found["distance"]) == ["floor", "host", "plaintext", "synthetic", "enhanced"]
    distance = HostDistance(halves.training, halves.held_out)
    assert found["distance"]["floor"] == distance.floor(8)
    assert found["distance"]["host"] == distance(torch.stack([host] * 8), 8)
    assert found["distance"]["enhanced"] == distance(stack, 8)
    assert found["distance"]["synthetic"] == distance(synthetic)
    assert found["distance"]["host"]["mmd"] > 5 * abs(found["distance"]["floor"]["mmd"])
    assert list(found["gap_closed"]) == ["enhanced"]
    assert found["gap_closed"]["enhanced"]["mmd"] == pytest.approx(1, abs=0.1)  # as near as another half of the domain


def test_no_gap_is_closed_by_the_identity(halves: HostHalves) -> None:
    synthetic = images(40, 8) - 0.05
    found = distances(
        {"synthetic": synthetic, "enhanced": synthetic.clone(), "surrogate": synthetic - 0.05},
        halves,
        halves.training[0],
    )
    assert found["gap_closed"]["enhanced"] == {"mmd": 0, "frechet": 0}
    assert found["gap_closed"]["surrogate"]["mmd"] < -0.1
    assert found["gap_closed"]["surrogate"]["frechet"] < -0.1


class TowardsHosts(nn.Module):
    """What a trained generator may do: most of each image is a host that its brightness chose."""

    def __init__(self, hosts: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("hosts", hosts)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        chosen = (1000 * images.mean((1, 2, 3))).long() % len(self.hosts)
        return 0.1 * images + 0.9 * self.hosts[chosen]


@pytest.fixture
def report(make_cohort: Callable[..., Path], tmp_path: Path) -> QualityReport:
    folder, pool_folder = make_cohort(), tmp_path / "pool"
    pool_folder.mkdir()
    for host in range(16):
        write_png(pool_folder / f"{host:02d}.png", 0.3 + 0.7 * smooth(200 + host))
    pool = HostPool(pool_folder, Recipe("r", image_size=(24, 24)))
    halves = host_halves(pool)
    network = SurrogateNet(pool.host, 0.2, 0.6, TowardsHosts(halves.training), 0.1, 0.4)
    source: dict[str, Any] = {
        "cohort": folder / "cohort.csv",
        "splits": ensure_splits(folder / "cohort.csv", tmp_path / "hospital", (0.3, 0.2, 0.5), 0),
        "section": "test",
        "preprocessing": LoadImageCohortd("image", (24, 24)),
    }
    return QualityReport(network, pool, halves, tmp_path / "hospital" / "quality.json", source)


def test_report(report: QualityReport, capsys: pytest.CaptureFixture[str]) -> None:
    report.run()
    assert report.path.stat().st_mode & 0o777 == 0o600
    assert report.path.parent.stat().st_mode & 0o777 == 0o700
    figures = json.loads(report.path.read_text())
    said = capsys.readouterr().out
    assert "SCHMIDT" not in said + report.path.read_text()

    plain = torch.stack([image for _, image in read_plaintexts(**report.source)])
    made = {"plaintext": plain} | report.network.stages(plain)
    assert (figures["section"], figures["images"]) == ("test", len(plain))
    host = report.pool.host
    expected = distances(made, report.halves, host)
    assert figures["distance"] == expected["distance"]
    assert figures["gap_closed"] == expected["gap_closed"]
    assert set(figures["gap_closed"]) == {"enhanced", "surrogate"}
    assert figures["gap_closed"]["enhanced"]["mmd"] > 0.3
    for name, stack in made.items():
        of_host = likeness(stack, torch.stack([host] * len(plain)))
        assert figures["likeness_to_host"][name] == pytest.approx(of_host)
        if name != "plaintext":
            assert figures["likeness_to_plaintext"][name] == pytest.approx(likeness(stack, plain))
    assert set(figures["likeness_to_plaintext"]) == {"synthetic", "enhanced", "surrogate", "another plaintext"}
    others = [likeness(plain[[index - 1]], plain[[index]])["ssim"] for index in range(len(plain))]
    assert figures["likeness_to_plaintext"]["another plaintext"]["ssim"] == pytest.approx(np.mean(others))
    gap = figures["gap_closed"]["surrogate"]["mmd"]
    assert f"  surrogate  MMD {figures['distance']['surrogate']['mmd']:.4f}, Fréchet" in said
    assert f"closes {gap:+.2f} and" in said
    assert all(math.isfinite(value) for figure in figures["distance"].values() for value in figure.values())


def test_report_without_a_generator(report: QualityReport) -> None:
    report.network = SurrogateNet(report.pool.host, 0.2, 0.6)
    figures = report.measure()
    assert list(figures["distance"]) == ["floor", "host", "plaintext", "synthetic"]
    assert figures["gap_closed"] == {}


def test_report_stays_private(report: QualityReport) -> None:
    report.path.parent.chmod(0o755)
    with pytest.raises(ValueError, match="can be read by other users"):
        report.run()
    assert not report.path.exists()
