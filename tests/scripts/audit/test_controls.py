"""Controls: what an attack must read, and what it must not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fesf.scripts.audit.controls import BROKEN, condition, derangement


def test_the_permutation_exchanges_patients_within_a_label():
    labels = np.array([0] * 6 + [1] * 6)
    patients = np.array([0, 0, 1, 1, 2, 2, 3, 3, 3, 4, 4, 5])
    for seed in range(50):
        kept, partner = derangement(labels, patients, seed)
        assert kept.tolist() == list(range(12))
        assert sorted(partner.tolist()) == list(range(12))
        assert (labels[partner] == labels).all()
        assert (patients[partner] != patients).all()


def test_a_patient_with_most_images_of_a_label_leaves_some_out():
    labels, patients = np.zeros(10, int), np.array([0] * 8 + [1, 2])
    kept, partner = derangement(labels, patients, 0)
    assert (patients[partner] != patients[kept]).all()
    assert len(kept) == 4  # two of patient 0, and the two others


def test_pairs_of_one_patient_are_not_kept_together():
    patients = np.repeat(np.arange(50), 2)
    together = 0
    for seed in range(20):
        _, partner = derangement(np.zeros(100, int), patients, seed)
        together += int((patients[partner[::2]] == patients[partner[1::2]]).sum())
    assert together < 30  # of 1,000; chance is about 10


def test_the_negative_control_shows_another_patients_surrogate(make_scene):
    scene = make_scene()
    victims = condition(scene, "permuted", "additive mixing", seed=4).victims
    assert len(victims) == len(scene.victims)
    whose = [int(np.flatnonzero((scene.victims.seen == seen).all((1, 2)))[0]) for seen in victims.seen]
    assert (scene.victims.patients[whose] != victims.patients).all()
    assert (scene.victims.labels[whose] == victims.labels).all()
    np.testing.assert_array_equal(victims.plain, scene.victims.plain)


def test_exchanged_images_take_their_hosts_along(make_scene):
    scene = make_scene()
    numbered = replace(scene.victims, hosts=np.arange(len(scene.victims)))
    victims = condition(replace(scene, victims=numbered), "permuted", "additive mixing", seed=4).victims
    np.testing.assert_array_equal(victims.seen, scene.victims.seen[victims.hosts])


def test_the_positive_control_shows_plaintexts_and_the_store_itself(make_scene):
    scene = make_scene()
    np.testing.assert_array_equal(condition(scene, "plaintext", "additive mixing").known.seen, scene.known.plain)
    assert condition(scene, "store", "additive mixing").victims is scene.victims


def test_broken_schemes_are_what_they_say(make_scene):
    scene = make_scene()
    plain = scene.victims.plain
    made = {name: condition(scene, "broken", name, seed=2) for name in BROKEN}
    np.testing.assert_allclose(2 * made["additive mixing"].victims.seen - scene.host, plain, atol=1e-12)
    shuffled = made["pixel permutation"]
    np.testing.assert_array_equal(np.sort(shuffled.victims.seen.reshape(80, -1)), np.sort(plain.reshape(80, -1)))
    order = np.random.default_rng(2).permutation(32 * 32)  # the same one for known images and victims
    np.testing.assert_array_equal(shuffled.known.seen.reshape(120, -1), scene.known.plain.reshape(120, -1)[:, order])
    mixed = np.fft.fft2(made["spectrum mixing"].victims.seen[0])
    expected = (np.fft.fft2(scene.host) + np.fft.fft2(plain[0])) / 2
    assert mixed[1, 2] == pytest.approx(expected[1, 2], abs=0.5)  # clipping moves it a little
    assert mixed[8, 8] == pytest.approx(np.fft.fft2(scene.host)[8, 8], abs=0.5)
