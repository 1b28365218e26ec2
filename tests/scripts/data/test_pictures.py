from __future__ import annotations

import io
import re

import numpy as np
import pytest
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
