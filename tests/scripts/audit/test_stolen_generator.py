"""Who runs the generator sees through what it changed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fesf.scripts.audit.attack import run_attack
from fesf.scripts.audit.host_recovery import HostRecovery
from fesf.scripts.audit.stolen_generator import HostThroughGenerator, StolenUNetInversion


def test_the_host_is_named_through_the_second_pass(make_generated):
    scene = make_generated(known=10)
    stolen = run_attack(HostThroughGenerator(), scene)
    alone = run_attack(HostRecovery(), scene, conditions=("store",))
    assert stolen.faults() == []
    assert stolen.summary()["store"]["value"] > 0.9
    assert alone.summary()["store"]["value"] < 0.2  # the generator mirrored it
    assert not [name for name in stolen.scores["store"].details if name.startswith("beta")]


def test_thieves_own_pairs_are_the_stores(make_generated):
    scene = make_generated(known=10)
    lessons, typical = StolenUNetInversion()._lessons(scene)
    np.testing.assert_array_equal(lessons.seen, scene.pipeline(scene.pool, scene.host))
    np.testing.assert_array_equal(lessons.plain, scene.pool)
    np.testing.assert_array_equal(typical, scene.pool.mean(0))
    shown = StolenUNetInversion().condition(scene, "plaintext", 0)
    np.testing.assert_array_equal(shown.victims.seen, scene.victims.plain)


@pytest.mark.parametrize("attack", [HostThroughGenerator(), StolenUNetInversion()], ids=lambda a: a.name)
def test_without_a_generator_there_is_nothing_to_steal(make_scene, make_generated, attack):
    with pytest.raises(ValueError, match="hidden once: no generator took part"):
        run_attack(attack, make_scene())
    with pytest.raises(ValueError, match="is not at hand"):
        run_attack(attack, replace(make_generated(known=10), pipeline=None))
