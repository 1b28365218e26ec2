"""The phase check tells surrogates from plaintexts, blends and half-hidden images."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fesf.scripts.data.phase import PhaseCheck, check_phase, phase_coherence, whiten
from fesf.transforms import hide


def images(shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(len(shape))
    radius = np.sqrt(sum(g**2 for g in np.meshgrid(*(np.fft.fftfreq(n) * n for n in shape), indexing="ij"))) + 1
    made = []
    for _ in range(2):
        image = np.fft.ifftn(np.fft.fftn(rng.normal(size=shape)) / radius**1.2).real
        made.append(torch.from_numpy((image - image.min()) / np.ptp(image)).float()[None])
    return made[0], made[1]


def to_8_bit(image: torch.Tensor) -> torch.Tensor:
    return (image * 255).round() / 255


def test_coherence_matches_numpy() -> None:
    first, second = images((12, 9))
    x, y = (np.fft.rfft2(i[0].double().numpy()).ravel()[1:] for i in (first, second))
    weight = np.sqrt(np.abs(x) * np.abs(y))
    expected = (weight * np.cos(np.angle(x) - np.angle(y))).sum() / weight.sum()
    assert phase_coherence(first, second, 2) == pytest.approx(expected, abs=1e-5)
    assert phase_coherence(first, first, 2) == pytest.approx(1, abs=1e-5)
    assert phase_coherence(first, 1 - first, 2) == pytest.approx(-1, abs=1e-5)
    assert phase_coherence(first, torch.zeros_like(first), 2) == 0


@pytest.mark.parametrize("shape", [(64, 64), (33, 48), (16, 17, 18)])
@pytest.mark.parametrize(("alpha", "beta"), [(0.1, 0.5), (0.5, 0.5), (0.1, 1.0), (0.5, 1.0)])
def test_surrogates_pass(shape: tuple[int, ...], alpha: float, beta: float) -> None:
    plain, host = images(shape)
    surrogate = to_8_bit(hide(plain, host, alpha, beta, spatial_dims=len(shape), clip=True))
    check = check_phase(surrogate, host, plain)
    assert check.passed
    assert check.coherence > 0.85
    assert abs(check.excess) < 0.1


@pytest.mark.parametrize("shape", [(64, 64), (16, 17, 18)])
def test_plaintext_in_any_guise_fails(shape: tuple[int, ...]) -> None:
    plain, host = images(shape)
    swapped = hide(host, plain, 0.1, 0.5, spatial_dims=len(shape), clip=True)
    for leak in (plain, 1 - plain, swapped, 0.5 * (plain + host), 0.3 * plain + 0.7 * host):
        assert not check_phase(to_8_bit(leak), host, plain).passed


@pytest.mark.parametrize(
    ("check", "passed"),
    [
        (PhaseCheck(0.7, 0.12, 1e-3), True),
        (PhaseCheck(0.69, 0.0), False),
        (PhaseCheck(1.0, 0.13), False),
        (PhaseCheck(1.0, 0.0, 1.1e-3), False),
        (PhaseCheck(1.0, -1.0), True),
    ],
)
def test_every_limit_counts(check: PhaseCheck, passed: bool) -> None:
    assert check.passed is passed
    assert check.text == (
        f"coherence with the host {check.coherence:.3f}, at least 0.7; beyond the host's with the plaintext"
        f" {check.excess:.3f}, at most 0.12; change under a shift of the plaintext {check.shift_change:.1e}, at most"
        " 1e-03"
    )


def test_a_generators_output_is_the_host() -> None:
    """Its own coherence with the plaintext does not count, the change under a shift does."""
    plain, host = images((64, 64))
    enhanced = 0.5 * host + 0.5 * plain
    surrogate = to_8_bit(hide(plain, enhanced, 0.1, 0.5, clip=True))
    assert not check_phase(surrogate, host, plain).passed
    check = check_phase(surrogate, enhanced, plain, 0.0005)
    assert check.coherence == pytest.approx(phase_coherence(surrogate, enhanced, 2), abs=1e-6)
    gained = phase_coherence(surrogate, plain, 2) - phase_coherence(enhanced, plain, 2)
    assert check.excess == pytest.approx(gained, abs=1e-6)
    assert check.shift_change == 0.0005
    assert check.passed
    assert not check_phase(surrogate, enhanced, plain, 0.01).passed


def test_a_host_prepared_once_gives_the_same_figures() -> None:
    plain, host = images((33, 48))
    surrogate = to_8_bit(hide(plain, host, 0.1, 0.5, clip=True))
    assert check_phase(surrogate, whiten(host, 2), plain) == check_phase(surrogate, host, plain)
