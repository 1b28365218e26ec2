"""Guesses are mended until the pipeline makes the surrogate of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fesf.scripts.audit.attack import run_attack
from fesf.scripts.audit.chosen_plaintexts import ChosenPlaintexts
from fesf.scripts.audit.self_made_amplitude import Reading
from fesf.scripts.audit.simulation import AdaptiveQueries, StolenGenerator, carrying, simulated
from fesf.scripts.audit.spectra import band_amplitude

from .conftest import ALPHA, bodies


def test_an_image_carries_what_it_shall():
    carrier, other = bodies(np.random.default_rng(1), 2)
    made = carrying(band_amplitude(other[None], ALPHA), carrier, ALPHA)
    spectrum, theirs, carriers = (np.fft.fft2(image) for image in (made[0], other, carrier))
    low = np.abs(np.fft.fftfreq(32) * 32) <= np.floor(ALPHA * 32)
    band = low[:, None] & low
    assert ((made >= 0) & (made <= 1)).all()
    np.testing.assert_allclose(abs(spectrum[band]), abs(theirs[band]), rtol=1e-6)
    np.testing.assert_allclose(spectrum[~band], carriers[~band], atol=1e-6)


def test_adaptive_queries_see_through_the_generator(make_generated):
    scene = make_generated(known=10)
    result = run_attack(AdaptiveQueries(), scene)
    assert result.faults() == []
    found, details = result.summary()["store"], result.scores["store"].details
    fixed = run_attack(ChosenPlaintexts(), scene, conditions=("store",)).summary()["store"]
    assert found["value"] > details["first_guess"] + 0.1
    assert found["value"] > fixed["value"] + 0.1
    assert result.summary()["permuted"]["high"] < 0.05


def test_more_queries_come_closer(make_generated):
    scene = make_generated(known=10)
    attack = AdaptiveQueries()
    fitted = attack.fit(scene)
    (few, far), (_, near) = (simulated(fitted, scene, steps) for steps in (1, 12))
    assert (near <= far).all()
    assert near.mean() < far.mean() / 2
    assert few.shape == (80, band_amplitude(scene.host[None], ALPHA).shape[1])


def test_cutting_off_guesses_costs_nothing_and_no_step_makes_it_worse(make_scene):
    scene = make_scene(known=10)
    stark = replace(scene, scheme=lambda plain: plain, pool=(scene.pool > 0.5).astype(float))
    shown = replace(stark, victims=scene.victims.showing(scene.victims.plain))
    truth = band_amplitude(scene.victims.plain, ALPHA)
    exact = Reading(np.ones(truth.shape[1]), np.zeros(truth.shape[1]), solves=False)
    np.testing.assert_allclose(simulated(exact, shown, 2)[0], truth, atol=1e-9)
    wild = Reading(5 * exact.slope, exact.offset, solves=False)
    missed = [simulated(wild, shown, steps)[1] for steps in (1, 2, 5)]
    assert (missed[0] >= missed[1]).all()
    assert (missed[1] >= missed[2]).all()


def test_thieves_run_what_they_stole(make_generated, make_scene):
    scene = make_generated(known=10)
    result = run_attack(StolenGenerator(steps=8), scene, conditions=("store", "plaintext"))
    asked = run_attack(AdaptiveQueries(steps=8), scene, conditions=("store",))
    assert result.summary()["store"] == asked.summary()["store"]
    assert result.summary()["plaintext"]["value"] > 0.999  # though guesses are cut off at 0 and 1
    with pytest.raises(ValueError, match="there are no weights to steal"):
        run_attack(StolenGenerator(), make_scene())
    with pytest.raises(ValueError, match="is not at hand"):
        run_attack(StolenGenerator(), replace(scene, pipeline=None))
