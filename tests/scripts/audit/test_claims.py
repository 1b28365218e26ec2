"""Claims with a margin that is chosen on known patients."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import beta

from fesf.scripts.audit.claims import Claims, known_groups, linked, make_claims, margin_for
from fesf.scripts.audit.controls import condition
from fesf.scripts.audit.nearest import NearestNeighbour
from fesf.scripts.audit.same_image import SameImage


def test_the_margin_is_the_lead_over_the_best_of_anybody_else():
    likeness = np.array([[0.9, 0.8, 0.3], [0.1, 0.6, 0.5], [0.2, 0.1, 0.4]])
    allowed = np.array([[1, 1, 1], [1, 1, 1], [0, 0, 0]], dtype=bool)
    own = np.array([[1, 1, 0], [0, 0, 1], [0, 0, 0]], dtype=bool)
    found = make_claims(likeness, allowed, own, np.array([7, 7, 8]), np.array([7, 8, 9]))
    np.testing.assert_allclose(found.margins, [0.9 - 0.3, 0.6 - 0.5])  # the third has no candidate
    assert found.right.tolist() == [True, False]
    assert found.patients.tolist() == [7, 8]
    alone = make_claims(likeness[:1], allowed[:1], own[:1], np.array([7, 7, 7]), np.array([7]))
    assert alone.margins.tolist() == [-np.inf]  # nobody else to lead


def test_a_patient_makes_one_claim():
    claims = Claims(np.array([True, False, True]), np.array([0.1, 0.5, 0.2]), np.array([3, 3, 1]))
    boldest = claims.boldest()
    assert boldest.patients.tolist() == [1, 3]
    assert boldest.right.tolist() == [True, False]


@pytest.mark.parametrize(
    ("right", "expected"),
    [
        ([1] * 30, 1.0),  # all right: every margin will do
        ([1] * 19 + [0] + [1] * 10, 1.0),  # one in twenty wrong, and in thirty
        ([1] * 19 + [0, 0] + [1] * 9, 11.0),  # 19 of 20 at rank 20; never again 95 %
        ([0] + [1] * 12, None),  # never 95 % of ten or more
        ([1] * 9, None),  # too few to rest on
    ],
)
def test_the_margin_holds_its_precision_on_known_patients(right, expected):
    margins = np.arange(len(right), 0, -1).astype(float)
    claims = Claims(np.array(right, dtype=bool), margins, np.arange(len(right)))
    assert margin_for(claims) == expected


def test_claims_with_one_margin_stand_and_fall_together():
    claims = Claims(np.array([True] * 12 + [False] * 8), np.full(20, 0.5), np.arange(20))
    assert margin_for(claims) is None


def test_known_patients_are_divided_into_groups_like_the_victims(make_scene):
    scene = make_scene(known=60, victims=20)
    groups = list(known_groups(scene, 0))
    assert [len(np.unique(group.victims.patients)) for group in groups] == [20, 20, 20]
    met = np.concatenate([np.unique(group.victims.patients) for group in groups])
    assert sorted(met) == list(range(60))
    for group in groups:
        assert len(group.known) + len(group.victims) == len(scene.known)


def test_same_images_are_all_linked_and_exchanged_ones_are_not(make_scene):
    scene = make_scene()
    found = linked(SameImage(), None, scene)
    assert (found["patients"], found["claimed"], found["right"], found["wrong"]) == (40, 40, 40, 0)
    assert found["low"] == pytest.approx(beta.ppf(0.025, 40, 1))  # Clopper and Pearson
    assert found["high"] == 1
    nothing = linked(SameImage(), None, condition(scene, "permuted", "additive mixing"))
    assert (nothing["claimed"], nothing["right"], nothing["margin"]) == (0, 0, None)


@pytest.mark.parametrize("gallery", ["plaintext", "store"])
def test_neighbours_are_linked_where_studies_are_alike(make_scene, gallery):
    alike, apart = (linked(NearestNeighbour(gallery), None, make_scene(likeness=of)) for of in (0.95, 0.0))
    assert alike["right"] >= 35
    assert alike["wrong"] <= 2
    assert apart["right"] <= 2


def test_without_known_patients_nobody_is_claimed(make_scene):
    scene = make_scene()
    found = linked(SameImage(), None, replace(scene, known=scene.known.take(np.arange(0))))
    assert (found["claimed"], found["margin"], found["known_claims"]) == (0, None, 0)
