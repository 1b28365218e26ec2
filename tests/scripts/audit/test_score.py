"""Scores: a mean over patients with its interval."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from fesf.scripts.audit.score import Score, placements, pooled


def test_a_patient_with_many_images_counts_once():
    score = Score(np.array([1.0, 1.0, 1.0, 0.0]), np.array([7, 7, 7, 9]), chance=0.25)
    assert score.by_patient().tolist() == [1.0, 0.0]
    found = score.summary()
    assert (found["value"], found["chance"], found["images"], found["patients"]) == (0.5, 0.25, 4, 2)


def test_the_interval_is_that_of_a_mean_of_patients():
    values = np.random.default_rng(1).normal(3.0, 2.0, 400)
    found = Score(values, np.arange(400), chance=0.0).summary()
    half = 1.96 * values.std() / 20  # normal approximation
    assert found["low"] == pytest.approx(values.mean() - half, abs=0.03)
    assert found["high"] == pytest.approx(values.mean() + half, abs=0.03)


def test_equal_values_have_no_width():
    found = Score(np.ones(5), np.arange(5), chance=0.0).summary(seed=3)
    assert (found["low"], found["value"], found["high"]) == (1.0, 1.0, 1.0)


def test_pooled_draws_average_within_a_patient():
    first = Score(np.array([1.0, 0.0]), np.array([0, 1]), 0.2, 1.0, {"x": 1.0})
    second = Score(np.array([0.0, 0.0]), np.array([0, 1]), 0.4, 1.0, {"x": 3.0})
    both = pooled([first, second])
    assert both.by_patient().tolist() == [0.5, 0.0]
    assert (both.chance, both.best, both.details) == (pytest.approx(0.3), 1.0, {"x": 2.0})
    assert pooled([first]) is first


@pytest.mark.parametrize(
    ("values", "patients", "message"),
    [
        ([], [], "at least one image"),
        ([1.0], [1, 2], r"values \(1,\) and patients \(2,\)"),
        ([np.nan], [1], "not finite"),
    ],
)
def test_what_is_no_score_is_refused(values, patients, message):
    with pytest.raises(ValueError, match=message):
        Score(np.array(values), np.array(patients), 0.0)


def test_placements_by_hand() -> None:
    values, answers = np.array([3.0, 1.0, 2.0, 2.0]), np.array([1, 0, 1, 0])
    # 3 beats both zeros; 1 loses to both ones; 2 beats 1 and ties with 2, as the other 2 loses to 3 and ties with 2
    np.testing.assert_allclose(placements(values, answers), [1, 1, 0.75, 0.75])


def test_their_mean_is_the_area() -> None:
    rng = np.random.default_rng(0)
    values, answers = rng.integers(0, 6, 60).astype(float), rng.integers(0, 2, 60)
    found, area = placements(values, answers), roc_auc_score(answers, values)
    for answer in (0, 1):
        assert found[answers == answer].mean() == pytest.approx(area)
