"""Scenes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fesf.scripts.audit.scene import Images


def images(count: int = 3, **changed) -> Images:
    numbers = np.arange(count)
    stack = np.zeros((count, 4, 4))
    return Images(
        **({"seen": stack, "plain": stack, "labels": numbers, "patients": numbers, "studies": numbers} | changed)
    )


def test_images_refuse_shapes_that_disagree():
    with pytest.raises(ValueError, match=r"seen \(3, 4, 5\) and plain \(3, 4, 4\) must both be"):
        images(seen=np.zeros((3, 4, 5)))
    with pytest.raises(ValueError, match=r"hosts has the shape \(2,\): expected \(3,\)"):
        images(hosts=np.arange(2))
    with pytest.raises(ValueError, match=r"written has the shape \(2,\): expected \(3,\)"):
        images(written=np.arange(2))
    with pytest.raises(ValueError, match=r"studies has the shape \(2,\): expected \(3,\)"):
        images(studies=np.arange(2))


def test_take_keeps_the_fields_together():
    chosen = images().take(np.array([2, 0]))
    assert (len(chosen), chosen.labels.tolist(), chosen.patients.tolist()) == (2, [2, 0], [2, 0])


def test_a_scene_refuses_a_patient_on_both_sides(make_scene):
    scene = make_scene()
    both = replace(scene.known, patients=np.where(scene.known.patients == 0, 60, scene.known.patients))
    with pytest.raises(ValueError, match="1 patients are both known to the attacker and victims"):
        replace(scene, known=both)


def test_a_scene_needs_victims(make_scene):
    scene = make_scene()
    with pytest.raises(ValueError, match="no victims"):
        replace(scene, victims=scene.victims.take(np.arange(0)))
