from __future__ import annotations

import doctest
from typing import Any

import pytest

from fesf.scripts.federated import page
from fesf.scripts.federated.page import cell, verdict


def figure(value: float | None, low: float | None, high: float | None) -> dict[str, Any]:
    return {"value": value, "sd": None, "low": low, "high": high, "runs": 1}


def test_examples() -> None:
    result = doctest.testmod(page)
    assert result.attempted
    assert not result.failed


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.01, 0.3, "better than"), (-0.3, -0.01, "worse than"), (-0.1, 0.2, "not told apart from")],
)
def test_the_sentence_follows_the_interval(low: float, high: float, words: str) -> None:
    (line,) = verdict("demo", {"pooled": {"auc": figure((low + high) / 2, low, high)}}, {"pooled": (2, 3)})
    assert line.startswith(f"- demo: federated is {words} pooled (AUC ")
    assert line.endswith("; above it in 2 of 3 runs).")


def test_without_an_interval_nothing_is_said() -> None:
    assert verdict("demo", {"pooled": {"auc": figure(None, None, None)}}, {}) == []
    assert cell(figure(0.5, None, None)) == "0.500"
