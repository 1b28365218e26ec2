from __future__ import annotations

import io
import re

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from fesf.scripts.data import pictures
from fesf.scripts.data.comparison import Scores

RNG = np.random.default_rng(2)
GREEN = (0.2, 1.0, 0.6)


def decode(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))


def test_middle_slice_is_upright() -> None:
    image = RNG.random((4, 6))
    assert np.array_equal(pictures.middle_slice(image), image.T)
    volume = RNG.random((4, 6, 5))
    assert np.array_equal(pictures.middle_slice(volume), volume[:, :, 2].T)


def test_png_repeats_pixels_and_clips() -> None:
    shown = decode(pictures.to_png(np.array([[0.0, 0.5], [2.0, -1.0]])))
    assert shown.shape == (256, 256)
    assert [shown[0, 0], shown[0, 255], shown[255, 0], shown[255, 255]] == [0, 128, 255, 0]
    assert (shown[:128, 128:] == 128).all()
    assert decode(pictures.to_png(np.zeros((300, 400)))).shape == (300, 400)


@pytest.mark.parametrize("shape", [(6, 4), (6, 4, 3)])
def test_sheet_lays_rows_of_upright_images_with_a_line_between(shape: tuple[int, ...]) -> None:
    rows = [[RNG.random(shape) * 0.9 for _ in range(3)] for _ in range(2)]
    rows[1][2] += 5  # what lies above 1 is white
    shown = decode(pictures.sheet(rows, least_side=8))
    assert shown.shape == (2 * (8 + 2), 3 * (12 + 2))
    height, width = 2 * shape[1], 2 * shape[0]  # enlarged twice, columns along the first axis
    for i, row in enumerate(rows):
        for j, image in enumerate(row):
            flat = image if image.ndim == 2 else image[..., 1]
            top, left = i * (height + 2), j * (width + 2)
            cell = shown[top : top + height, left : left + width]
            assert np.array_equal(cell[::2, ::2], np.rint(flat.T.clip(0, 1) * 255))
            assert np.array_equal(cell[::2, ::2], cell[1::2, 1::2])
            assert (shown[top + height : top + height + 2, left : left + width] == 255).all()
            assert (shown[top : top + height, left + width : left + width + 2] == 255).all()


def test_sheet_enlarges_to_96_pixels_unless_told() -> None:
    assert decode(pictures.sheet([[np.zeros((28, 28))] * 2])).shape == (4 * 28 + 2, 2 * (4 * 28 + 2))
    assert decode(pictures.sheet([[np.zeros((120, 100))]])).shape == (102, 122)


