"""Metrics against scikit-learn and hand calculations; the bootstrap against its definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from fesf.scripts.engines.metrics import (
    METRICS,
    bootstrap,
    calibration,
    compute_metrics,
    confusion_matrix,
    majority_baseline,
)

LABELS = np.array([0, 0, 0, 1, 1])
SCORES = np.array([0.1, 0.4, 0.8, 0.4, 0.9])
BINARY = np.stack([1 - SCORES, SCORES], axis=1)


def sample(seed: int, count: int, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), generator.integers(0, classes, count - classes)])
    scores = np.round(generator.dirichlet(np.ones(classes), count), 1) + 0.01  # rounding makes ties
    probabilities = scores / scores.sum(1, keepdims=True)
    return labels, probabilities, probabilities.argmax(1)


def reference(labels: np.ndarray, probabilities: np.ndarray, decisions: np.ndarray, weights: np.ndarray | None) -> dict:
    """The same from scikit-learn, which takes one weighting at a time."""
    classes = probabilities.shape[1]
    average = "binary" if classes == 2 else "macro"
    specificities = [
        sk.recall_score(labels != k, decisions != k, sample_weight=weights)
        for k in ([1] if classes == 2 else range(classes))
    ]
    one_hot = np.eye(classes)[labels]
    squares = (probabilities[:, 1] - labels) ** 2 if classes == 2 else ((probabilities - one_hot) ** 2).sum(1)
    scores = probabilities[:, 1] if classes == 2 else probabilities
    return {
        "accuracy": sk.accuracy_score(labels, decisions, sample_weight=weights),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, decisions, sample_weight=weights),
        "auc": sk.roc_auc_score(labels, scores, sample_weight=weights, multi_class="ovr")
        if classes == 2
        else np.mean(
            [sk.roc_auc_score(labels == k, probabilities[:, k], sample_weight=weights) for k in range(classes)]
        ),
        "f1": sk.f1_score(labels, decisions, average=average, sample_weight=weights, zero_division=0),
        "sensitivity": sk.recall_score(labels, decisions, average=average, sample_weight=weights),
        "specificity": np.mean(specificities),
        "brier": np.average(squares, weights=weights),
    }


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("weighted", [False, True])
def test_agrees_with_scikit_learn(classes: int, weighted: bool) -> None:
    labels, probabilities, decisions = sample(classes, 60, classes)
    weights = np.random.default_rng(9).integers(0, 4, (3, 60)).astype(float) if weighted else None
    if weights is not None:
        weights[:, :classes] = 1  # keep every class
    values = compute_metrics(labels, probabilities, decisions, weights)
    for row in range(1 if weights is None else 3):
        expected = reference(labels, probabilities, decisions, None if weights is None else weights[row])
        for name, value in expected.items():
            assert values[name][row] == pytest.approx(value, abs=1e-12), name


def test_hand_calculation() -> None:
    decisions = (SCORES >= 0.5).astype(int)  # 0 0 1 0 1
    values = {name: value.item() for name, value in compute_metrics(LABELS, BINARY, decisions).items()}
    # Pairs (negative, positive): 0.4 beats 0.1, ties 0.4, loses to 0.8; 0.9 beats all: 1 + 0.5 + 0 + 3 of 6.
    assert values["auc"] == pytest.approx(4.5 / 6)
    assert values["accuracy"] == pytest.approx(3 / 5)
    assert values["sensitivity"] == pytest.approx(1 / 2)
    assert values["specificity"] == pytest.approx(2 / 3)
    assert values["balanced_accuracy"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert values["f1"] == pytest.approx(2 / 4)
    assert values["brier"] == pytest.approx((0.01 + 0.16 + 0.64 + 0.36 + 0.01) / 5)
    # Bins 0.1: |0.1 - 0|; 0.4: two images, |0.8 - 1|; 0.8: |0.8 - 0|; 0.9: |0.9 - 1|.
    assert values["ece"] == pytest.approx((0.1 + 0.2 + 0.8 + 0.1) / 5)
    assert confusion_matrix(LABELS, decisions, 2) == [[2, 1], [1, 1]]


def test_calibration_of_many_classes_is_of_the_decided_class() -> None:
    probabilities = np.array([[0.7, 0.2, 0.1], [0.3, 0.3, 0.4]])
    stated, happened = calibration(np.array([0, 1]), probabilities, np.array([0, 2]))
    assert stated.tolist() == [0.7, 0.4]
    assert happened.tolist() == [1.0, 0.0]
    values = compute_metrics(np.array([0, 1]), probabilities, np.array([0, 2]))
    assert values["ece"].item() == pytest.approx((0.3 + 0.4) / 2)


def test_probability_one_falls_into_the_last_bin() -> None:
    values = compute_metrics(np.array([0, 1]), np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0, 1]))
    assert values["ece"].item() == 0
    assert values["auc"].item() == 1


def test_one_class_leaves_metrics_undefined() -> None:
    values = compute_metrics(np.zeros(5, int), BINARY, np.zeros(5, int))
    assert np.isnan(values["auc"]).all()
    assert np.isnan(values["balanced_accuracy"]).all()
    result = bootstrap(np.zeros(5, int), BINARY, np.zeros(5, int), draws=10)
    assert result["auc"] == {"value": None, "low": None, "high": None}
    assert result["accuracy"]["value"] == 1


def test_bootstrap_is_the_resampled_metric() -> None:
    labels, probabilities, decisions = sample(1, 40, 2)
    result = bootstrap(labels, probabilities, decisions, draws=250, seed=5)
    generator = np.random.default_rng(5)
    draws: dict[str, list[float]] = {name: [] for name in ("accuracy", "auc", "ece")}
    for chunk in (100, 100, 50):
        for counts in generator.multinomial(40, np.full(40, 1 / 40), size=chunk):
            index = np.repeat(np.arange(40), counts)  # literally a sample with replacement
            values = compute_metrics(labels[index], probabilities[index], decisions[index])
            for name, column in draws.items():
                column.append(values[name].item())
    for name, column in draws.items():
        assert result[name]["low"] == pytest.approx(np.quantile(column, 0.025)), name
        assert result[name]["high"] == pytest.approx(np.quantile(column, 0.975)), name


def test_bootstrap_is_deterministic_by_seed() -> None:
    labels, probabilities, decisions = sample(2, 50, 3)
    first, again, other = (bootstrap(labels, probabilities, decisions, draws=200, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first["accuracy"]["low"] != other["accuracy"]["low"] or first["brier"]["low"] != other["brier"]["low"]
    assert set(first) == set(METRICS)


def test_patients_widen_intervals_of_copied_images() -> None:
    """Eight copies of each image say nothing new: intervals over patients stay, those over images shrink."""
    labels, probabilities, decisions = sample(3, 40, 2)
    patients = [str(index) for index in range(40) for _ in range(8)]
    copies = [np.repeat(array, 8, axis=0) for array in (labels, probabilities, decisions)]
    single = bootstrap(labels, probabilities, decisions, seed=0)["brier"]
    pooled = bootstrap(*copies, groups=patients, seed=0)["brier"]
    naive = bootstrap(*copies, seed=0)["brier"]
    width = {name: block["high"] - block["low"] for name, block in zip("spn", (single, pooled, naive), strict=True)}
    assert width["p"] == pytest.approx(width["s"], rel=0.15)
    assert width["n"] < 0.5 * width["p"]


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """80 data sets of 100 images whose accuracy is 0.8 in truth: 95 % intervals cover it in 72 to 80 of them."""
    generator = np.random.default_rng(0)
    covered = 0
    for repeat in range(80):
        labels = generator.integers(0, 2, 100)
        decisions = np.where(generator.random(100) < 0.8, labels, 1 - labels)
        block = bootstrap(labels, np.full((100, 2), 0.5), decisions, draws=200, seed=repeat)["accuracy"]
        covered += block["low"] <= 0.8 <= block["high"]
    assert 72 <= covered <= 80


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 6), st.integers(8, 40))
def test_values_stay_in_range(seed: int, classes: int, count: int) -> None:
    labels, probabilities, decisions = sample(seed, count, classes)
    for name, value in compute_metrics(labels, probabilities, decisions).items():
        assert 0 <= value.item() <= (2 if name == "brier" else 1), name


def test_majority_baseline() -> None:
    values = majority_baseline(np.array([0, 0, 0, 1]), [0.6, 0.4])
    assert values["accuracy"] == pytest.approx(0.75)
    assert values["balanced_accuracy"] == pytest.approx(0.5)
    assert values["auc"] == pytest.approx(0.5)
    assert values["sensitivity"] == 0
    assert values["specificity"] == 1
    assert values["brier"] == pytest.approx((3 * 0.16 + 0.36) / 4)
    assert values["ece"] == pytest.approx(0.15)


@pytest.mark.parametrize(
    ("labels", "decisions", "match"),
    [
        (np.zeros(4, int), np.zeros(5, int), r"labels.shape=\(4,\)"),
        (np.full(5, 2), np.zeros(5, int), r"lie in \[0, 2\)"),
        (np.full(5, -1), np.zeros(5, int), "num_classes=2"),
    ],
)
def test_bad_input(labels: np.ndarray, decisions: np.ndarray, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        compute_metrics(labels, BINARY, decisions)


def test_bad_confidence() -> None:
    with pytest.raises(ValueError, match="confidence=95 must lie in"):
        bootstrap(LABELS, BINARY, LABELS, confidence=95)
