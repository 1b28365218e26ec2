"""A network learns what stays of a person."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fesf.scripts.audit.attack import run_attack
from fesf.scripts.audit.siamese import GALLERIES, Inputs, SiameseNetwork

from .conftest import smooth

STEPS = 60


@pytest.mark.parametrize("gallery", GALLERIES)
def test_people_are_told_apart_by_their_surrogates(make_scene, gallery):
    result = run_attack(SiameseNetwork(gallery, steps=STEPS), make_scene(likeness=0.95))
    assert result.faults() == []
    found, details = result.summary()["store"], result.scores["store"].details
    assert found["value"] > 0.8
    assert details["rank_1"] > 3 * details["rank_1_chance"]
    assert {"auc_pooled", "rank_1_pooled", "patients_pooled"} <= details.keys()
    assert result.shown["roc"]["auc"] == pytest.approx(found["value"], abs=0.1)
    assert details["pairs_of_one_patient"] == (40 if gallery == "store" else 80)


def test_training_teaches_what_a_person_is(make_scene):
    def lit(plain, host):
        """Images in light of three kinds, each of another strength in every image: nothing of the person."""
        rng = np.random.default_rng(3)
        kinds = smooth(np.random.default_rng(4), 3, 32) - 0.5
        return (plain + np.tensordot(rng.normal(0, 0.3, (len(plain), 3)), kinds, axes=1)).clip(-9, 9)

    scene = make_scene(lit, likeness=0.9)
    values = []
    for steps in (2, STEPS):
        attack = SiameseNetwork("store", steps=steps)
        values.append(attack.score(attack.fit(scene), scene).value)
    assert values[1] > values[0] + 0.02
    before = torch.random.get_rng_state()
    assert attack.score(attack.fit(scene), scene).value == values[1]  # by its seed
    assert torch.equal(before, torch.random.get_rng_state())


def test_nothing_is_linked_where_nothing_is(make_scene):
    def blank(plain, host):
        return np.round((host + np.random.default_rng(5).normal(0, 0.01, plain.shape)).clip(0, 1) * 255) / 255

    attack, scene = SiameseNetwork("store", steps=20), make_scene(blank)
    found = attack.score(attack.fit(scene), scene).summary()
    assert found["low"] < 0.5 + attack.margin


def test_either_side_is_scaled_by_itself():
    images = np.random.default_rng(0).random((5, 16, 16))
    read = Inputs.read(images, 0.2, "cpu")
    assert read.amplitudes.mean(0).abs().max() < 1e-5
    torch.testing.assert_close(Inputs.read(0.5 * images + 0.2, 0.2, "cpu").pixels, read.pixels)


def test_a_set_that_cannot_teach_or_measure_says_so(make_scene):
    scene = make_scene()
    first = np.arange(60)
    with pytest.raises(ValueError, match="nothing teaches a verifier"):
        SiameseNetwork().fit(replace(scene, known=scene.known.take(first)))
    with pytest.raises(ValueError, match="cannot measure re-identification"):
        SiameseNetwork().fit(replace(scene, victims=scene.victims.take(first[:40])))
    with pytest.raises(ValueError, match="choose plaintext, store, other release"):
        SiameseNetwork("moon")
