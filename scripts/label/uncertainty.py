"""Which surrogate to label next: the one whose prediction is least certain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

CLOSE = 1e-3
"""How far a row may be from a sum of 1: a float32 softmax is much nearer."""


class Ranked(NamedTuple):
    """One surrogate in the ranking.

    Args:
        id: its keyed id.
        entropy: of its prediction, in nats.
    """

    id: str
    entropy: float


def entropy(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Shannon entropy of predictions, -sum(p ln p) with 0 ln 0 = 0.

    Args:
        probabilities: shape (N, C), each row a distribution.

    Returns:
        Shape (N,), in nats: 0 where one class is certain, ln C where all are equal.

    Raises:
        ValueError: when a row is no distribution.

    >>> [round(float(value), 4) for value in entropy(np.array([[0.5, 0.5], [0.25, 0.75], [1.0, 0.0]]))]
    [0.6931, 0.5623, 0.0]
    """
    values = np.asarray(probabilities, np.float64)
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"Predictions have the shape {values.shape}: one row of probabilities an image is needed.")
    sums = values.sum(1)
    if not np.all((values >= 0) & (values <= 1)) or not np.all(np.abs(sums - 1) <= CLOSE):
        raise ValueError("A prediction is no distribution over the classes: does postprocessing end in a softmax?")
    logarithms = np.log(values, where=values > 0, out=np.zeros_like(values))
    return 0.0 - (values * logarithms).sum(1)  # minus alone would give -0.0 where one class is certain


def rank(ids: Sequence[str], probabilities: NDArray[np.floating]) -> list[Ranked]:
    """The surrogates, the least certain first; equal ones by their id, so that the order never hangs on chance.

    Args:
        ids: N keyed ids.
        probabilities: shape (N, C).

    Raises:
        ValueError: when a row is no distribution, or there is not one for each id.
    """
    if len(ids) != len(probabilities):
        raise ValueError(f"{len(ids)} images and {len(probabilities)} predictions: one of each is needed.")
    if not ids:
        return []
    found = [Ranked(name, float(value)) for name, value in zip(ids, entropy(probabilities), strict=True)]
    return sorted(found, key=lambda item: (-item.entropy, item.id))
