"""What the page shows of an attack beside its scores."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from fesf.scripts.audit.attack import run_attack
from fesf.scripts.audit.exhibits import exhibits, roc
from fesf.scripts.audit.inversion import psnr
from fesf.scripts.audit.onlooker import Onlooker
from fesf.scripts.audit.ridge import RidgeInversion
from fesf.scripts.audit.same_image import SameImage


def read(text: str) -> np.ndarray:
    """An image as the attacks hold it: pictures are upright, MONAI's axes are transposed."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))), dtype=float).T / 255


def test_reconstructions_are_best_median_and_worst_by_the_attacks_own_score(make_scene):
    scene, attack = make_scene(), RidgeInversion()
    fitted = attack.fit(scene)
    score = attack.score(fitted, scene)
    pictures = exhibits(attack, fitted, scene, score)["pictures"]
    assert [found["which"] for found in pictures] == ["best", "median", "worst"]
    assert [found["value"] for found in pictures] == [
        score.values.max(),
        np.sort(score.values)[::-1][len(score.values) // 2],
        score.values.min(),
    ]
    for found in pictures:
        truth, made, mean = (read(found[name]) for name in ("truth", "reconstruction", "mean"))
        place = np.abs(scene.victims.plain - truth).mean((1, 2)).argmin()
        np.testing.assert_allclose(truth, scene.victims.plain[place], atol=0.5 / 255 + 1e-9)
        np.testing.assert_allclose(read(found["surrogate"]), scene.victims.seen[place], atol=1e-9)
        gain = psnr(made[None], truth[None]) - psnr(mean[None], truth[None])
        assert gain[0] == pytest.approx(found["value"], abs=0.1)


def test_an_attack_shows_what_it_has_and_only_of_the_store(make_scene):
    scene = make_scene()
    assert set(run_attack(SameImage(), scene).shown) == {"linked"}
    assert run_attack(Onlooker(others=2), scene, conditions=("store",)).shown == {}
    assert run_attack(SameImage(), scene, conditions=("permuted",)).shown == {}


class Verifier(SameImage):
    """Tells for pairs of images whether they are of one patient."""

    def verification(self, fitted, scene):
        rows, columns = np.triu_indices(len(scene.victims), 1)
        same = scene.victims.patients[rows] == scene.victims.patients[columns]
        return same, -np.abs(rows - columns).astype(float)


def test_a_verifier_has_a_roc_curve(make_scene):
    found = run_attack(Verifier(), make_scene(), conditions=("store",)).shown["roc"]
    assert 0 <= found["auc"] <= 1
    assert found["false"][0] == found["true"][0] == 0
    assert found["false"][-1] == found["true"][-1] == 1


def test_a_long_curve_is_thinned_and_keeps_its_ends():
    rng = np.random.default_rng(0)
    same = rng.random(5000) < 0.5
    found = roc(same, same + rng.normal(size=5000))
    assert len(found["false"]) <= 200
    assert np.trapezoid(found["true"], found["false"]) == pytest.approx(found["auc"], abs=0.01)
    assert found["true"][-1] == 1
