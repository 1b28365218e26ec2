"""What a client's request may set; of everything else a server of surrogates takes no notice."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fesf.scripts.label.labels import LabelError

PREDICTION = ("device", "logging")
"""Of a prediction. MONAI Label would let ``image`` among them replace the image that was asked for."""
BATCH = ("device", "logging", "max_batch_size")
"""Of the prediction of many surrogates."""
TRAINING = ("model", "device", "pretrained", "max_epochs")
"""Of a training."""


def allowed(given: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """The parameters that count.

    Args:
        given: what the client sent.
        names: those that count.
    """
    return {name: given[name] for name in names if name in given}


def read(params: str) -> dict[str, Any]:
    """A form's parameters.

    Args:
        params: a JSON object as text, or nothing.

    Raises:
        LabelError: when it is no JSON object.
    """
    try:
        given = json.loads(params or "{}")
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise LabelError("params is no JSON object: send one, or leave it out.")
    return given
