"""Membership: halves by patient, ratios and rates by hand, and an attack that learns by heart what it must."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import beta, norm

from fesf.scripts.audit import membership as module
from fesf.scripts.audit.attack import run_attack
from fesf.scripts.audit.membership import Halves, Membership, balanced_halves, exact_rate, likelihood_ratios
from fesf.scripts.audit.scene import Scene


def test_each_patient_trains_half_of_the_shadows_with_all_of_their_images() -> None:
    patients = np.repeat(np.arange(21), 3)
    halves = balanced_halves(patients, 7, 0)
    assert halves.shape == (7, 63)
    by_patient = halves.reshape(7, 21, 3)
    assert (by_patient == by_patient[:, :, :1]).all()
    assert (by_patient[1:, :, 0].sum(0) == 3).all()
    assert by_patient[0, :, 0].sum() == 10
    assert not np.array_equal(halves, balanced_halves(patients, 7, 1))


def test_ratios_by_hand() -> None:
    """Three images, four shadows; scipy's normal densities, means by image and one deviation for each side."""
    rng = np.random.default_rng(0)
    inside = np.array([[1, 0, 1], [1, 1, 0], [0, 1, 0], [0, 0, 1]], dtype=bool)
    shadows = rng.normal(size=(4, 3)) + 2 * inside
    target = np.array([2.0, 0.5, -1.0])
    halves = Halves(np.vstack([target, shadows]), np.vstack([[True] * 3, inside]), np.arange(3))
    means = [[shadows[side[:, i], i].mean() for i in range(3)] for side in (inside, ~inside)]
    spreads = [
        np.concatenate([shadows[side[:, i], i] - mean[i] for i in range(3)]).std()
        for side, mean in zip((inside, ~inside), means, strict=True)
    ]
    expected = norm.logpdf(target, means[0], spreads[0]) - norm.logpdf(target, means[1], spreads[1])
    np.testing.assert_allclose(likelihood_ratios(halves), expected)


def test_rates_with_exact_intervals() -> None:
    scores = np.array([9.0, 8.0, 3.0, 1.0, 7.0, 2.0, 0.0])
    members = np.array([1, 1, 1, 1, 0, 0, 0], dtype=bool)
    rate, low, high = exact_rate(scores, members, 0)
    assert rate == 0.5  # 9 and 8 lie above the largest of the others, 7
    assert low == pytest.approx(beta.ppf(0.025, 2, 3))
    assert high == pytest.approx(beta.ppf(0.975, 3, 2))
    assert exact_rate(scores, members, 1)[0] == 0.75  # 3 lies above 2


def test_members_of_an_overfitted_classifier_are_told(make_scene: Callable[..., Scene]) -> None:
    scene = make_scene(known=24, victims=16)
    outcome = run_attack(Membership(shadows=2), scene, conditions=("broken", "permuted"))
    found = outcome.summary()
    assert found["broken"]["low"] > 0.53  # how far above chance differs with the processor
    assert 0.5 - Membership.margin < found["permuted"]["low"] < found["permuted"]["high"] < 0.5 + Membership.margin
    assert found["broken"]["patients"] == 40
    details = outcome.scores["broken"].details
    assert (details["members"], details["others"]) == (20, 20)
    assert details["tpr_at_0_false_low"] <= details["tpr_at_0_false"] <= details["tpr_at_1_false"]


def test_conditions(make_scene: Callable[..., Scene]) -> None:
    scene, attack = make_scene(), Membership()
    made = {name: attack.condition(scene, name, 0) for name in ("plaintext", "broken", "permuted", "store")}
    assert [getattr(each, "overfit") for each in made.values()] == [True, True, False, False]  # noqa: B009
    assert [getattr(each, "exchanged") for each in made.values()] == [False, False, True, False]  # noqa: B009
    np.testing.assert_array_equal(made["plaintext"].victims.seen, scene.victims.plain)
    np.testing.assert_array_equal(made["store"].known.seen, scene.known.seen)
    shared = [
        made[name] for name in attack.same_fit
    ]  # what is learnt in one serves the others: the judge alone differs
    assert {each.overfit for each in shared} == {False}
    for each in shared:
        np.testing.assert_array_equal(each.victims.seen, scene.victims.seen)


def test_too_few_patients(make_scene: Callable[..., Scene], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEAST", 60)
    with pytest.raises(ValueError, match=r"^Fewer than 120 patients have labels: this set cannot"):
        Membership().fit(make_scene())
