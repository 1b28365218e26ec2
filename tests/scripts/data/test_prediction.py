"""A prediction as values: what is refused when it is made, and that its module loads no MONAI."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from fesf.scripts.data.prediction import Prediction, PredictionError, check_class_names, is_digest

IDENTITY = "0123456789abcdef" * 2
GOOD = Prediction(IDENTITY, ("a", "b", "c"), (0.1, 0.2, 0.7), "ab" * 32, "1.0")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"probabilities": (0.1, 0.9)}, "number"),
        ({"probabilities": (0.1, 1, -0.1)}, "number"),
        ({"probabilities": (0, 1, 0)}, "number"),  # whole numbers: a mistake of the caller
        ({"class_names": ("a",), "probabilities": (1.0,)}, "classes"),
        ({"class_names": ("a", "b", 3)}, "classes"),
        ({"model_sha256": "AB" * 32}, "model"),
        ({"model_version": ""}, "model"),
        ({"identity": IDENTITY.upper()}, "id"),
    ],
)
def test_a_prediction_is_checked_when_made(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(PredictionError) as raised:
        replace(GOOD, **changes)
    assert raised.value.reason == reason


def test_names_are_checked_by_themselves() -> None:
    check_class_names(["normal", "pleural effusion (left)"])
    with pytest.raises(PredictionError, match="each name once"):
        check_class_names(["a", "a"])
    with pytest.raises(PredictionError, match="has marks that are not taken"):
        check_class_names(["a", "<b>"])


def test_a_digest_is_64_lower_hex_digits() -> None:
    assert is_digest("0f" * 32)
    assert not is_digest("0F" * 32)
    assert not is_digest("0f" * 31)
    assert not is_digest(None)


def test_no_monai_is_loaded() -> None:
    words = "import sys, fesf.scripts.data.prediction; print({'monai', 'torch', 'pydicom'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
