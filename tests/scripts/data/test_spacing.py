"""Pixel spacing that is asked for, and that an image has."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from fesf.scripts.data.spacing import check_spacing, spacing


def test_one_positive_length_an_axis() -> None:
    assert check_spacing(None, 2) is None
    assert check_spacing([1, 0.5], 2) == (1.0, 0.5)
    for bad in (1.0, "ab", [1.0], [1.0, 0.0], [1.0, -1.0], [1.0, float("inf")], [1.0, "2"]):
        with pytest.raises(ValueError, match=r"give 2 positive lengths in mm, as many as image_size has"):
            check_spacing(bad, 2)


def test_spacing_is_the_length_of_the_affines_columns() -> None:
    affine = torch.eye(4)
    affine[:3, 0], affine[:3, 1] = torch.tensor([3.0, 4.0, 0.0]), torch.tensor([0.0, 0.0, 2.0])
    np.testing.assert_allclose(spacing(MetaTensor(torch.zeros(1, 2, 2), affine=affine)), (5.0, 2.0))
