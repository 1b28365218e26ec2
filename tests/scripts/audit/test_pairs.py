"""Pairs that a verifier compares."""

from __future__ import annotations

import numpy as np
import pytest

from fesf.scripts.audit.pairs import halves, pooled_by_patient, rank_1, verification_pairs
from fesf.scripts.audit.scene import Images


def images(labels, patients, studies) -> Images:
    stack = np.zeros((len(labels), 2, 2))
    return Images(stack, stack, np.array(labels), np.array(patients), np.array(studies))


SIX = images([0, 0, 0, 0, 0, 1], [1, 1, 1, 2, 3, 1], [1, 1, 2, 3, 4, 5])
LIKENESS = np.arange(36.0).reshape(6, 6)


def test_pairs_are_of_other_studies_and_one_label_and_patients_weigh_the_same():
    found = verification_pairs(LIKENESS, SIX)
    listed = {(int(value // 6), int(value % 6)) for value in found.likeness}
    assert not {(0, 1), (1, 0)} & listed  # one study
    assert all(5 not in pair for pair in listed)  # another label
    assert {(0, 2), (2, 0), (1, 2), (2, 1)} == {(int(v // 6), int(v % 6)) for v in found.likeness[found.positive]}
    assert found.weight[found.positive].sum() == pytest.approx(1.0)
    for stranger in (2, 3):
        both = (found.first == 1) & (found.second == stranger) | (found.first == stranger) & (found.second == 1)
        assert found.weight[both].sum() == pytest.approx(1.0)
        assert both.sum() == 6
    once = verification_pairs(LIKENESS, SIX, once=True)
    assert len(once.likeness) * 2 == len(found.likeness)


def test_a_set_without_pairs_cannot_be_measured():
    with pytest.raises(ValueError, match="cannot measure re-identification"):
        verification_pairs(LIKENESS[:2, :2], images([0, 0], [1, 2], [1, 2]))
    with pytest.raises(ValueError, match="cannot measure re-identification"):
        verification_pairs(LIKENESS[:2, :2], images([0, 0], [1, 1], [1, 2]))


def test_rank_1_is_of_patients():
    likeness = np.zeros((6, 6))
    likeness[0, 2] = likeness[1, 2] = likeness[2, 3] = 1
    hits, share = rank_1(likeness, SIX)
    assert hits == pytest.approx(2 / 3)
    assert share == pytest.approx((1 / 3 + 1 / 3 + 2 / 4) / 3)


def test_halves_share_no_study():
    here, there, patients, labels = halves(SIX, 0)
    assert (patients.tolist(), labels.tolist()) == ([1], [0])
    assert sorted([*here[0], *there[0]]) == [0, 1, 2]
    assert not np.intersect1d(SIX.studies[here[0]], SIX.studies[there[0]]).size


def test_pooling_helps_where_noise_is_independent():
    rng = np.random.default_rng(0)
    persons = np.repeat(np.arange(40), 8)
    many = images(persons % 2, persons, np.arange(320))
    noisy = rng.normal(size=(40, 20))[persons] + 2.5 * rng.normal(size=(320, 20))
    noisy /= np.linalg.norm(noisy, axis=1, keepdims=True)
    single, _ = rank_1(noisy @ noisy.T, many)
    found = pooled_by_patient(noisy, noisy, many)
    assert found["rank_1_pooled"] > single + 0.1
    assert found["auc_pooled"] > 0.85
    assert found["rank_1_pooled_chance"] == pytest.approx(1 / 20)
    assert found["patients_pooled"] == 40


def test_one_patient_alone_cannot_be_pooled():
    vectors = np.eye(6)
    assert pooled_by_patient(vectors, vectors, SIX) == {}
    two = images([0, 0, 1, 1], [1, 1, 2, 2], [1, 2, 3, 4])  # of two labels: nobody to be told from
    assert pooled_by_patient(np.eye(4), np.eye(4), two) == {}
