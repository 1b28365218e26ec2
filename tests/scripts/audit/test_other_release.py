"""The second release that the audit makes."""

from __future__ import annotations

import numpy as np
import pytest

from fesf.scripts.audit.controls import condition
from fesf.scripts.audit.other_release import common_alpha, other_release

from .conftest import hide


def test_the_other_release_has_another_host_and_recipe(make_scene):
    scene = make_scene()
    found = other_release(scene, scene.victims)
    made = [np.abs(found - hide(scene.victims.plain, host, 0.08, 0.4)).mean() for host in scene.pool]
    assert min(made) < 1e-3
    assert np.abs(scene.pool[int(np.argmin(made))] - scene.host).mean() > 0.01
    assert common_alpha(scene, "other release") == pytest.approx(0.08)
    control = condition(scene, "plaintext", "spectrum mixing")
    np.testing.assert_array_equal(other_release(control, control.victims), control.victims.plain)
    assert common_alpha(control, "other release") == scene.alpha
