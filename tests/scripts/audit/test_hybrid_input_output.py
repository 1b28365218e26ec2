"""Images come back from oversampled amplitudes, and are scored without regard to shift and turn."""

from __future__ import annotations

import numpy as np
import pytest

from fesf.scripts.audit.hybrid_input_output import aligned, retrieve

from .conftest import bodies


def test_an_image_comes_back_from_amplitudes_and_support():
    truth = np.zeros((1, 32, 32))
    truth[:, :16, :16] = bodies(np.random.default_rng(1), 1, side=16)
    support = np.zeros((32, 32), bool)
    support[:16, :16] = True
    starts = np.random.default_rng(2).random((6, 32, 32)) * support
    amplitude = np.repeat(np.abs(np.fft.rfft2(truth)), 6, axis=0)
    found, missed = retrieve(amplitude, np.ones((32, 17), bool), support, starts, 800)
    best = missed.argmin()
    assert missed[best] < 1e-2
    assert (found[:, ~support] == 0).all()
    assert found.min() >= 0 and found.max() <= 1  # noqa: PT018
    error = np.abs(aligned(found[[best]], truth) - truth).max()
    assert error < 0.05
    known = np.abs(np.fft.rfft2(found[best])) - amplitude[best]
    assert missed[best] == pytest.approx(np.linalg.norm(known) / np.linalg.norm(amplitude[best]))


def test_unknown_frequencies_are_left_to_the_image():
    truth = bodies(np.random.default_rng(3), 2)
    known = np.zeros((32, 17), bool)
    known[:4, :4] = True
    start = truth[::-1].copy()
    found, missed = retrieve(np.abs(np.fft.rfft2(truth)), known, np.ones((32, 32), bool), start, 1)
    spectra = np.fft.rfft2(start)
    expected = np.where(known, np.abs(np.fft.rfft2(truth)) * np.exp(1j * np.angle(spectra)), spectra)
    np.testing.assert_allclose(found, np.fft.irfft2(expected, s=(32, 32)).clip(0, 1), atol=1e-12)
    assert missed.shape == (2,)


def test_shift_and_turn_do_not_count():
    truth = bodies(np.random.default_rng(4), 3)
    moved = np.stack([np.roll(truth[0], (5, -3), (0, 1)), truth[1, ::-1, ::-1], np.roll(truth[2, ::-1, ::-1], 7, 0)])
    np.testing.assert_allclose(aligned(moved, truth), truth)
    flipped = aligned(truth[:, :, ::-1], truth)  # a mirror image is another image
    assert np.abs(flipped - truth).max() > 0.05
