"""Means, intervals and differences, beside scikit-learn and numpy."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, roc_auc_score

from fesf.scripts.data.outcome import Outcome
from fesf.scripts.federated.summary import document, summarise


def outcome(seed: int, skill: float, count: int = 60, labels: np.ndarray | None = None) -> Outcome:
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2 if labels is None else labels
    noise = np.random.default_rng([seed, int(100 * skill)]).normal(size=len(labels))
    score = 1 / (1 + np.exp(-(skill * (2 * labels - 1) + noise)))
    groups = [f"p{number}" for number in rng.integers(0, 20, len(labels))]
    return Outcome(list(range(len(labels))), groups, labels, np.stack([1 - score, score], 1), (score > 0.5).astype(int))


def two_patients() -> Outcome:
    labels = np.array([0, 0, 1, 1])
    scores = np.array([0.2, 0.4, 0.3, 0.9])
    return Outcome([0, 1, 2, 3], ["p", "p", "q", "q"], labels, np.stack([1 - scores, scores], 1), labels)


def test_means_and_spreads_over_runs() -> None:
    runs = [{"a": outcome(seed, 1.0), "b": outcome(seed, 0.2)} for seed in range(3)]
    found = summarise(runs, "a")
    for arm in "ab":
        auc = [roc_auc_score(run[arm].labels, run[arm].probabilities[:, 1]) for run in runs]
        accuracy = [accuracy_score(run[arm].labels, run[arm].decisions) for run in runs]
        for name, values in (("auc", auc), ("accuracy", accuracy)):
            figure = found["arms"][arm][name]
            assert figure["value"] == pytest.approx(np.mean(values))
            assert figure["sd"] == pytest.approx(np.std(values, ddof=1))
            assert figure["low"] < figure["value"] < figure["high"]
            assert figure["runs"] == 3
    for name in ("auc", "accuracy"):
        difference = found["differences"]["b"][name]
        assert difference["value"] == pytest.approx(
            found["arms"]["a"][name]["value"] - found["arms"]["b"][name]["value"]
        )
    assert set(found["differences"]) == {"b"}
    assert found["differences"]["b"]["auc"]["low"] > 0


def test_an_arm_less_itself_is_nothing() -> None:
    one = outcome(0, 0.5)
    found = summarise([{"a": one, "b": one}], "a")["differences"]["b"]["auc"]
    assert (found["value"], found["low"], found["high"], found["sd"]) == (0, 0, 0, None)


def test_the_interval_draws_patients() -> None:
    """One patient with all images wide apart from the rest: drawing images would give a narrower interval."""
    labels = np.tile([0, 1], 30)
    one = outcome(1, 0.5, labels=labels)
    apart = Outcome(one.rows, [str(row) for row in one.rows], one.labels, one.probabilities, one.decisions)
    together = Outcome(one.rows, [str(row // 20) for row in one.rows], one.labels, one.probabilities, one.decisions)
    by_image, by_patient = (summarise([{"a": each}], "a")["arms"]["a"]["auc"] for each in (apart, together))
    assert by_image["value"] == by_patient["value"]
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(1000):
        chosen = rng.integers(0, 60, 60)
        draws.append(roc_auc_score(labels[chosen], one.probabilities[chosen, 1]))
    assert (by_image["low"], by_image["high"]) == pytest.approx(np.quantile(draws, [0.025, 0.975]), abs=0.02)
    assert abs(by_patient["low"] - by_image["low"]) > 0.01


def test_draws_without_a_class_are_left_out_of_their_run_alone() -> None:
    """Two patients of one class each: half of the draws have no AUC; the other run's count as many."""
    few = two_patients()
    found = summarise([{"a": few}, {"a": outcome(0, 0.5)}], "a")["arms"]["a"]["auc"]
    assert found["runs"] == 2
    assert found["low"] < found["value"] < found["high"]
    alone = summarise([{"a": few}], "a")["arms"]["a"]["auc"]
    assert alone["low"] == alone["high"] == alone["value"] == 0.75


def test_few_draws_that_define_a_metric_give_no_interval() -> None:
    """Three patients of a class each: 2 of 9 draws have all three, and each of them is the whole test set again."""
    labels = np.array([0, 1, 2])
    one = Outcome([0, 1, 2], ["p", "q", "r"], labels, np.eye(3), labels)
    figure = summarise([{"a": one}], "a")["arms"]["a"]["auc"]
    assert (figure["value"], figure["low"], figure["high"], figure["runs"]) == (1.0, None, None, 1)


def test_a_metric_that_no_run_defines_is_none() -> None:
    one = outcome(0, 0.5, labels=np.ones(10, int))
    found = summarise([{"a": one}], "a")["arms"]["a"]
    assert found["auc"] == {"value": None, "sd": None, "low": None, "high": None, "runs": 0}
    assert found["accuracy"]["value"] is not None
    mixed = summarise([{"a": one}, {"a": outcome(0, 0.5)}], "a")["arms"]["a"]
    assert mixed["auc"]["runs"] == 1
    assert mixed["accuracy"]["runs"] == 2


def test_arms_on_other_images_are_refused() -> None:
    one, shorter = outcome(0, 0.5), outcome(0, 0.5, count=58)
    flipped = Outcome(one.rows, one.groups, 1 - one.labels, one.probabilities, one.decisions)
    for other in (shorter, flipped):
        with pytest.raises(ValueError, match="tested on different images"):
            summarise([{"a": one, "b": other}], "a")
    with pytest.raises(ValueError, match="no run"):
        summarise([], "a")


def test_a_document_holds_parts_and_runs() -> None:
    one = outcome(0, 0.5)
    single = outcome(0, 0.5, labels=np.ones(4, int))
    found = document([{"a": {"both": one, "site-1": single}, "b": {"both": one, "site-1": single}}], "a")
    assert set(found["parts"]) == {"both", "site-1"}
    assert found["runs"][0]["tested"]["both"] == {"images": 60, "patients": len(set(one.groups))}
    assert found["runs"][0]["arms"]["b"]["site-1"]["auc"] is None
    assert found["runs"][0]["arms"]["b"]["both"]["auc"] == pytest.approx(float(one.metrics()["auc"][0]))