@pytest.mark.parametrize(("shape", "alpha"), [((32, 32), 0.1), ((33, 31), 0.25), ((32, 48), 0.0)])
def test_the_frame_holds_the_frequencies_that_hiding_changes(shape: tuple[int, int], alpha: float) -> None:
    shown = pictures.spectrum(RNG.random(shape), alpha, -1, 3)
    k = shown.shape[0] // shape[0]
    green = np.isclose(shown, GREEN).all(axis=-1)
    rows, columns = np.flatnonzero(green.any(1)), np.flatnonzero(green.any(0))
    for length, marked in zip(shape, (rows, columns), strict=True):
        frequencies = np.fft.fftshift(np.fft.fftfreq(length) * length)
        inside = np.flatnonzero(np.abs(frequencies) <= np.floor(alpha * length))
        assert (marked[0] // k, marked[-1] // k) == (inside[0], inside[-1])


def test_the_whole_spectrum_has_its_frame_too() -> None:
    shown = pictures.spectrum(RNG.random((32, 32)), 0.5, -1, 3)
    assert shown.shape == (256, 256, 3)
    assert np.isclose(shown[-1], GREEN).all()


def test_spectrum_brightens_with_amplitude() -> None:
    wave = 0.5 + 0.4 * np.sin(2 * np.pi * 8 * np.arange(64) / 64)[None, :] * np.ones((64, 1))
    shown = pictures.spectrum(wave, 0.0, *pictures.amplitude_range([wave]))[::4, ::4].sum(-1)
    brightest = {
        tuple(int(i) for i in np.unravel_index(index, shown.shape)) for index in np.argsort(shown.ravel())[-2:]
    }
    assert brightest == {(32, 24), (32, 40)}  # the frame's green hides the zero frequency itself


def test_a_sheet_is_rows_of_images_with_white_lines_between() -> None:
    rows = [[np.full((8, 6), 0.2), np.full((8, 6), 0.4)], [RNG.random((8, 6)) * 0.9, np.full((8, 6), 0.6)]]
    shown = decode(pictures.sheet(rows, least_side=12))  # 6 columns (x) to 12: twice as large, and a line of two
    assert shown.shape == (2 * (12 + 2), 2 * (16 + 2))
    assert (shown[:12, :16] == 51).all()
    assert (shown[:12, 18:34] == 102).all()
    assert (shown[14:26, 18:34] == 153).all()
    expected = np.rint(rows[1][0].T * 255).repeat(2, 0).repeat(2, 1)
    assert np.array_equal(shown[14:26, :16], expected)
    for start in (12, 26):
        assert (shown[start : start + 2] == 255).all()
    for start in (16, 34):
        assert (shown[:, start : start + 2] == 255).all()


def test_a_sheet_of_volumes_shows_middle_slices() -> None:
    volume = RNG.random((8, 8, 5)) * 0.9
    shown = decode(pictures.sheet([[volume]], least_side=8))
    assert shown.shape == (10, 10)
    assert np.array_equal(shown[:8, :8], np.rint(volume[:, :, 2].T * 255))


def test_similarity_by_hand() -> None:
    image = RNG.random((16, 16)) * 0.5
    assert pictures.similarity(image, image) == {"ssim": pytest.approx(1.0), "psnr": float("inf")}
    assert pictures.similarity(image, image + 0.1)["psnr"] == pytest.approx(20.0)
    assert pictures.similarity(image, RNG.random((16, 16)))["ssim"] < 0.5


def scores(classes: int) -> Scores:
    labels = np.arange(40) % classes
    probabilities = RNG.dirichlet(np.ones(classes), 40)
    return Scores(labels, probabilities, probabilities.argmax(1))


@pytest.mark.parametrize("classes", [2, 3])
def test_charts_are_svg_without_outside_resources_or_dates(classes: int) -> None:
    both = {"plaintext": scores(classes), "surrogate": scores(classes)}
    names = ["a", "b", "c"][:classes]
    history = [{"epoch": str(n), "train_loss": "0.5", "val_loss": "", "val_auc": "0.7"} for n in (1, 2)]
    histories = {"plaintext": history, "surrogate": history}
    for draw in (
        lambda: pictures.draw_roc_overlay(both, names),
        lambda: pictures.draw_reliability_overlay(both),
        lambda: pictures.draw_curves(histories, {"plaintext": 2, "surrogate": 9}),
    ):
        content = draw()
        text = content.decode()
        assert "<svg" in text
        assert pictures.COLOURS["plaintext"] in text
        assert pictures.COLOURS["surrogate"] in text
        assert not re.search(r"20\d\d-\d\d-\d\d", text)
        assert not re.search(r'(?:href|src)="(?!#)', text)
        assert draw() == content


def test_distance_shows_where_it_started_the_floor_and_the_kept_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    values = ("0.4", "0.1", "")
    rows = [
        {"epoch": str(n), "val_mmd": value, "generator_loss": "0.5", "discriminator_loss": "0.75"}
        for n, value in enumerate(values, 1)
    ]
    kept = {"epoch": 2, "val_mmd": 0.1, "val_mmd_synthetic": 0.5, "val_mmd_floor": 0.0625}
    drawn: list[Figure] = []
    svg = pictures.to_svg
    monkeypatch.setattr(pictures, "to_svg", lambda figure: drawn.append(figure) or svg(figure))
    content = pictures.draw_distance(rows, kept)
    distance, losses = drawn[0].axes
    lines = {line.get_label(): np.asarray(line.get_ydata(), float) for line in distance.lines}
    assert np.array_equal(lines["enhanced"], [0.4, 0.1, np.nan], equal_nan=True)
    assert set(lines["synthetic (no generator)"]) == {0.5}
    assert set(lines["floor: halves of the host domain"]) == {0.0625}
    (dot,) = (line for line in distance.lines if line.get_marker() == "o")
    assert (dot.get_xdata(), dot.get_ydata()) == ([2], [0.1])
    assert {line.get_label(): set(line.get_ydata()) for line in losses.lines} == {
        "generator loss": {0.5},
        "discriminator loss": {0.75},
    }
    text = content.decode()
    assert "<svg" in text
    assert not re.search(r"20\d\d-\d\d-\d\d", text)
    assert not re.search(r'(?:href|src)="(?!#)', text)
    assert pictures.draw_distance(rows, kept) == content
