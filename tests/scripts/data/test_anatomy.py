"""A synthetic person: determinism, the lungs' place, the sexes' overlap, and errors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fesf.scripts.data.anatomy import TEXTURE_SIZE, draw_anatomy, heart, inside_ellipse, lung_field, pixel_grid, step


def test_a_generator_of_the_same_seed_draws_the_same_person_and_the_next_draw_another() -> None:
    rng = np.random.default_rng(5)
    first, next_one = draw_anatomy(rng, "M"), draw_anatomy(rng, "M")
    again = draw_anatomy(np.random.default_rng(5), "M")
    assert replace(again, texture=first.texture) == first
    np.testing.assert_array_equal(again.texture, first.texture)
    assert first.texture.shape == (TEXTURE_SIZE, TEXTURE_SIZE)
    assert next_one.heart != first.heart
    assert np.any(next_one.texture != first.texture)


def test_a_step_is_flat_outside_its_ramp() -> None:
    distance = np.array([-1.0, -0.2, 0.0, 0.2, 1.0])
    np.testing.assert_allclose(step(distance, 0.2), [0.0, 0.0, 0.5, 1.0, 1.0])
    assert step(0.1, 0.2) == pytest.approx(0.75**2 * 1.5)


def test_an_ellipse_s_soft_indicator_has_the_ellipse_s_area() -> None:
    x, y = pixel_grid(400)
    covered = inside_ellipse(x, y, (0.6, 0.3), 0.01).mean() * 4
    assert covered == pytest.approx(np.pi * 0.6 * 0.3, rel=0.01)


def test_pixel_grid_has_x_along_columns_and_y_along_rows() -> None:
    x, y = pixel_grid(4)
    np.testing.assert_allclose(x[2], [-0.75, -0.25, 0.25, 0.75])
    np.testing.assert_allclose(y[:, 1], [-0.75, -0.25, 0.25, 0.75])


def test_the_lungs_lie_on_both_sides_above_the_diaphragm_and_beside_the_heart() -> None:
    x, y = pixel_grid(96)
    for number in range(15):
        anatomy = draw_anatomy(np.random.default_rng(number), "FM"[number % 2])
        lungs = lung_field(anatomy, x, y)
        assert lungs.min() >= 0.0
        assert lungs.max() == 1.0
        left, right = (lungs * (x < 0)).mean(), (lungs * (x > 0)).mean()
        assert 0.06 < right < left < 0.25  # the heart takes its room on the picture's right
        assert np.all(lungs[np.abs(x) > anatomy.lung_half_width + 0.02] == 0.0)
        assert np.all(lungs[y < anatomy.lung_top - 0.02] == 0.0)
        assert np.all(lungs[heart(anatomy, x, y, 0.02) == 1.0] == 0.0)
        deep, shallow = (lung_field(anatomy, x, y, breath=breath).mean() for breath in (0.1, -0.1))
        assert shallow < lungs.mean() < deep


def test_men_have_larger_chests_and_women_denser_breasts_with_overlap() -> None:
    people = {sex: [draw_anatomy(np.random.default_rng(i), sex) for i in range(60)] for sex in "FM"}
    width = {sex: np.array([a.lung_half_width for a in people[sex]]) for sex in people}
    assert 0.02 < width["M"].mean() - width["F"].mean() < 0.06
    assert width["F"].max() > width["M"].min()
    assert min(a.breast[0] for a in people["F"]) > max(a.breast[0] for a in people["M"])


def test_an_unknown_sex_is_refused() -> None:
    with pytest.raises(ValueError, match="Unknown sex 'X': use one of F, M"):
        draw_anatomy(np.random.default_rng(0), "X")
