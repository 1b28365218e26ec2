"""The synthetic films: determinism, likeness within a person, opacities inside the lungs, sizes, attributes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from skimage.metrics import structural_similarity
from skimage.transform import resize_local_mean

from fesf.scripts.data.anatomy import Anatomy, draw_anatomy, lung_field, pixel_grid
from fesf.scripts.data.phantom import SITES, View, draw_opacities, draw_view, render, scale_opacities

SIZE = 64
PLAIN_VIEW = View(
    shift=(0.0, 0.0),
    zoom=1.0,
    angle=0.0,
    breath=0.0,
    gain=1.0,
    brightness=0.0,
    gamma=1.0,
    slope=(0.0, 0.0),
    noise=0.0,
    electrodes=(),
    noise_seed=0,
)


def person(number: int, sex: str = "F") -> tuple[Anatomy, np.random.Generator]:
    rng = np.random.default_rng([99, number])
    return draw_anatomy(rng, sex), rng


def test_render_is_a_pure_function_of_its_arguments() -> None:
    anatomy, rng = person(0)
    view = draw_view(rng, "A")
    first, second = render(anatomy, view, SIZE), render(anatomy, view, SIZE)
    np.testing.assert_array_equal(first, second)
    assert first.shape == (SIZE, SIZE)
    assert first.dtype == np.float64
    assert first.min() >= 0.0
    assert first.max() <= 1.0
    assert np.any(render(anatomy, replace(view, noise_seed=view.noise_seed + 1), SIZE) != first)


def test_the_films_lie_upright_with_dark_lungs_a_bright_middle_and_the_heart_on_the_picture_s_right() -> None:
    """Averages over people, so that no single draw decides."""
    film = np.mean([render(person(i)[0], PLAIN_VIEW, SIZE) for i in range(12)], axis=0)
    lungs = film[20:36, 12:24].mean(), film[20:36, 40:52].mean()
    middle, abdomen, corners = film[20:36, 30:34].mean(), film[54:62, 12:52].mean(), film[:3, :6].mean()
    assert max(lungs) < 0.6 * middle
    assert max(lungs) < 0.6 * abdomen
    assert corners < 0.05
    assert film[40:44, 38:42].mean() > film[40:44, 22:26].mean() + 0.1  # the heart, on the person's left


def test_one_persons_films_resemble_one_another_more_than_others() -> None:
    films, owner = [], []
    for number in range(12):
        anatomy, rng = person(number, "FM"[number % 2])
        films += [render(anatomy, draw_view(rng, "A"), SIZE) for _ in range(3)]
        owner += [number] * 3
    count = len(films)
    likeness = np.full((count, count), -1.0)
    for i in range(count):
        for j in range(i):
            likeness[i, j] = likeness[j, i] = structural_similarity(films[i], films[j], data_range=1.0)
    same = np.equal.outer(owner, owner) & ~np.eye(count, dtype=bool)
    other = np.not_equal.outer(owner, owner)
    assert likeness[same].mean() > likeness[other].mean() + 0.05
    nearest = np.array(owner)[likeness.argmax(axis=1)]  # a film is never its own nearest: the diagonal is -1
    assert (nearest == owner).mean() > 0.3  # chance is 2 / 35
    assert likeness[same].max() < 0.99  # position, exposure and noise do change


def test_opacities_lie_inside_the_lungs_and_brighten() -> None:
    x, y = pixel_grid(SIZE)
    for number in range(25):
        anatomy, rng = person(number, "FM"[number % 2])
        opacities = draw_opacities(rng, anatomy)
        assert 1 <= len(opacities) <= 3
        added = render(anatomy, PLAIN_VIEW, SIZE, opacities) - render(anatomy, PLAIN_VIEW, SIZE)
        lungs = lung_field(anatomy, x, y, soft=0.03)  # a wider edge than the film's
        assert np.all(added >= 0.0)
        assert added.max() > 0.04
        assert np.all(added[lungs <= 0.0] == 0.0)
        assert np.sum(added[lungs > 0.5]) > 0.95 * np.sum(added)
        for opacity in opacities:
            centre = np.array(opacity.centre)
            assert lung_field(anatomy, centre[:1], centre[1:]) > 0.99
            column, row = np.floor((centre + 1) / 2 * SIZE).astype(int)
            assert added[row, column] > 0.5 * opacity.density


def test_opacities_move_with_the_person_and_stay_in_the_lungs_of_a_real_view() -> None:
    """A shift of the film by whole pixels shifts the added shadow by as many, noise and exposure aside."""
    anatomy, rng = person(3)
    opacities = draw_opacities(rng, anatomy)
    here = render(anatomy, PLAIN_VIEW, SIZE, opacities) - render(anatomy, PLAIN_VIEW, SIZE)
    moved = replace(PLAIN_VIEW, shift=(2 * 3 / SIZE, -2 * 2 / SIZE))
    there = render(anatomy, moved, SIZE, opacities) - render(anatomy, moved, SIZE)
    np.testing.assert_allclose(np.roll(here, (-2, 3), axis=(0, 1)), there, atol=1e-9)


def test_severity_scales_the_added_density() -> None:
    anatomy, rng = person(4)
    opacities = draw_opacities(rng, anatomy)
    normal = render(anatomy, PLAIN_VIEW, SIZE)
    full = render(anatomy, PLAIN_VIEW, SIZE, opacities) - normal
    half = render(anatomy, PLAIN_VIEW, SIZE, scale_opacities(opacities, 0.5)) - normal
    np.testing.assert_allclose(half, full / 2, atol=1e-12)


@pytest.mark.parametrize("size", [128, 224])
def test_every_size_shows_the_same_film(size: int) -> None:
    anatomy, rng = person(6)
    opacities = draw_opacities(rng, anatomy)
    view = draw_view(rng, "B")
    small = render(anatomy, view, SIZE, opacities)
    shrunk = resize_local_mean(render(anatomy, view, size, opacities), (SIZE, SIZE))
    assert np.corrcoef(small.ravel(), shrunk.ravel())[0, 1] > 0.98
    assert np.abs(small - shrunk).mean() < 0.03


def test_sex_and_site_show_modestly() -> None:
    """Breast shadows brighten the lower chest; site B prints darker; site C is noisier."""
    films = {sex: np.mean([render(person(i, sex)[0], PLAIN_VIEW, SIZE) for i in range(30)], axis=0) for sex in "FM"}
    breast = (films["F"] - films["M"])[38:48, 14:22].mean()
    assert 0.01 < breast < 0.15
    views = {site: [draw_view(np.random.default_rng(i), site) for i in range(30)] for site in SITES}
    anatomy, _ = person(0)
    mean = {site: np.mean([render(anatomy, view, SIZE).mean() for view in views[site]]) for site in SITES}
    assert mean["A"] - 0.1 < mean["B"] < mean["A"] - 0.01
    assert np.mean([v.noise for v in views["C"]]) > 1.3 * np.mean([v.noise for v in views["A"]])


@pytest.mark.parametrize("size", [31, 1025, 0])
def test_a_size_outside_its_range_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"size {size} is outside 32 to 1024: choose"):
        render(person(0)[0], PLAIN_VIEW, size)


def test_an_unknown_site_is_refused() -> None:
    with pytest.raises(ValueError, match="Unknown site 'Z': use one of A, B, C"):
        draw_view(np.random.default_rng(0), "Z")
