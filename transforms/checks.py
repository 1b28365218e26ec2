"""Argument checks of the Image Hidden Module: a ``ValueError`` names the value and the cure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real

import torch
from torch import Tensor

FLOATS = (torch.float32, torch.float64)


def check_alpha(alpha: float) -> float:
    """Return ``alpha`` as a float if it lies in [0, 0.5], else raise ``ValueError``."""
    if not isinstance(alpha, Real) or not 0.0 <= alpha <= 0.5:  # NaN compares false
        raise ValueError(
            f"alpha must be a number in [0, 0.5] (share of each axis, 0.5 is the whole spectrum), got {alpha!r}."
        )
    return float(alpha)


def check_beta(beta: float) -> float:
    """Return ``beta`` as a float if it lies in [0, 1], else raise ``ValueError``."""
    if not isinstance(beta, Real) or not 0.0 <= beta <= 1.0:
        raise ValueError(f"beta must be a number in [0, 1] (the plaintext's share of the amplitude), got {beta!r}.")
    return float(beta)


def check_range(name: str, value: float | Sequence[float]) -> tuple[float, float]:
    """Return ``(low, high)`` for a number or a pair of alphas or betas (``name`` says which)."""
    check = {"alpha": check_alpha, "beta": check_beta}[name]
    pair = tuple(value) if isinstance(value, Sequence) else (value, value)
    if len(pair) != 2:
        raise ValueError(f"{name} must be a number or a pair (low, high), got {value!r}.")
    low, high = check(pair[0]), check(pair[1])
    if low > high:
        raise ValueError(f"{name} must be a pair (low, high) with low <= high, got {value!r}: swap the two.")
    return low, high


def check_float(name: str, image: Tensor) -> None:
    """Raise ``ValueError`` unless ``image`` is a float32 or float64 tensor."""
    if image.dtype in FLOATS:
        return
    if not (image.is_floating_point() or image.is_complex()):
        raise ValueError(
            f"the {name} has dtype {image.dtype}: intensities must be floats in [0, 1]; "
            "scale integer images first, for example with monai.transforms.ScaleIntensityRange."
        )
    raise ValueError(f"the {name} has dtype {image.dtype}: cast it to float32 or float64, for example with .float().")


def check_unit_interval(name: str, image: Tensor) -> None:
    """Raise ``ValueError`` unless every value of ``image`` is finite and in [0, 1]."""
    if image.numel() == 0:
        raise ValueError(f"the {name} is empty, its shape is {tuple(image.shape)}: pass an image with pixels.")
    low, high = (float(v) for v in torch.aminmax(image.detach()))  # NaN propagates through both
    if math.isnan(low) or math.isinf(low) or math.isinf(high):
        raise ValueError(
            f"the {name} has non-finite values (minimum {low}, maximum {high}): "
            "replace NaN and infinity before hiding, for example with torch.nan_to_num."
        )
    if low < 0.0 or high > 1.0:
        raise ValueError(
            f"the {name} has values in [{low:g}, {high:g}], outside [0, 1]: scale it with limits that do not depend "
            "on the image, for example monai.transforms.ScaleIntensityRange(a_min, a_max, 0, 1, clip=True)."
        )


def check_spatial(name: str, image: Tensor, spatial_dims: int) -> tuple[int, ...]:
    """Return the last ``spatial_dims`` sizes of ``image``, raise ``ValueError`` if it has too few or an empty one."""
    if spatial_dims not in (2, 3):
        raise ValueError(f"spatial_dims must be 2 or 3, got {spatial_dims!r}.")
    shape = tuple(image.shape[-spatial_dims:])
    if image.ndim < spatial_dims or 0 in image.shape:
        raise ValueError(
            f"the {name} has shape {tuple(image.shape)}: expected (..., "
            f"{'D, ' if spatial_dims == 3 else ''}H, W) with spatial_dims={spatial_dims} and no empty axis."
        )
    return shape


def check_same_shape(plain: Sequence[int], host: Sequence[int]) -> None:
    """Raise ``ValueError`` unless an image ``(C, *spatial)`` has exactly the host's shape."""
    plain, host = tuple(plain), tuple(host)
    if len(plain) == len(host) and plain[1:] == host[1:] and plain[0] != host[0]:
        raise ValueError(
            f"the plaintext has {plain[0]} channel(s) and the host {host[0]} (shapes {plain} and {host}): "
            "bring both to the same channels, for example with fesf.transforms.ToUnitGrey."
        )
    if plain != host:
        raise ValueError(
            f"the plaintext has shape {plain} and the host {host}: resize or pad one to the other before hiding, "
            "for example with monai.transforms.Resize."
        )
