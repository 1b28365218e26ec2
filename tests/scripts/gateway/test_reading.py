from __future__ import annotations

import numpy as np
import pytest

from fesf.scripts.gateway.reading import read_pixels
from tests.scripts.gateway.made import original


def test_the_recipes_size_and_intensities_are_used() -> None:
    small = read_pixels(original(1), ((16, 16), None, None, False))
    assert isinstance(small, np.ndarray)
    assert small.shape == (1, 16, 16)
    whole = read_pixels(original(1), ((32, 32), None, None, False))
    scaled = read_pixels(original(1), ((32, 32), (0, 127.5), None, False))
    assert isinstance(whole, np.ndarray)
    assert isinstance(scaled, np.ndarray)
    assert np.allclose(scaled, np.clip(whole * 2, 0, 1), atol=1e-6)


@pytest.mark.parametrize(
    ("content", "spacing"),
    [(original(1), (1.0, 1.0)), (original(1, NumberOfFrames=2, PixelData=bytes(2048)), None)],
    ids=["no spacing", "two frames"],
)
def test_what_the_recipe_does_not_take_is_unusable(content: bytes, spacing: tuple[float, float] | None) -> None:
    assert read_pixels(content, ((32, 32), None, spacing, False)) == "unusable"
