"""Sizes of pixels and voxels in mm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from monai.data import MetaTensor


def check_spacing(value: Any, axes: int) -> tuple[float, ...] | None:
    """Return a pixel spacing as positive floats, one for each axis; None stays.

    Raises:
        ValueError: naming the value.
    """
    if value is None:
        return None
    numbers = isinstance(value, Sequence) and not isinstance(value, str) and len(value) == axes
    if not numbers or not all(isinstance(n, int | float) and 0 < n < float("inf") for n in value):
        raise ValueError(f"pixel_spacing={value!r}: give {axes} positive lengths in mm, as many as image_size has.")
    return tuple(float(n) for n in value)


def spacing(image: MetaTensor) -> tuple[float, ...]:
    """Voxel size in mm along the spatial axes of an image (C, *spatial)."""
    return tuple(float(size) for size in np.linalg.norm(np.asarray(image.affine)[:3, : image.ndim - 1], axis=0))
