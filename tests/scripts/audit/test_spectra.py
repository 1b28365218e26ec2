"""What is read in a spectrum."""

from __future__ import annotations

import numpy as np
import pytest

from fesf.scripts.audit.spectra import band_amplitude, band_mask, log_amplitude, standardised


@pytest.mark.parametrize("sides", [(8, 8), (9, 7), (8, 7)])
def test_each_conjugate_pair_is_read_once(sides):
    image = np.random.default_rng(0).random((1, *sides))
    found = band_amplitude(image, 0.5)[0]
    whole = np.abs(np.fft.fft2(image[0]))
    rows, columns = (np.fft.fftfreq(n) * n for n in sides)
    expected = []
    for row, u in enumerate(rows):
        for column, v in enumerate(columns):
            first = (v > 0) or (v == 0 and u >= 0) or v == -sides[1] / 2 or (v == 0 and u == -sides[0] / 2)
            if first:
                expected.append(whole[row, column])
    assert sorted(found) == pytest.approx(sorted(expected))
    assert found[0] == pytest.approx(image.sum())


def test_the_band_is_the_low_one():
    assert band_mask((8, 8), 0.125).sum() == 9
    assert band_amplitude(np.zeros((1, 8, 8)), 0.125).shape == (1, 5)


def test_logarithms_are_damped_at_the_noise_of_rounding():
    found = log_amplitude(np.full((1, 16, 16), 0.5), 0.25)
    np.testing.assert_allclose(found, np.log(np.sqrt(256 / 12) / 255), atol=1e-9)


def test_what_all_images_share_drops_out():
    features = np.random.default_rng(1).random((6, 4))
    np.testing.assert_allclose(standardised(features * [1, 5, 2, 9] + 7), standardised(features), atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(standardised(features), axis=1), 1)
    assert not standardised(np.ones((3, 2))).any()
