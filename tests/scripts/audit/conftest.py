"""Scenes for attacks: smooth random images of many patients, hidden by a numpy version of the equations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fesf.scripts.audit.scene import Images, Scene

ALPHA, BETA = 0.1, 0.5


def smooth(rng: np.random.Generator, count: int, side: int = 32) -> np.ndarray:
    """Random images whose amplitude falls with frequency, in [0, 1]."""
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    noise = np.fft.fft2(rng.normal(size=(count, side, side))) / (frequency + 0.02)
    images = np.fft.ifft2(noise).real
    images -= images.min((1, 2), keepdims=True)
    return 0.1 + 0.8 * images / images.max((1, 2), keepdims=True)


def hide(plain: np.ndarray, host: np.ndarray, alpha: float = ALPHA, beta: float = BETA) -> np.ndarray:
    """SPEC section 2, written from the formula, rounded to 8 bits."""
    sides = plain.shape[-2:]
    rows, columns = (np.abs(np.fft.fftfreq(n) * n) <= np.floor(alpha * n) for n in sides)
    mask = rows[:, None] & columns
    spectrum = np.fft.fft2(host)
    mixed = np.where(mask, (1 - beta) * abs(spectrum) + beta * abs(np.fft.fft2(plain)), abs(spectrum))
    hidden = np.fft.ifft2(mixed * np.exp(1j * np.angle(spectrum))).real
    return np.round(hidden.clip(0, 1) * 255) / 255


def bodies(rng: np.random.Generator, count: int, side: int = 32) -> np.ndarray:
    """An ellipse in the middle, of a width and height of each person's own, with texture, in [0, 1]."""
    y, x = np.mgrid[:side, :side] / side - 0.5
    high, wide = rng.uniform(0.1, 0.3, (2, count, 1, 1))
    return np.exp(-((y / high) ** 2) - (x / wide) ** 2) * 0.6 + 0.3 * smooth(rng, count, side)


@pytest.fixture(scope="session")
def make_scene():
    """Make a scene: 60 known patients and 40 victims, two studies of one image each, the second like the first."""

    def make(hider=hide, likeness: float = 0.8, known: int = 60, victims: int = 40) -> Scene:
        rng = np.random.default_rng(0)
        host = smooth(rng, 1)[0]

        def group(first: int, count: int) -> Images:
            person = bodies(rng, count)
            plain = np.concatenate([person, likeness * person + (1 - likeness) * bodies(rng, count)])
            patients = np.tile(np.arange(first, first + count), 2)
            labels = patients % 2
            return Images(hider(plain, host), plain, labels, patients, np.arange(2 * count) + 2 * first)

        return Scene(group(0, known), group(known, victims), host, smooth(rng, 5), ALPHA, BETA)

    return make


@pytest.fixture(scope="session")
def make_generated(make_scene):
    """Make a scene of a second pass: hidden again in what a stand-in for the generator makes of the first pass."""

    def generated(plain: np.ndarray, host: np.ndarray) -> np.ndarray:
        """A generator that mirrors, keeps less contrast in bright images, and adds a pattern."""
        first = hide(plain, host)[:, ::-1]
        pattern = 0.1 * np.sin(np.arange(first.shape[1]) * np.arange(first.shape[2])[:, None])
        made = (0.1 + (0.9 - 0.4 * first.mean((1, 2), keepdims=True)) * first**1.3 + pattern).clip(0, 1)
        return np.concatenate([hide(image[None], own) for image, own in zip(plain, made, strict=True)])

    def make(**options: int) -> Scene:
        scene = make_scene(generated, **options)
        pool = np.concatenate([bodies(np.random.default_rng(9), 40), scene.host[None]])
        return replace(scene, stage="surrogate", pipeline=generated, pool=pool)

    return make
