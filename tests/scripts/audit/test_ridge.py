"""Ridge regression from surrogates to plaintexts."""

from __future__ import annotations

import numpy as np
import pytest

from fesf.scripts.audit.attack import run_attack
from fesf.scripts.audit.ridge import RidgeInversion, adjusted, psnr


def test_ridge_inverts_plaintexts_and_beats_the_mean_on_surrogates(make_scene):
    result = run_attack(RidgeInversion(features="log amplitude"), make_scene())
    summary = result.summary()
    assert summary["plaintext"]["value"] > 0.5
    assert result.scores["store"].details.keys() == {"psnr", "psnr_mean_image", "gain_over_adjusted_mean", "penalty"}
    few = RidgeInversion(pairs=5)
    scene = make_scene()
    assert few.fit(scene).mean == pytest.approx(
        scene.known.plain[np.sort(np.random.default_rng(0).permutation(120)[:5])].mean(0)
    )


def test_ridge_refuses_what_it_cannot_do(make_scene):
    with pytest.raises(ValueError, match="choose log amplitude or pixels"):
        RidgeInversion(features="edges")
    with pytest.raises(ValueError, match="knows 1 pairs"):
        RidgeInversion(pairs=1).fit(make_scene())


def test_psnr_and_the_adjusted_mean_by_hand():
    truth = np.array([[[0.0, 1.0], [0.0, 1.0]]])
    assert psnr(truth + 0.1, truth) == pytest.approx([20.0])
    assert psnr(truth, truth) == pytest.approx([99.0])
    mean = np.array([[0.4, 0.6], [0.4, 0.6]])
    np.testing.assert_allclose(adjusted(mean, truth), truth)
