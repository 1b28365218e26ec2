"""Host, band and share, each by itself."""

from __future__ import annotations

import numpy as np
import pytest

from fesf.scripts.audit.recipe_recovery import band_edge, nearest_host, reach, regressed, smallest_ratio, spread

from .conftest import bodies, hide, smooth

RNG = np.random.default_rng(0)
POOL = smooth(RNG, 8)
PLAIN = bodies(RNG, 60)


def test_the_reach_of_a_frequency_is_the_smallest_alpha_that_holds_it():
    found = reach((8, 6))
    assert found.shape == (8, 4)
    assert (found[0, 0], found[1, 0], found[7, 0], found[0, 1], found[4, 3]) == (0, 1 / 8, 1 / 8, 1 / 6, 0.5)


@pytest.mark.parametrize("alpha", [None, 0.1])
def test_the_host_is_named_by_phase_and_by_the_spectrum_outside(alpha):
    hosts = np.arange(60) % 8
    seen = np.concatenate([hide(PLAIN[[index]], POOL[host]) for index, host in enumerate(hosts)])
    assert (nearest_host(seen, POOL, alpha) == hosts).all()
    assert (nearest_host(PLAIN, POOL, alpha) == hosts).mean() < 0.4


def test_many_images_are_named_piece_by_piece(monkeypatch):
    whole = nearest_host(PLAIN, POOL)
    monkeypatch.setattr("fesf.scripts.audit.recipe_recovery.PIECE", 7)
    np.testing.assert_array_equal(nearest_host(PLAIN, POOL), whole)


@pytest.mark.parametrize("half", [2, 3, 6])
def test_the_band_ends_where_the_spread_changes(half):
    alpha = (half + 0.5) / 32
    seen = hide(PLAIN, POOL[0], alpha)
    found, t = band_edge(spread(seen), (32, 32))
    assert found == half / 32
    assert t > 10
    hosts = np.arange(60) % 8
    seen = np.concatenate([hide(PLAIN[[index]], POOL[host], alpha) for index, host in enumerate(hosts)])
    assert band_edge(spread(seen, POOL[hosts]), (32, 32))[0] == half / 32


def test_where_there_is_no_edge_none_is_named():
    found, t = band_edge(np.random.default_rng(3).normal(size=(32, 17)), (32, 32))
    assert found == 0.5
    assert t < 5


@pytest.mark.parametrize("beta", [0.2, 0.5, 0.8])
def test_beta_is_read(beta):
    rng = np.random.default_rng(4)
    plain, public = rng.rayleigh(1.0, (60, 40)), rng.rayleigh(1.0, (50, 40))
    hosts = rng.rayleigh(1.0, (60, 40))
    mixed = (1 - beta) * hosts + beta * plain
    assert smallest_ratio(mixed, hosts) == pytest.approx(beta, abs=0.03)
    assert regressed(mixed, hosts, public) == pytest.approx(beta, abs=0.05)
    assert regressed(mixed[:, :1], hosts[:, :1], public[:, :1]) == pytest.approx(beta, abs=0.15)
