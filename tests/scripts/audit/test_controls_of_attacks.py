"""All attacks together: their controls work on images made by the formula, and they find nothing where nothing is."""

from __future__ import annotations

import numpy as np
import pytest

from fesf.scripts.audit.amplitude import AmplitudeRecovery
from fesf.scripts.audit.amplitude_differences import AmplitudeDifferences
from fesf.scripts.audit.attack import run_attack
from fesf.scripts.audit.nearest import NearestNeighbour
from fesf.scripts.audit.onlooker import Onlooker
from fesf.scripts.audit.ridge import RidgeInversion
from fesf.scripts.audit.same_image import SameImage

ATTACKS = [
    Onlooker(others=3),
    SameImage(),
    AmplitudeRecovery(),
    AmplitudeDifferences(),
    RidgeInversion(),
    RidgeInversion(features="log amplitude"),
    NearestNeighbour(),
    NearestNeighbour(gallery="store"),
]


def blank(plain, host):
    """A store that holds the host alone, with the noise of an 8-bit file."""
    return np.round((host + np.random.default_rng(5).normal(0, 0.01, plain.shape)).clip(0, 1) * 255) / 255


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: f"{attack.name} {getattr(attack, 'features', '')}")
def test_an_attack_finds_nothing_where_nothing_is(make_scene, attack):
    result = run_attack(attack, make_scene(blank, victims=120))
    assert result.faults() == []
    store = result.summary()["store"]
    assert store["low"] <= store["chance"] + attack.margin
    assert result.verdict() != "succeeds"
