"""People are linked by the nearest image of another study."""

from __future__ import annotations

import numpy as np
import pytest

from fesf.scripts.audit.attack import run_attack
from fesf.scripts.audit.nearest import NearestNeighbour, candidates, match
from fesf.scripts.audit.scene import Images


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
    for gallery in ("plaintext", "store"):
        result = run_attack(NearestNeighbour(gallery), make_scene(likeness=0.95))
        assert result.faults() == []
        assert result.summary()["store"]["value"] > 0.5
        assert result.summary()["store"]["chance"] == pytest.approx(1 / 39, abs=0.002)


def test_a_set_of_single_studies_cannot_measure_linkage(make_scene):
    scene = make_scene()
    single = scene.victims.take(np.arange(40))
    with pytest.raises(ValueError, match="cannot measure re-identification"):
        NearestNeighbour().score(None, type(scene)(scene.known, single, scene.host, scene.pool, 0.1, 0.5))
    with pytest.raises(ValueError, match="choose plaintext or store"):
        NearestNeighbour(gallery="moon")
