"""The surrogate of a plaintext is found."""

from __future__ import annotations

import numpy as np

from fesf.scripts.audit.attack import run_attack
from fesf.scripts.audit.same_image import SameImage

from .conftest import hide


def test_the_same_image_is_found_by_its_amplitude_alone(make_scene):
    result = run_attack(SameImage(), make_scene())
    assert result.faults() == []
    assert result.summary()["store"]["value"] == 1.0
    assert result.summary()["store"]["chance"] == 1 / 80


def test_hiding_is_blind_to_where_things_are_so_is_the_match(make_scene):
    def shifted(plain, host):
        return hide(np.roll(plain, (5, 9), (1, 2)), host)

    assert run_attack(SameImage(), make_scene(shifted)).summary()["store"]["value"] == 1.0
