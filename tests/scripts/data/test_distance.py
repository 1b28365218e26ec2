"""Distances to the host domain against their definitions, and against what they shall tell apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from monai.metrics import FIDMetric
from scipy.linalg import sqrtm
from scipy.ndimage import gaussian_filter

from fesf.scripts.data import distance as module
from fesf.scripts.data.distance import HostDistance, closed, frechet_distance, gap_closed, squared_mmd
from tests.conftest import smooth

RNG = np.random.default_rng(5)


def images(first: int, count: int, size: int = 16) -> torch.Tensor:
    return torch.from_numpy(np.stack([smooth(first + index, (size, size)) for index in range(count)])).float()[:, None]


def test_mmd_is_the_double_loop() -> None:
    first, second = RNG.normal(size=(5, 3)), RNG.normal(1, 2, (7, 3))

    def mean(left: np.ndarray, right: np.ndarray, same: bool) -> float:
        pairs = [(a, b) for a in range(len(left)) for b in range(len(right)) if not (same and a == b)]
        return float(np.mean([np.exp(-((left[a] - right[b]) ** 2).sum() / (2 * 1.7**2)) for a, b in pairs]))

    expected = mean(first, first, True) + mean(second, second, True) - 2 * mean(first, second, False)
    assert squared_mmd(torch.from_numpy(first), torch.from_numpy(second), 1.7) == pytest.approx(expected, abs=1e-12)


def test_mmd_is_unbiased() -> None:
    values = [squared_mmd(*torch.from_numpy(RNG.normal(size=(2, 10, 2))), bandwidth=1.5) for _ in range(400)]
    assert abs(np.mean(values)) < 4 * np.std(values) / 20
    assert min(values) < 0 < max(values)


def gaussians(count: int, features: int = 4) -> tuple[np.ndarray, np.ndarray]:
    mixing = RNG.normal(size=(features, features))
    return RNG.normal(size=(count, features)) @ mixing, RNG.normal(0.5, 2, (count + 3, features))


def test_frechet_is_the_formula() -> None:
    first, second = gaussians(40)
    covariances = [np.cov(each, rowvar=False) for each in (first, second)]
    root = sqrtm(covariances[0] @ covariances[1])
    expected = ((first.mean(0) - second.mean(0)) ** 2).sum() + np.trace(sum(covariances) - 2 * root.real)
    value = frechet_distance(torch.from_numpy(first), torch.from_numpy(second))
    assert value == pytest.approx(expected, rel=1e-9)
    assert value == pytest.approx(frechet_distance(torch.from_numpy(second), torch.from_numpy(first)), rel=1e-9)


@pytest.mark.filterwarnings("ignore:The `disp` argument:DeprecationWarning")  # MONAI 1.6.1
@pytest.mark.filterwarnings("ignore:Matrix is")
@pytest.mark.parametrize("count", [3, 40])
def test_frechet_is_monais(count: int) -> None:
    first, second = map(torch.from_numpy, gaussians(count, 8))
    assert frechet_distance(first, second) == pytest.approx(float(FIDMetric()(first, second)), rel=1e-6)


def test_frechet_of_copies_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    """A covariance of zeros: the distance of the means, and the other's spread."""
    first, second = map(torch.from_numpy, gaussians(6, 8))
    copies = first[:1].expand(9, 8)
    expected = (copies[0] - second.mean(0)).square().sum() + second.var(0).sum()
    assert frechet_distance(copies, second) == pytest.approx(float(expected), rel=1e-9)
    assert frechet_distance(second, second) == pytest.approx(0, abs=1e-6)
    assert capfd.readouterr() == ("", "")


def test_gap_closed() -> None:
    assert gap_closed(0.2, synthetic=0.2, floor=0.1) == 0
    assert gap_closed(0.1, synthetic=0.2, floor=0.1) == 1
    assert gap_closed(0.4, synthetic=0.2, floor=0.1) == pytest.approx(-2)
    assert gap_closed(0.4, synthetic=0.1, floor=0.2) == pytest.approx(-3)  # farther, although below the floor before
    assert np.isfinite(gap_closed(0.4, synthetic=0.2, floor=0.2))
    values = [{"mmd": mmd, "frechet": 10 * mmd} for mmd in (0.15, 0.2, 0.1)]
    assert closed(*values) == {"mmd": pytest.approx(0.5), "frechet": pytest.approx(0.5)}


