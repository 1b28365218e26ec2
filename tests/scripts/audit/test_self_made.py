"""Pairs that an attacker makes are made as the hospital makes its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fesf.scripts.audit.controls import condition
from fesf.scripts.audit.self_made import made, one_pass, self_made
from fesf.scripts.audit.spectra import band_amplitude

from .conftest import BETA, hide


def test_one_pass_is_the_formula(make_scene):
    scene = make_scene()
    expected = hide(scene.pool, scene.host)
    np.testing.assert_allclose(one_pass(scene, scene.pool, levels=255), expected, atol=1.01 / 255)
    assert (np.abs(one_pass(scene, scene.pool, levels=255) - expected) < 1e-9).mean() > 0.99
    bright = one_pass(scene, scene.pool * 3, clip=False)
    assert bright.max() > 1.2
    np.testing.assert_allclose(one_pass(scene, scene.pool * 3), bright.clip(0, 1), atol=1e-12)
    assert one_pass(scene, scene.pool[:0]).shape == (0, 32, 32)


def test_pairs_are_the_pools(make_scene):
    scene = make_scene()
    pairs = self_made(scene)
    np.testing.assert_array_equal(pairs.plain, scene.pool)
    np.testing.assert_array_equal(pairs.seen, one_pass(scene, scene.pool, levels=255))
    assert not set(pairs.patients) & (set(scene.known.patients) | set(scene.victims.patients))
    assert (pairs.labels == -1).all()


def test_after_a_second_pass_the_attacker_hides_twice(make_scene):
    scene = replace(make_scene(), stage="surrogate", levels=65535)
    band = [band_amplitude(images, 0.1) for images in (made(scene, scene.pool), scene.host[None], scene.pool)]
    first, share = (1 - BETA) ** 2, 1 - (1 - BETA) ** 2
    np.testing.assert_allclose(band[0], first * band[1] + share * band[2], rtol=0.02, atol=0.3)
    assert np.abs(band[0] - (1 - BETA) * band[1] - BETA * band[2]).max() > 3  # what one pass would give


def test_under_a_control_the_attacker_runs_its_scheme(make_scene):
    scene = make_scene()
    np.testing.assert_array_equal(made(condition(scene, "plaintext", "additive mixing"), scene.pool), scene.pool)
    mixed = made(condition(scene, "broken", "additive mixing"), scene.pool)
    np.testing.assert_allclose(mixed, (scene.pool + scene.host) / 2)
    pixels = condition(scene, "broken", "pixel permutation", seed=3)
    order = np.random.default_rng(3).permutation(32 * 32)  # the same key as the store's
    np.testing.assert_array_equal(made(pixels, scene.pool).reshape(5, -1), scene.pool.reshape(5, -1)[:, order])
    for name in ("permuted", "store"):
        same = made(condition(scene, name, "additive mixing"), scene.pool)
        np.testing.assert_array_equal(same, one_pass(scene, scene.pool, levels=255))
