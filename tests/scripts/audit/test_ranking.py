"""Areas under ROC curves, weighted by patient, with intervals over both sides of a pair."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from fesf.scripts.audit.ranking import AreaScore, Ranking, shares
from fesf.scripts.audit.score import pooled


def ranking(rng: np.random.Generator, count: int = 200, patients: int = 40, shift: float = 1.0) -> Ranking:
    positive = rng.random(count) < 0.4
    likeness = np.round(rng.normal(size=count) + shift * positive, 1)  # with ties
    sides = rng.integers(patients, size=(2, count))
    return Ranking(likeness, positive, *sides, rng.random(count))


def test_areas_are_sklearns_with_weights_and_ties():
    rng = np.random.default_rng(0)
    each = ranking(rng)
    counts = rng.integers(0, 3, (5, 40)).astype(float)
    for row, found in zip(counts, each.areas(counts), strict=True):
        twice = np.where(each.first == each.second, row[each.first], row[each.first] * row[each.second])
        expected = roc_auc_score(each.positive, each.likeness, sample_weight=each.weight * twice)
        assert found == pytest.approx(expected)
    assert np.isnan(each.areas(np.zeros((1, 40)))).all()


def test_the_interval_is_wider_where_pairs_share_patients():
    rng = np.random.default_rng(1)
    patients, quality = 30, np.random.default_rng(2).normal(1, 1, 30)
    first, second = (part.ravel() for part in np.meshgrid(np.arange(patients), np.arange(patients)))
    positive = first == second
    likeness = rng.normal(0, 1, patients**2) + positive * quality[first] * 2
    found = AreaScore((Ranking(likeness, positive, first, second, np.ones(patients**2)),), 30).summary()
    own = likeness[positive]
    each = np.array([(value > likeness[~positive]).mean() for value in own])
    half = 1.96 * each.std() / np.sqrt(patients)
    assert found["value"] == pytest.approx(each.mean(), abs=1e-6)
    assert found["high"] - found["low"] == pytest.approx(2 * half, rel=0.25)
    assert (found["images"], found["patients"], found["chance"]) == (30, 30, 0.5)


def test_shares_sum_to_one_in_each_group():
    assert shares(np.array([4, 4, 1])).tolist() == [0.5, 0.5, 1.0]


def test_draws_are_pooled():
    rng = np.random.default_rng(3)
    scores = [AreaScore((ranking(rng),), 10, chance, {"x": chance}) for chance in (0.4, 0.6)]
    both = pooled(scores)
    assert both.value == pytest.approx(np.mean([score.value for score in scores]))
    assert (both.images, both.chance, both.details) == (20, 0.5, {"x": 0.5})


def test_one_kind_is_no_ranking():
    numbers = np.arange(3)
    with pytest.raises(ValueError, match="both what is looked for and what is not"):
        Ranking(numbers.astype(float), np.ones(3, bool), numbers, numbers, np.ones(3))
