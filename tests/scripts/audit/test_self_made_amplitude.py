"""Amplitudes are read with pairs that the attacker made."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fesf.scripts.audit.attack import run_attack
from fesf.scripts.audit.self_made_amplitude import SelfMadeAmplitude

from .conftest import bodies, hide

POOL = bodies(np.random.default_rng(9), 60)


def dark(plain, host):
    """Hidden in a dark host, so that much is clipped."""
    return hide(plain, np.clip(2 * host - 0.7, 0, 1))


def test_nobodys_images_are_needed(make_scene):
    result = run_attack(SelfMadeAmplitude(), replace(make_scene(known=0), pool=POOL))
    assert result.faults() == []
    store, controls = result.scores["store"], result.summary()
    assert store.details["solves"] == 1.0
    assert store.details["relative_error"] < 0.02
    assert controls["store"]["value"] > 0.95
    assert controls["permuted"]["high"] < 0  # worse than the mean, as the attack says that it may be
    assert result.scores["plaintext"].details["relative_error"] < 1e-9


def test_clipping_is_undone_where_one_pass_hides(make_scene):
    scene = make_scene(dark)
    scene = replace(scene, host=np.clip(2 * scene.host - 0.7, 0, 1))
    attack = SelfMadeAmplitude()
    found = attack.score(attack.fit(scene), scene).details
    assert found["one_pass_float"] < 1e-9
    assert found["one_pass_clipped"] > 10 * found["one_pass_clipped_declipped"]
    assert found["one_pass_clipped_8_bit"] > 2 * found["one_pass_clipped_8_bit_declipped"]
    assert found["relative_error"] == pytest.approx(found["one_pass_clipped_8_bit_declipped"], rel=0.05)


def test_after_a_generator_lines_move_with_the_store(make_scene):
    def other(plain, host):
        """Twice, the second time in what another host made of it: a stand-in for the generator's image."""
        first = hide(plain, host[::-1].copy())
        return np.concatenate([hide(image[None], own) for image, own in zip(plain, first, strict=True)])

    scene = replace(make_scene(other), stage="surrogate", pool=POOL)
    result = run_attack(SelfMadeAmplitude(), scene)
    assert result.faults() == []
    assert result.scores["store"].details["solves"] == 0.0
    assert result.summary()["store"]["value"] > 0.5
    unmoved = SelfMadeAmplitude().fit(replace(scene, stage="synthetic"))
    assert SelfMadeAmplitude().score(unmoved, scene).values.mean() < result.summary()["store"]["value"] - 0.1


def test_where_nothing_is_mixed_the_lines_give_the_mean(make_scene):
    scene = replace(make_scene(lambda plain, host: np.broadcast_to(host, plain.shape).copy()), beta=0.0)
    found = SelfMadeAmplitude().score(SelfMadeAmplitude().fit(scene), scene)
    assert not any(name.startswith("one_pass") for name in found.details)
    assert np.abs(found.values).max() < 1e-6
