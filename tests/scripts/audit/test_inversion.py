"""What inversions are judged by."""

from __future__ import annotations

import numpy as np
import pytest

from fesf.scripts.audit.inversion import adjusted, diagnostic_auc, gain, held, psnr
from fesf.scripts.audit.scene import Images


def test_psnr_and_the_adjusted_mean_by_hand():
    truth = np.array([[[0.0, 1.0], [0.0, 1.0]]])
    assert psnr(truth + 0.1, truth) == pytest.approx([20.0])
    assert psnr(truth, truth) == pytest.approx([99.0])
    mean = np.array([[0.4, 0.6], [0.4, 0.6]])
    np.testing.assert_allclose(adjusted(mean, truth), truth)


def test_pairs_are_drawn_and_must_be_there(make_scene):
    known = make_scene().known
    drawn = held(known, 5, 0)
    np.testing.assert_array_equal(drawn.plain, known.plain[np.sort(np.random.default_rng(0).permutation(120)[:5])])
    assert held(known, None, 0) is known
    with pytest.raises(ValueError, match="has 120 pairs of known patients: 121 cannot be drawn"):
        held(known, 121, 0)
    with pytest.raises(ValueError, match="knows 1 pairs"):
        held(known, 1, 0)


def test_a_gain_is_over_the_mean_and_over_the_mean_adjusted(make_scene):
    scene = make_scene()
    truth, mean = scene.victims.plain, scene.known.plain.mean(0)
    found = gain(adjusted(mean, truth), mean, scene, {"more": 3.0})
    assert found.details["gain_over_adjusted_mean"] == pytest.approx(0.0)
    assert found.values.mean() == pytest.approx(found.details["psnr"] - found.details["psnr_mean_image"])
    assert found.values.mean() > 0
    assert found.details["more"] == 3.0


def patterned(rng: np.random.Generator, labels: np.ndarray, strength: float) -> np.ndarray:
    """Noise, on which one class has a bar."""
    images = rng.normal(0.5, 0.1, (len(labels), 16, 16))
    images[:, 4:6] += strength * (labels == 1)[:, None, None]
    return images


def test_the_diagnosis_is_read_by_who_learnt_it_from_plaintexts():
    rng = np.random.default_rng(0)
    labels = np.tile([0, 1, -1], 60)
    numbers = np.arange(180)
    plain = patterned(rng, labels, 0.2)
    known = Images(plain, plain, labels, numbers, numbers)
    seen = patterned(rng, labels, 0.0)
    victims = Images(seen, patterned(rng, labels, 0.2), labels, 180 + numbers, 180 + numbers)
    half = patterned(rng, labels, 0.03)
    found = diagnostic_auc(known, victims, half)
    assert found["auc_plaintext"] > 0.99
    assert abs(found["auc_surrogate"] - 0.5) < 0.12
    assert 0.55 < found["auc_reconstruction"] < found["auc_plaintext"]
    brighter = diagnostic_auc(known, victims, 0.5 * half + 0.3)  # brightness and contrast are not the diagnosis
    assert brighter["auc_reconstruction"] == pytest.approx(found["auc_reconstruction"])


def test_without_two_classes_there_is_no_diagnosis(make_scene):
    scene = make_scene()
    one = scene.victims.take(np.flatnonzero(scene.victims.labels == 1))
    assert diagnostic_auc(scene.known, one, one.plain) == {}