@pytest.fixture(scope="module")
def judge() -> HostDistance:
    return HostDistance(images(0, 30), images(30, 30))


CHANGES: dict[str, tuple[Callable[[torch.Tensor, float], torch.Tensor], tuple[float, ...]]] = {
    "shift": (lambda x, strength: x - strength, (0.03, 0.06, 0.1)),
    "blur": (
        lambda x, strength: torch.from_numpy(gaussian_filter(x.numpy(), (0, 0, strength, strength))),
        (0.4, 0.6, 1.0),
    ),
    "noise": (
        lambda x, strength: x + strength * torch.randn(x.shape, generator=torch.Generator().manual_seed(1)),
        (0.05, 0.1, 0.2),
    ),
    "copies": (lambda x, share: x[torch.arange(len(x)) * (torch.arange(len(x)) >= share * len(x))], (0.3, 0.6, 1.0)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_further_the_larger(judge: HostDistance, name: str) -> None:
    change, strengths = CHANGES[name]
    fresh = images(60, 30)
    found = [judge(fresh), *(judge(change(fresh, strength)) for strength in strengths)]
    for measure in ("mmd", "frechet"):
        values = [figures[measure] for figures in found]
        assert values == sorted(values), measure
        assert values[-1] > 3 * abs(judge.floor()[measure]), measure
    assert abs(found[0]["mmd"]) < 0.02  # a third sample of the hosts' distribution
    assert abs(judge.floor()["mmd"]) < 0.02


@pytest.mark.parametrize(
    ("counts", "size", "expected"), [((12, 9, 30), None, 9), ((12, 9, 5), None, 5), ((9, 9, 30), 6, 6)]
)
def test_equally_many_images_on_both_sides(
    monkeypatch: pytest.MonkeyPatch, counts: tuple[int, int, int], size: int | None, expected: int
) -> None:
    seen: dict[str, list[tuple[int, int, float]]] = {"squared_mmd": [], "frechet_distance": []}
    for name, calls in seen.items():
        original = getattr(module, name)

        def spy(first: Any, second: Any, *rest: Any, calls: Any = calls, original: Any = original) -> float:
            calls.append((len(first), len(second), original(first, second, *rest)))
            return calls[-1][2]

        monkeypatch.setattr(module, name, spy)
    judge = HostDistance(images(0, counts[0]), images(100, counts[1]), draws=4)
    for measure_it in (lambda: judge(images(200, counts[2]), size), lambda: judge.floor(expected)):
        value = measure_it()
        for measure, calls in zip(("mmd", "frechet"), seen.values(), strict=True):
            assert [call[:2] for call in calls] == [(expected, expected)] * 4
            assert len({call[2] for call in calls}) > 1  # other images each time
            assert value[measure] == pytest.approx(np.mean([call[2] for call in calls]))
            calls.clear()


def test_draws_are_fixed_and_leave_the_generators_alone() -> None:
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)
        judge = HostDistance(images(0, 8), images(30, 8))
        state = np.random.get_state()[1].copy()
        found.append((judge(images(60, 20)), judge.floor()))
        assert np.array_equal(state, np.random.get_state()[1])
    assert found[0] == found[1]


def test_features_are_standardised_over_the_hosts(judge: HostDistance) -> None:
    features = torch.cat((judge.hosts, judge.held_out))
    np.testing.assert_allclose(features.mean(0), 0, atol=1e-9)
    np.testing.assert_allclose(features.std(0), 1, atol=1e-6)
    pairs = [
        (judge.held_out[a] - judge.held_out[b]).norm().item()
        for a in range(len(judge.held_out)) for b in range(a)
    ]  # fmt: skip
    assert judge.bandwidth == pytest.approx(sorted(pairs)[(len(pairs) - 1) // 2], rel=1e-9)


def test_volumes() -> None:
    stack = torch.from_numpy(np.stack([smooth(seed, (8, 9, 10)) for seed in range(12)])).float()[:, None]
    judge = HostDistance(stack[:4], stack[4:8])
    assert judge(stack[8:] - 0.3)["mmd"] > judge(stack[8:])["mmd"]


def test_too_few_images() -> None:
    with pytest.raises(ValueError, match="The host pool has 7 images: measuring the distance to it needs 8 or more"):
        HostDistance(images(0, 4), images(10, 3))
    with pytest.raises(ValueError, match="A distance to the hosts needs 2 images or more: give the section more"):
        HostDistance(images(0, 4), images(10, 4))(images(20, 1))
