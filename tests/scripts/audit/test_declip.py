"""Clipping is undone by who knows the host."""

from __future__ import annotations

import numpy as np
import pytest

from fesf.scripts.audit.amplitude import relative_error, solve
from fesf.scripts.audit.declip import declipped_amplitude
from fesf.scripts.audit.spectra import band_amplitude

from .conftest import bodies, smooth


def hidden(plain: np.ndarray, host: np.ndarray, alpha: float, beta: float) -> np.ndarray:
    """SPEC section 2 from the formula, neither clipped nor rounded."""
    rows, columns = (np.abs(np.fft.fftfreq(n) * n) <= np.floor(alpha * n) for n in host.shape)
    spectrum = np.fft.fft2(host)
    change = np.where(rows[:, None] & columns, beta * (abs(np.fft.fft2(plain)) - abs(spectrum)), 0)
    return np.fft.ifft2(spectrum + change * np.exp(1j * np.angle(spectrum))).real


@pytest.mark.parametrize("shape", [(32, 32), (32, 31)])
def test_amplitudes_come_back_from_clipped_surrogates(shape):
    rng = np.random.default_rng(0)
    plain = np.clip(2.2 * bodies(rng, 6) - 0.5, 0, 1)[:, : shape[0], : shape[1]]
    host = np.clip(2 * smooth(rng, 1)[0] - 0.5, 0, 1)[: shape[0], : shape[1]]
    exact = hidden(plain, host, 0.1, 0.5)
    seen = exact.clip(0, 1)
    assert ((seen == 0) & (exact < 0)).mean() > 0.05  # much is clipped at both ends
    assert ((seen == 1) & (exact > 1)).mean() > 0.001
    truth = band_amplitude(plain, 0.1)
    before, after = (relative_error(solve(seen, host, 0.1, 0.5, declip), truth) for declip in (False, True))
    assert before.mean() > 0.03
    assert after.max() < 1e-3
    np.testing.assert_allclose(declipped_amplitude(exact.clip(0, 1), host, 0.1), band_amplitude(exact, 0.1), atol=0.05)


def test_what_is_not_clipped_is_read_at_once(monkeypatch):
    rng = np.random.default_rng(1)
    plain, host = 0.3 + 0.3 * smooth(rng, 2), 0.3 + 0.3 * smooth(rng, 1)[0]
    seen = hidden(plain, host, 0.1, 0.5)
    np.testing.assert_allclose(declipped_amplitude(seen, host, 0.1, steps=1), band_amplitude(seen, 0.1), atol=1e-9)


def test_few_steps_are_enough():
    rng = np.random.default_rng(0)
    plain, host = np.clip(2.2 * bodies(rng, 6) - 0.5, 0, 1), np.clip(2 * smooth(rng, 1)[0] - 0.5, 0, 1)
    exact = hidden(plain, host, 0.1, 0.5)
    found = declipped_amplitude(exact.clip(0, 1), host, 0.1, steps=10)
    # plain projections, or momentum that never starts again, are ten times as far off by then
    assert relative_error(found, band_amplitude(exact, 0.1)).max() < 1e-5
