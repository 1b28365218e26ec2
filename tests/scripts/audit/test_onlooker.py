"""What somebody sees who looks."""

from __future__ import annotations

import numpy as np
import pytest

from fesf.scripts.audit.onlooker import likeness


def test_what_an_onlooker_sees():
    image = np.random.default_rng(0).random((16, 16))
    assert likeness(image, image) == {"ssim": pytest.approx(1.0), "psnr": 99.0, "correlation": pytest.approx(1.0)}
    assert likeness(image, np.full((16, 16), 0.5))["correlation"] == 0.0
    assert likeness(image, 1 - image)["correlation"] == pytest.approx(-1.0)
    assert likeness(image, image * 0 + image.mean())["psnr"] == pytest.approx(-20 * np.log10(image.std()))
