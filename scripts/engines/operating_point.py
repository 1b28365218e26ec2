"""The operating point: the threshold chosen on validation, kept beside the model, and the decision it makes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from fesf.scripts.data.files import to_json
from fesf.scripts.engines.output import replace_file

FILE = "operating_point.json"
YOUDEN, ARGMAX = "youden", "argmax"


@dataclass(frozen=True)
class OperatingPoint:
    """How a model's probabilities become a decision.

    Args:
        threshold: with two classes, class 1 is decided where its probability is at least this; None decides for the
            most probable class.
        criterion: "youden" or "argmax".
        class_names: names of the classes the model was trained on.
        epoch: the epoch of the model.
        key_metric: validation AUC at that epoch.
    """

    threshold: float | None
    criterion: str
    class_names: list[str]
    epoch: int
    key_metric: float | None

    def decide(self, probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
        """Decided class indices (N,) for probabilities (N, C)."""
        if self.threshold is None:
            return np.argmax(probabilities, axis=1)
        return (probabilities[:, 1] >= self.threshold).astype(np.int64)

    def save(self, path: str | Path) -> Path:
        """Write it as JSON, at once."""
        return replace_file(path, to_json(asdict(self)))


def choose(
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    class_names: Sequence[str],
    epoch: int,
    key_metric: float,
) -> OperatingPoint:
    """Choose the operating point on validation.

    With two classes the threshold maximises Youden's J = sensitivity + specificity - 1 **(our choice)**, set halfway
    to the next lower probability so that rounding does not flip the image that defines it. With more classes, or where
    validation lacks one of the two, the most probable class is decided.

    Args:
        labels: class indices, shape (N,).
        probabilities: shape (N, C).
        class_names: C names.
        epoch: epoch of the model.
        key_metric: validation AUC.
    """
    metric = float(key_metric) if np.isfinite(key_metric) else None
    if len(class_names) != 2 or len(np.unique(labels)) < 2:
        return OperatingPoint(None, ARGMAX, list(class_names), epoch, metric)
    scores = probabilities[:, 1]
    false_alarms, found, thresholds = roc_curve(labels, scores, drop_intermediate=False)
    best = float(thresholds[1:][np.argmax((found - false_alarms)[1:])])
    lower = scores[scores < best]
    threshold = (best + float(lower.max())) / 2 if len(lower) else best
    return OperatingPoint(threshold, YOUDEN, list(class_names), epoch, metric)


def load_operating_point(path: str | Path) -> OperatingPoint:
    """Read what :meth:`OperatingPoint.save` wrote.

    Raises:
        ValueError: when the file is missing or is not an operating point.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(
            f"{path.name!r} is missing beside the model in {str(path.parent)!r}: train.json writes both; "
            "point ckpt_dir at the folder it wrote."
        )
    try:
        return OperatingPoint(**json.loads(path.read_text(encoding="utf-8")))
    except (TypeError, ValueError):
        raise ValueError(f"{str(path)!r} is not an operating point: train again, or copy the file again.") from None
