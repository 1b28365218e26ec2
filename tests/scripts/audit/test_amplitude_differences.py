"""What the store alone says of the difference of two patients."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fesf.scripts.audit.amplitude_differences import AmplitudeDifferences, cosine, strangers
from fesf.scripts.audit.attack import run_attack

from .conftest import hide


def test_differences_follow_from_the_store_alone(make_scene):
    scene = replace(make_scene(known=0), host=np.zeros((32, 32)), pool=np.zeros((1, 32, 32)))  # nothing of the recipe
    attack = AmplitudeDifferences()
    found = attack.score(attack.fit(scene), scene)
    assert found.values.mean() > 0.95
    assert found.details["relative_error_with_beta"] < 0.1
    assert run_attack(attack, make_scene(victims=120)).faults() == []


def test_after_a_second_pass_the_share_is_larger(make_scene):
    def twice(plain, host):
        first = hide(plain, host)
        return np.concatenate([hide(image[None], own) for image, own in zip(plain, first, strict=True)])

    attack, scene = AmplitudeDifferences(), make_scene(twice)
    errors = [
        attack.score(attack.fit(scene), replace(scene, stage=stage)).details["relative_error_with_beta"]
        for stage in ("surrogate", "synthetic")
    ]
    assert errors[0] < 0.1
    assert errors[1] == pytest.approx(0.5, abs=0.1)  # a share of 0.75, taken for 0.5


def test_with_beta_0_there_is_no_size(make_scene):
    scene = replace(make_scene(), beta=0.0)
    attack = AmplitudeDifferences()
    assert attack.score(attack.fit(scene), scene).details == {}


def test_strangers_are_of_the_same_label_where_there_are_any():
    labels, patients = np.array([0, 0, 0, 1, 1]), np.array([1, 1, 2, 3, 3])
    assert strangers(labels, patients, 0).tolist() == [2]
    assert strangers(labels, patients, 3).tolist() == [0, 1, 2]


def test_one_patient_has_nobody_to_differ_from(make_scene):
    scene = make_scene()
    alone = replace(scene, victims=scene.victims.take(np.flatnonzero(scene.victims.patients == 60)))
    with pytest.raises(ValueError, match="The victims are one patient"):
        AmplitudeDifferences().score(np.ones(10), alone)


def test_cosines():
    found = cosine(np.array([[3.0, 4.0], [1.0, 0.0], [0.0, 0.0]]), np.array([[6.0, 8.0], [0.0, 2.0], [1.0, 1.0]]))
    assert found == pytest.approx([1.0, 0.0, 0.0])
