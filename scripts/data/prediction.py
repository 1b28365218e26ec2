"""A prediction on one surrogate, as values; :mod:`fesf.scripts.data.prediction_object` is its DICOM object.

Imports neither MONAI nor pydicom: settings are checked by it before either may be loaded.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fesf.scripts.data.linkage import MAX_CLASSES, SUM_TOLERANCE

_ID = re.compile(r"[0-9a-f]{32}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
_CLASS = re.compile(r"[^\W_](?:[\w .,()/+-]{0,62}[\w.)+-])?")


class PredictionError(ValueError):
    """An object is no prediction that can be used.

    Attributes:
        reason: "size", "object", "id", "classes", "number", "sum" or "model"; the text quotes nothing of the object.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Prediction:
    """A prediction on one surrogate.

    Args:
        identity: keyed id of the surrogate, 32 hex digits: its ``PatientID``.
        class_names: 2 to 1,000 different names of 1 to 64 letters, digits, spaces and ``_ . , ( ) / + -``.
        probabilities: one a class, finite, in [0, 1], of sum 1 to a hundredth.
        model_sha256: digest of the model's file, 64 hex digits.
        model_version: up to 64 letters, digits and ``. _ + -``.

    Raises:
        PredictionError: when a value is not that.
    """

    identity: str
    class_names: tuple[str, ...]
    probabilities: tuple[float, ...]
    model_sha256: str
    model_version: str

    def __post_init__(self) -> None:
        if not _matches(_ID, self.identity):
            raise PredictionError("id", "The surrogate's id is not 32 hex digits.")
        check_class_names(self.class_names)
        if len(self.probabilities) != len(self.class_names):
            raise PredictionError("number", "There is not one probability a class.")
        if not all(isinstance(value, float) and 0.0 <= value <= 1.0 for value in self.probabilities):
            raise PredictionError("number", "A probability is not a number in [0, 1].")
        if abs(math.fsum(self.probabilities) - 1.0) > SUM_TOLERANCE:
            raise PredictionError("sum", f"The probabilities do not sum to 1 within {SUM_TOLERANCE:g}.")
        if not is_digest(self.model_sha256) or not _matches(_VERSION, self.model_version):
            raise PredictionError("model", "The model's digest or version is malformed.")


def check_class_names(names: Sequence[str]) -> None:
    """Refuse names of classes that no prediction can have.

    Raises:
        PredictionError: when they are fewer than two, too many, not different, or one has marks that are not taken.
    """
    if not 2 <= len(names) <= MAX_CLASSES or len(set(names)) != len(names):
        raise PredictionError("classes", f"A prediction has 2 to {MAX_CLASSES} classes, each name once.")
    if not all(_matches(_CLASS, name) for name in names):
        raise PredictionError("classes", "A class name is empty, too long, or has marks that are not taken.")


def is_digest(value: Any) -> bool:
    """Whether a value is a SHA-256 as 64 hex digits in lower case."""
    return _matches(_DIGEST, value)


def _matches(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None
