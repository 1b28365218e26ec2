"""Attribute inference: folds by patient, and an attribute that is in the images or is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from fesf.scripts.audit.attack import run_attack
from fesf.scripts.audit.attribute_inference import AttributeInference, best_reader
from fesf.scripts.audit.scene import Images, Scene


def asked(scene: Scene, shown: bool = True) -> Scene:
    """A scene in which half of the patients' images are brighter below: an attribute; and one that nothing shows."""

    def mark(images: Images) -> Images:
        answers = images.patients // 2 % 2  # half of each label
        plain, seen = images.plain.copy(), images.seen.copy()
        ramp = np.linspace(0, 0.4, plain.shape[1])[:, None]
        plain += shown * answers[:, None, None] * ramp
        seen += shown * answers[:, None, None] * ramp
        coin = np.random.default_rng(1).integers(0, 2, 1000)[images.patients]
        few = np.where(images.patients < 3, 1, 0)
        unknown = np.where(images.patients % 7 == 0, -1, answers)
        return replace(images, plain=plain, seen=seen, attributes={"coin": coin, "few": few, "sex=F": unknown})

    return replace(scene, known=mark(scene.known), victims=mark(scene.victims))


def test_the_attribute_that_plaintexts_tell_is_told(make_scene: Callable[..., Scene]) -> None:
    outcome = run_attack(short(), asked(make_scene(known=80, victims=160)))
    store = outcome.summary()["store"]
    assert outcome.verdict() == "succeeds"
    assert store["value"] > 0.95
    victims = np.unique(asked(make_scene(known=80, victims=160)).victims.patients)
    assert store["patients"] == (victims % 7 != 0).sum()
    details = outcome.scores["store"].details
    assert set(details) == {"auc coin", "auc sex=F"}  # too few patients have the third
    assert details["auc sex=F"] > 0.95
    assert abs(details["auc coin"] - 0.5) < 0.25


def short() -> AttributeInference:
    class Short(AttributeInference):
        permutations = 6  # type: ignore[misc]

    return Short()


def test_an_attack_on_images_that_do_not_show_it_does_not_count(make_scene: Callable[..., Scene]) -> None:
    outcome = run_attack(AttributeInference(), asked(make_scene(), shown=False), conditions=("plaintext",))
    found = outcome.summary()["plaintext"]
    assert found["low"] < 0.5 + AttributeInference.margin


def test_a_set_without_attributes_says_so(make_scene: Callable[..., Scene]) -> None:
    with pytest.raises(ValueError, match=r"^The cohort has no attribute column with 8 known and 8 attacked patients"):
        AttributeInference().prepared(make_scene())


def test_a_reader_is_chosen_on_other_patients() -> None:
    """An answer that only tells persons apart is not read of persons who were not seen."""
    rng = np.random.default_rng(0)
    person = rng.random((40, 16, 16))
    images = np.repeat(person, 4, 0) + 0.01 * rng.random((160, 16, 16))
    patients = np.repeat(np.arange(40), 4)
    reader = best_reader(images, rng.integers(0, 2, 40)[patients], patients, 0.2)
    assert 0.2 < reader.auc < 0.75  # folds by image give 1
