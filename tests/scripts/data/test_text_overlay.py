"""Made-up text: names, fonts and ink."""

from __future__ import annotations

import numpy as np
import pytest

from fesf.scripts.data.text_overlay import FIRST, FONTS, LAST, SCRIPTS, Overlay, burn_in, coverage, names, text_box


def test_names_are_distinct_and_drawn_by_the_seed() -> None:
    assert len(set(FIRST)) * len(set(LAST)) == len(FIRST) * len(LAST) == 2000
    drawn = names(1000)
    assert len(set(drawn)) == 1000
    assert drawn == names(1000) != names(1000, seed=1)
    with pytest.raises(ValueError, match="there are 2000 names, not 2001"):
        names(2001)


@pytest.mark.parametrize("font", FONTS)
def test_ink_lies_in_the_box(font: str) -> None:
    left, top, right, bottom = text_box("KELLER, LENA", font, 20)
    ink = coverage(Overlay("KELLER, LENA", font, 20, 30, 40), (100, 300))
    rows, columns = np.nonzero(ink)
    assert 40 + top <= rows.min() <= rows.max() < 40 + bottom
    assert 30 + left <= columns.min() <= columns.max() < 30 + right
    assert ink.max() == 1.0
    assert 12 <= bottom - top <= 24


def test_every_script_has_its_letters() -> None:
    missing = coverage(Overlay("\U0010ffff", "sans", 20, 0, 0), (40, 40))
    for script, words in SCRIPTS.items():
        for letter in {letter for word in words for letter in word if letter.isalpha()}:
            drawn = coverage(Overlay(letter, "sans", 20, 0, 0), (40, 40))
            assert drawn.any(), (script, letter)
            assert not np.array_equal(drawn, missing), (script, letter)


def test_ink_replaces_the_image() -> None:
    image = np.full((30, 60), 0.5, dtype=np.float32)
    overlay = Overlay("AB", "sans", 20, 5, 2, value=0.25)
    ink, burned = coverage(overlay, (30, 60)), burn_in(image, overlay)
    np.testing.assert_array_equal(burned[ink == 0], 0.5)
    np.testing.assert_allclose(burned, 0.5 - 0.25 * ink, atol=1e-6)
