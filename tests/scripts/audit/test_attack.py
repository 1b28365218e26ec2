"""Running an attack beside its controls, and what its outcome says."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
import pytest

from fesf.scripts.audit.attack import Outcome, run_attack
from fesf.scripts.audit.controls import CONDITIONS
from fesf.scripts.audit.same_image import SameImage
from fesf.scripts.audit.score import Score


def outcome(**values: float) -> Outcome:
    constant = {"plaintext": 1.0, "broken": 1.0, "permuted": 0.1, "store": 0.1} | values
    return Outcome(SameImage(), {n: Score(np.full(3, v), np.arange(3), 0.1) for n, v in constant.items()})


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ({"store": 0.6}, "succeeds"),
        ({"store": 0.12}, "does better than chance, within its margin"),
        ({"store": 0.09}, "failed"),
        ({"store": 1.0, "plaintext": 0.12}, "does not count: it does not succeed on plaintexts"),
        ({"broken": 0.1}, "does not count: it does not succeed on additive mixing"),
        (
            {"permuted": 0.2},
            "does not count: images that carry nothing of the patient are not within its margin of chance",
        ),
        (
            {"permuted": 0.0},
            "does not count: images that carry nothing of the patient are not within its margin of chance",
        ),
    ],
)
def test_verdicts(values, verdict):
    assert outcome(**values).verdict() == verdict


def test_every_condition_is_fitted_afresh(make_scene):
    class Watcher(SameImage):
        permutations = 3

        def fit(self, scene):
            seen.append(scene)

    seen: list = []
    scene = make_scene()
    result = run_attack(Watcher(), scene)
    assert tuple(result.scores) == CONDITIONS
    assert len(seen) == 6
    np.testing.assert_array_equal(seen[0].known.seen, scene.known.plain)
    assert not np.array_equal(seen[2].victims.seen, seen[3].victims.seen)  # two draws of the negative control
    assert result.scores["permuted"].summary()["images"] == 3 * len(scene.victims)
    assert run_attack(SameImage(), scene, conditions=("store",)).scores.keys() == {"store"}


def test_what_is_learnt_or_decided_once_serves_all(make_scene):
    class Sharer(SameImage):
        permutations = 1
        same_fit = ("permuted", "store")

        def prepared(self, scene):
            asked.append("prepared")
            return self

        def fit(self, scene):
            asked.append("fitted")
            return len(asked)

        def score(self, fitted, scene):
            asked.append(fitted)
            return super().score(None, scene)

    asked: list = []
    run_attack(Sharer(), make_scene())
    assert asked == ["prepared", "fitted", 2, "fitted", 4, "fitted", 6, 6]


def test_an_attack_may_have_controls_of_its_own(make_scene):
    class Upside(SameImage):
        titles = MappingProxyType({"plaintext": "images turned over"})

        def condition(self, scene, name, seed):
            asked.append((name, seed))
            return scene

    asked: list = []
    result = run_attack(Upside(), make_scene(), seed=3)
    assert asked[:3] == [("plaintext", 3), ("broken", 3), ("permuted", 3)]
    assert len(asked) == 8
    assert result.faults() == ["images that carry nothing of the patient are not within its margin of chance"]
    low = Outcome(Upside(), outcome(plaintext=0.1).scores)
    assert low.faults() == ["it does not succeed on images turned over"]


def test_a_guess_may_be_worse_than_none_where_the_attack_says_why():
    class Bold(SameImage):
        below = "a wrong guess costs"

    assert Outcome(Bold(), outcome(permuted=-3.0).scores).faults() == []
    assert len(Outcome(Bold(), outcome(permuted=0.2).scores).faults()) == 1
