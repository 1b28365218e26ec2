"""FedAvg's mean, in the arithmetic of NVFLARE's aggregator, so that both ways end in the same weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Weights = dict[str, NDArray[Any]]


def weighted_mean(updates: Sequence[Mapping[str, NDArray[Any]]], weights: Sequence[float]) -> Weights:
    """The mean of updates, each by its weight: sum of w_k u_k over the sum of w_k.

    Args:
        updates: by name, arrays of the same shapes in each; float arrays keep their type, integers become float64.
        weights: one for each update, positive.

    Raises:
        ValueError: when there is no update, their names or shapes differ, or a weight is not positive.
    """
    if not updates or len(updates) != len(weights):
        raise ValueError(f"{len(updates)} updates and {len(weights)} weights: give one weight for each update.")
    if not all(weight > 0 for weight in weights):
        raise ValueError(f"weights={list(weights)} must be positive.")
    shapes = [{name: np.shape(array) for name, array in update.items()} for update in updates]
    if any(shape != shapes[0] for shape in shapes):
        raise ValueError("The updates name other arrays, or their shapes differ: all must be of one network.")
    total: Weights = {}
    for update, weight in zip(updates, weights, strict=True):
        for name, array in update.items():
            part = array * float(weight)
            total[name] = total[name] + part if name in total else part
    return {name: array * (1.0 / float(sum(weights))) for name, array in total.items()}


def moved(weights: Mapping[str, NDArray[Any]], update: Mapping[str, NDArray[Any]]) -> Weights:
    """Weights after an update was added."""
    return {name: array + update[name] for name, array in weights.items()}


def to_arrays(state: Mapping[str, torch.Tensor]) -> Weights:
    """A state dict as arrays, copied."""
    return {name: value.detach().cpu().numpy().copy() for name, value in state.items()}


def to_state(weights: Mapping[str, NDArray[Any]], like: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Arrays as a state dict with another's types; counters, which the mean made fractions, are rounded.

    Args:
        weights: arrays by name.
        like: a state dict of the same network.
    """
    found = {}
    for name, value in like.items():
        array = torch.as_tensor(np.asarray(weights[name]))
        found[name] = (array if value.is_floating_point() else array.round()).to(value.dtype)
    return found


def largest_difference(
    one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor], counters: bool = True
) -> float:
    """Largest absolute difference of two state dicts, with or without batch norm's counters of batches.

    Raises:
        ValueError: when they are not of one network.
    """
    if set(one) != set(other) or any(one[name].shape != other[name].shape for name in one):
        raise ValueError("The weights are not of one network.")
    names = [name for name, value in one.items() if counters or value.is_floating_point()]
    return max(float((one[name].double() - other[name].double()).abs().max()) for name in names)
