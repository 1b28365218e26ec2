"""Dividing the patients of one public set between two hospitals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def divide(strata: Mapping[str, Any], share: float = 0.5, seed: int = 0) -> dict[str, int]:
    """Give each patient to hospital 0 or 1, so that both get their share of every stratum.

    Within a stratum patients are drawn, and the first hospital gets one whenever it is behind its share of all so far:
    its part of a stratum differs from ``share`` by less than one patient, and of all patients by less than one, too.

    Args:
        strata: by patient, what both hospitals shall have alike: labels, split.
        share: the first hospital's share of the patients, in (0, 1).
        seed: of the draw.

    Returns:
        0 or 1 by patient.

    Raises:
        ValueError: when ``share`` lies outside (0, 1), or a hospital would get nobody.
    """
    if not 0 < share < 1:
        raise ValueError(f"share={share!r} must lie between 0 and 1, such as 0.5.")
    grouped: dict[str, list[str]] = {}
    for patient, stratum in strata.items():
        grouped.setdefault(repr(stratum), []).append(patient)
    rng = np.random.default_rng(seed)
    found: dict[str, int] = {}
    first = 0
    for stratum in sorted(grouped):
        for patient in rng.permutation(sorted(grouped[stratum])).tolist():
            behind = first < share * (len(found) + 1)
            found[patient] = 0 if behind else 1
            first += behind
    if first in (0, len(found)):
        raise ValueError(f"{len(found)} patients at share={share!r} leave a hospital without any: give more patients.")
    return found
