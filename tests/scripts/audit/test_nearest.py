"""People are linked by the nearest image of another study."""

from __future__ import annotations

import numpy as np
import pytest

from fesf.scripts.audit.attack import run_attack
from fesf.scripts.audit.nearest import GatewayNeighbour, NearestNeighbour, candidates, match
from fesf.scripts.audit.other_release import other_release
from fesf.scripts.audit.scene import Images
from fesf.scripts.audit.spectra import log_amplitude, standardised


def test_people_are_matched_across_studies_and_within_labels():
    numbers = {"labels": [0, 0, 0, 0, 1], "patients": [1, 1, 1, 2, 1], "studies": [1, 1, 2, 3, 4]}
    stack = np.zeros((5, 2, 2))
    allowed, own = candidates(Images(stack, stack, **{name: np.array(values) for name, values in numbers.items()}))
    assert allowed[0].tolist() == [False, False, True, True, False]  # not its own study, not another label
    assert own[0].tolist() == [False, False, True, False, False]
    assert own.sum(1).tolist() == [1, 1, 2, 0, 0]
    likeness_to = np.array([[9.0, 8.0, 0.4, 0.5, 7.0], [0.0, 0.0, 0.6, 0.5, 7.0]])
    hits, share = match(likeness_to, allowed[[0, 1]], own[[0, 1]])
    assert (hits.tolist(), share.tolist()) == ([0.0, 1.0], [0.5, 0.5])


def test_patients_are_linked_through_the_store(make_scene):
    for gallery in ("plaintext", "store", "other release"):
        result = run_attack(NearestNeighbour(gallery), make_scene(likeness=0.95))
        assert result.faults() == []
        assert result.summary()["store"]["value"] > 0.5
        assert result.summary()["store"]["chance"] == pytest.approx(1 / 39, abs=0.002)


def test_the_gateway_makes_surrogates_of_what_is_known(make_generated):
    scene = make_generated(known=10)
    attack = GatewayNeighbour()
    assert run_attack(attack, scene).faults() == []
    same = attack.likeness(scene)
    assert (same.argmax(1) == np.arange(len(same))).all()  # of the very image it gives the store's very file
    np.testing.assert_allclose(same.diagonal(), 1)
    persons = attack.claims(None, scene).patients
    np.testing.assert_array_equal(persons, NearestNeighbour().claims(None, scene).patients)


def test_the_other_release_is_compared_where_both_have_a_band(make_scene):
    scene = make_scene()
    other = NearestNeighbour("other release").likeness(scene)
    shown = standardised(log_amplitude(other_release(scene, scene.victims), 0.8 * scene.alpha))
    np.testing.assert_allclose(other, standardised(log_amplitude(scene.victims.seen, 0.08)) @ shown.T)


def test_a_set_of_single_studies_cannot_measure_linkage(make_scene):
    scene = make_scene()
    single = scene.victims.take(np.arange(40))
    with pytest.raises(ValueError, match="cannot measure re-identification"):
        NearestNeighbour().score(None, type(scene)(scene.known, single, scene.host, scene.pool, 0.1, 0.5))
    with pytest.raises(ValueError, match="choose plaintext, store, other release"):
        NearestNeighbour(gallery="moon")
