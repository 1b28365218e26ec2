"""The ranking against a calculation by hand and against scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import entropy as scipy_entropy

from fesf.scripts.label.uncertainty import entropy, rank


def test_entropy_by_hand() -> None:
    """-(1/2 ln 1/2 + 1/4 ln 1/4 + 1/4 ln 1/4) = 3/2 ln 2; a certain prediction has none, a uniform one ln 3."""
    rows = np.array([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0], [1 / 3, 1 / 3, 1 / 3]])
    found = entropy(rows)
    assert found.tolist() == pytest.approx([1.5 * math.log(2), 0.0, math.log(3)], abs=1e-12)
    assert not np.signbit(found).any()


def test_entropy_is_scipys() -> None:
    logits = np.random.default_rng(0).normal(size=(50, 4))
    rows = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(entropy(rows), scipy_entropy(rows, axis=1), rtol=1e-12)


def test_the_least_certain_comes_first_and_equals_by_id() -> None:
    rows = np.array([[0.9, 0.1], [0.4, 0.6], [0.6, 0.4], [0.5, 0.5], [0.02, 0.98]])
    ranked = rank(["a", "c", "b", "d", "e"], rows)
    assert [item.id for item in ranked] == ["d", "b", "c", "a", "e"]
    assert ranked[1].entropy == pytest.approx(-(0.6 * math.log(0.6) + 0.4 * math.log(0.4)))


def test_nothing_to_rank() -> None:
    assert rank([], np.empty((0, 2))) == []


@pytest.mark.parametrize(
    "rows",
    [
        np.array([[0.5, 0.6]]),  # a sum above 1
        np.array([[2.0, -1.0]]),  # logits
        np.array([[np.nan, 1.0]]),
        np.array([0.5, 0.5]),  # one image without its row
        np.empty((0, 2)),
    ],
)
def test_what_is_no_distribution_is_refused(rows: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"softmax|one row of probabilities"):
        entropy(rows)


def test_one_prediction_an_image() -> None:
    with pytest.raises(ValueError, match="2 images and 1 predictions"):
        rank(["a", "b"], np.array([[0.5, 0.5]]))
