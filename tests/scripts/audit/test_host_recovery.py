"""The recipe of a release is found, and only where it is there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fesf.scripts.audit.attack import run_attack
from fesf.scripts.audit.host_recovery import HostRecovery, hosts_of
from fesf.scripts.audit.run import measure

from .conftest import ALPHA, BETA, bodies, hide, smooth


@pytest.fixture
def scene(make_scene):
    """The host is one of a pool of 40, as in a release."""
    made = make_scene(victims=60)
    pool = np.concatenate([smooth(np.random.default_rng(7), 39), made.host[None]])
    return replace(made, pool=pool)


def test_the_recipe_is_found(scene):
    result = run_attack(HostRecovery(), scene)
    assert result.faults() == []
    assert result.verdict() == "succeeds"
    assert result.summary()["store"]["value"] == 1.0
    assert result.summary()["store"]["chance"] == 1 / 40
    store, many = result.scores["store"].details, result.scores["plaintext"].details
    assert store["named_of_the_average"] == 1.0
    for found in (store, many):
        assert found["alpha_bins_off"] == 0
        assert int(found["alpha"] * 32) == int(ALPHA * 32)
        assert found["named_by_spectrum_outside_the_band"] == 1.0
        assert found["beta"] == pytest.approx(BETA, rel=0.1)
        assert found["beta_relative_error"] == pytest.approx(abs(found["beta"] / BETA - 1))
    assert (store["hosts"], store["p_host_says_nothing_of_patient"]) == (1.0, 1.0)
    assert many["hosts"] > 30
    assert many["p_host_says_nothing_of_split"] > 0.01


def test_hosts_that_are_not_in_the_pool_are_not_named(scene):
    unknown = replace(scene, pool=smooth(np.random.default_rng(8), 40))
    with pytest.raises(ValueError, match="not in the public pool"):
        hosts_of(scene.victims, unknown)
    assert measure(HostRecovery(), unknown, 0)["verdict"].startswith(
        "cannot be measured: The host is not in the public"
    )
    one = replace(scene, pool=scene.host[None])
    assert measure(HostRecovery(), one, 0)["verdict"].startswith("cannot be measured: The public pool has one image")


def test_several_hosts_that_follow_the_patient_are_reported(scene):
    def hidden(images):
        hosts = images.patients % 40
        seen = [hide(plain[None], scene.pool[host]) for plain, host in zip(images.plain, hosts, strict=True)]
        return replace(images, seen=np.concatenate(seen), hosts=hosts)

    several = replace(scene, known=hidden(scene.known), victims=hidden(scene.victims))
    attack = HostRecovery()
    made = attack.condition(several, "store", 0)
    found = attack.score(attack.fit(made), made)
    assert found.values.mean() == 1.0
    assert found.details["hosts"] == 40
    assert found.details["p_host_says_nothing_of_patient"] < 0.01
    kept = made.victims.take(np.array([3, 1]))
    assert kept.hosts.tolist() == made.victims.hosts[[3, 1]].tolist()


def test_without_true_pairs_and_with_beta_0(scene):
    bare = replace(
        scene,
        known=scene.known.take(np.arange(0)),
        beta=0.0,
        victims=scene.victims.showing(
            np.round((scene.host + np.random.default_rng(1).normal(0, 0.01, scene.victims.seen.shape)).clip(0, 1) * 255)
            / 255
        ),
    )
    attack = HostRecovery()
    made = attack.condition(bare, "store", 0)
    found = attack.score(attack.fit(made), made)
    assert found.values.mean() == 1.0
    assert found.details["alpha"] == 0.5  # no band stands out
    assert found.details["named_by_spectrum_outside_the_band"] == 0.0
    assert "beta_relative_error" not in found.details
    for name in ("plaintext", "permuted"):
        assert len(attack.condition(bare, name, 0).known) == 0


def test_a_generators_image_is_in_nobodys_pool(scene):
    """Hidden last in an image that each surrogate has for itself: no host is named, and the band is still found."""
    images = scene.victims
    own = bodies(np.random.default_rng(11), len(images)) * 0.7 + 0.3 * smooth(np.random.default_rng(12), len(images))
    seen = np.concatenate([hide(plain[None], host) for plain, host in zip(images.plain, own, strict=True)])
    generated = replace(scene, victims=images.showing(seen), stage="surrogate", known=scene.known.take(np.arange(0)))
    attack = HostRecovery()
    made = attack.condition(generated, "store", 0)
    assert attack.score(attack.fit(made), made).values.mean() < 0.2
