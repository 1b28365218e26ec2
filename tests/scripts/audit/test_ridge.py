"""Ridge regression from surrogates to plaintexts."""

from __future__ import annotations

import numpy as np
import pytest

from fesf.scripts.audit.attack import run_attack
from fesf.scripts.audit.ridge import RidgeInversion


def test_ridge_inverts_plaintexts_and_beats_the_mean_on_surrogates(make_scene):
    result = run_attack(RidgeInversion(features="log amplitude"), make_scene())
    summary = result.summary()
    assert summary["plaintext"]["value"] > 0.5
    details = result.scores["store"].details
    assert {"psnr", "psnr_mean_image", "gain_over_adjusted_mean", "penalty", "auc_reconstruction"} <= details.keys()
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
