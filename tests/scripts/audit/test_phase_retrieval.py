"""Amplitudes of a store do not say where things are; a start that knows the anatomy makes something of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fesf.scripts.audit.attack import run_attack
from fesf.scripts.audit.phase_retrieval import PhaseRetrieval, doubled, spread_out
from fesf.scripts.audit.spectra import band_amplitude, band_mask

from .conftest import bodies

SMALL = {"victims": 4, "starts": 2, "steps": 400}


@pytest.fixture
def scene(make_scene):
    """Public images are of the same kind as the plaintexts."""
    return replace(make_scene(), pool=bodies(np.random.default_rng(9), 80))


def test_noise_finds_nothing_in_a_store_and_the_image_where_it_must(scene):
    result = run_attack(PhaseRetrieval(**SMALL), scene)
    assert result.faults() == []
    assert result.verdict() == "failed"
    summary = result.summary()
    assert summary["plaintext"]["value"] > 5
    assert summary["store"]["images"] == summary["store"]["patients"] == 4
    assert summary["store"]["value"] < 0
    details = result.scores["store"].details
    assert details["psnr"] - details["psnr_aligned_mean_image"] == pytest.approx(summary["store"]["value"])
    [best, *_] = result.shown["pictures"]
    assert best["value"] == result.scores["store"].values.max()


def test_the_mean_image_lends_its_phase(scene):
    attacks = {start: PhaseRetrieval(**SMALL, start=start) for start in ("noise", "mean")}
    gains = {}
    for start, attack in attacks.items():
        made = attack.condition(scene, "store", 0)
        gains[start] = attack.score(attack.fit(made), made)
    assert gains["mean"].values.mean() > gains["noise"].values.mean() + 1
    assert gains["mean"].details["amplitudes_missed"] < 1e-2
    np.testing.assert_array_equal(gains["mean"].patients, gains["noise"].patients)


def test_controls_are_padded_images_in_all_frequencies(scene):
    attack = PhaseRetrieval(**SMALL)
    shown, hidden = (attack.condition(scene, name, 0) for name in ("plaintext", "broken"))
    for made in (shown, hidden):
        assert made.victims.plain.shape == (4, 64, 64)
        assert (made.victims.plain[:, 32:] == 0).all()
        truth = band_amplitude(made.victims.plain, 0.5)
        found = attack.fit(made).read(made.victims.seen, made)
        np.testing.assert_allclose(found, truth, atol=0.02 * truth.max())
    np.testing.assert_array_equal(shown.victims.seen, shown.victims.plain)
    assert np.abs(hidden.victims.seen - hidden.victims.plain).max() > 0.1
    other = attack.condition(scene, "permuted", 0).victims
    own = attack.condition(scene, "store", 0).victims
    assert len(other) == len(own) == 4
    assert not np.array_equal(other.seen, own.seen)


def test_amplitudes_go_back_to_their_places():
    images = np.random.default_rng(1).random((3, 9, 8))
    placed = spread_out(band_amplitude(images, 0.3), (9, 8), 0.3)
    inside = band_mask((9, 8), 0.3)[:, :5]
    np.testing.assert_allclose(placed[:, inside], np.abs(np.fft.rfft2(images))[:, inside])
    assert (placed[:, ~inside] == 0).all()
    assert doubled(images).shape == (3, 18, 16)


def test_an_unknown_start_is_refused():
    with pytest.raises(ValueError, match="start='moon': choose noise or mean"):
        PhaseRetrieval(start="moon")
