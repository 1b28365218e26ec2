"""The gateway's answers to public images say how it answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fesf.scripts.audit.attack import run_attack
from fesf.scripts.audit.chosen_plaintexts import ChosenPlaintexts, guided_lines
from fesf.scripts.audit.self_made import pairs_of
from fesf.scripts.audit.self_made_amplitude import SelfMadeAmplitude

from .conftest import BETA, bodies, hide

POOL = bodies(np.random.default_rng(9), 60)


@pytest.fixture
def scene(make_scene):
    """Hidden once; the attacker is not told by what, so the scene's own host is wrong."""
    made = make_scene(known=20)
    return replace(made, pool=POOL, pipeline=lambda plain, host: hide(plain, host))


def test_few_answers_through_one_pass_are_enough(scene):
    values = {}
    for queries in (1, 2, 8):
        result = run_attack(ChosenPlaintexts(queries=queries), scene)
        values[queries] = result.summary()["store"]["value"]
        assert ("beta" in result.scores["store"].details) == (queries > 1)
    assert result.faults() == []
    assert 0 < values[1] < values[8]
    assert values[8] > 0.9
    found = result.scores["store"].details
    assert found["alpha_bins_off"] == 0
    assert found["beta"] == pytest.approx(BETA, abs=0.03)
    assert found["host_relative_error"] < 0.03


def test_neither_host_nor_recipe_is_used(scene):
    attack = ChosenPlaintexts(queries=8)
    blind = replace(
        scene, host=np.zeros_like(scene.host), beta=0.123, pipeline=lambda plain, _: hide(plain, scene.host)
    )
    for one, other in zip(vars(attack.fit(blind)).values(), vars(attack.fit(scene)).values(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_answers_know_the_generator_and_self_made_pairs_do_not(make_generated):
    scene = make_generated(known=20)
    asked, alone = (run_attack(attack, scene) for attack in (ChosenPlaintexts(), SelfMadeAmplitude()))
    assert asked.faults() == []
    assert asked.summary()["store"]["value"] > alone.summary()["store"]["value"] + 0.05


def test_lines_by_hand():
    """Many answers give least squares; one gives a line through it with the slope of the spreads."""
    rng = np.random.default_rng(0)
    plain = bodies(rng, 30)
    store = 0.5 * plain + 0.1  # spreads half as much as public images
    seen = 0.25 * plain + 0.3
    slope, offset = guided_lines(pairs_of(np.tile(seen, (200, 1, 1)), np.tile(plain, (200, 1, 1))), store, plain, 0.1)
    np.testing.assert_allclose(slope, 4.0, rtol=0.01)
    slope, offset = guided_lines(pairs_of(seen[:1], plain[:1]), store, plain, 0.1)
    np.testing.assert_allclose(slope, 2.0)
    np.testing.assert_allclose(slope[0] * abs(seen[0].sum()) + offset[0], plain[0].sum())


def test_more_than_the_pool_cannot_be_sent(scene):
    for count in (61, 0):
        with pytest.raises(ValueError, match=f"^The public pool has 60 images: {count} cannot be sent"):
            ChosenPlaintexts(queries=count).fit(scene)
