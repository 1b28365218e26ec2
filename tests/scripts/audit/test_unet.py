"""A U-Net corrects what ridge regression guesses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fesf.scripts.audit.attack import run_attack
from fesf.scripts.audit.inversion import psnr
from fesf.scripts.audit.self_made import self_made
from fesf.scripts.audit.unet import SelfMadeUNetInversion, UNetInversion, parted, views

from .conftest import bodies, hide

POOL = bodies(np.random.default_rng(9), 60)


def other(plain, host):
    """Half of the plaintext in pixels: what convolutions see and amplitudes do not say."""
    return np.round((host + plain) / 2 * 255) / 255


def test_the_network_adds_to_the_guess(make_scene):
    scene, attack = make_scene(other), UNetInversion(steps=120)
    fitted = attack.fit(scene)
    truth, made = scene.victims.plain, attack.reconstruct(fitted, scene)
    guess = attack.reconstruct(replace(fitted, trust=0.0), scene)
    assert 0.5 < fitted.trust <= 1
    assert (psnr(made, truth) - psnr(guess, truth)).mean() > 1
    np.testing.assert_array_equal(made, attack.reconstruct(attack.fit(scene), scene))  # by its seed


@pytest.mark.parametrize("attack", [UNetInversion(steps=60), SelfMadeUNetInversion(steps=60)], ids=lambda a: a.name)
def test_controls_work_and_surrogates_are_inverted_in_part(make_scene, attack):
    result = run_attack(attack, replace(make_scene(), pool=POOL))
    assert result.faults() == []
    assert {"trust", "gain_over_adjusted_mean", "auc_reconstruction"} <= result.scores["store"].details.keys()
    found = result.summary()
    assert 0.2 < found["store"]["value"] < found["plaintext"]["value"]


def test_nothing_is_trusted_where_nothing_can_be_learnt(make_scene):
    def blank(plain, host):
        return np.round((host + np.random.default_rng(5).normal(0, 0.01, plain.shape)).clip(0, 1) * 255) / 255

    scene, attack = make_scene(blank), UNetInversion(steps=40)
    fitted = attack.fit(scene)
    assert fitted.trust < 0.2
    assert abs(attack.score(fitted, scene).values.mean()) < 0.3


def test_self_made_pairs_are_of_the_pool_alone(make_scene):
    scene = replace(make_scene(known=0), pool=POOL)
    lessons, typical = SelfMadeUNetInversion()._lessons(scene)
    np.testing.assert_array_equal(lessons.plain, POOL)
    np.testing.assert_array_equal(lessons.seen, self_made(scene).seen)
    np.testing.assert_array_equal(typical, POOL.mean(0))


def test_the_views_hold_amplitudes_as_an_image():
    plain = bodies(np.random.default_rng(1), 2)
    host = plain[1]
    shown = views(hide(np.roll(plain, 5, axis=2), host), plain, 0.1)
    assert shown.shape == (2, 3, 32, 32)
    np.testing.assert_allclose(shown[0, 1, 16, 16], np.abs(shown[0, 1]).max())  # lag zero is in the middle
    np.testing.assert_allclose(np.fft.fft2(np.fft.ifftshift(shown[0, 1])).imag, 0, atol=1e-9)
    np.testing.assert_array_equal(shown[:, 2], plain)


def test_trust_is_chosen_on_other_patients(make_scene):
    taught, asked = parted(make_scene().known, 0)
    assert len(taught) + len(asked) == 120
    assert len(np.unique(asked.patients)) == 9
    assert not np.intersect1d(taught.patients, asked.patients).size


def test_sizes_that_cannot_be_halved_are_padded(make_scene):
    scene = make_scene()
    cut = replace(
        scene,
        host=scene.host[:27, :30],
        **{
            part: replace(images, seen=images.seen[:, :27, :30], plain=images.plain[:, :27, :30])
            for part, images in (("known", scene.known), ("victims", scene.victims))
        },
    )
    attack = UNetInversion(steps=2)
    assert attack.reconstruct(attack.fit(cut), cut).shape == (80, 27, 30)


def test_two_patients_are_too_few(make_scene):
    scene = make_scene()
    few = replace(scene, known=scene.known.take(np.flatnonzero(scene.known.patients < 2)))
    with pytest.raises(ValueError, match="fewer than three patients"):
        UNetInversion().fit(few)
