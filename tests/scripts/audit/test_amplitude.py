"""Amplitudes are read back from surrogates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fesf.scripts.audit.amplitude import AmplitudeRecovery, solve
from fesf.scripts.audit.attack import run_attack


def test_amplitudes_are_recovered_to_rounding(make_scene):
    scene = make_scene()
    result = run_attack(AmplitudeRecovery(), scene)
    assert result.faults() == []
    store = result.scores["store"]
    assert store.summary()["value"] > 0.9
    assert store.details["relative_error_solved_with_public_host"] < 0.05
    assert result.scores["plaintext"].summary()["value"] == pytest.approx(1.0, abs=1e-9)


def test_the_equation_is_solved_exactly_without_rounding():
    rng = np.random.default_rng(2)
    plain, host = rng.random((1, 16, 16)), rng.random((16, 16))
    mixed = (1 - 0.3) * abs(np.fft.fft2(host)) + 0.3 * abs(np.fft.fft2(plain[0]))
    seen = np.fft.ifft2(mixed * np.exp(1j * np.angle(np.fft.fft2(host)))).real[None]
    expected = np.sort(abs(np.fft.fft2(plain[0]))[:2, :2].ravel())
    found = solve(seen, host, 0.49, 0.3)[0]
    assert found[0] == pytest.approx(plain.sum())
    assert all(np.abs(found - value).min() < 1e-9 for value in expected)


def test_where_nothing_is_mixed_nothing_is_solved(make_scene):
    scene = replace(make_scene(), beta=0.0)
    attack = AmplitudeRecovery()
    assert attack.score(attack.fit(scene), scene).details.keys() == {"relative_error", "relative_error_mean_amplitude"}
    with pytest.raises(ValueError, match="beta is 0"):
        solve(scene.victims.seen, scene.host, 0.1, 0.0)
