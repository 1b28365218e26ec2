"""What the analyst sends back: predictions for surrogates that are out, once each; all else is refused and counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydicom.dataset import Dataset

from fesf.scripts.data.prediction import Prediction, PredictionError
from fesf.scripts.data.prediction_object import encode_prediction, read_prediction
from fesf.scripts.gateway.intake import NOT_MATCHING, REFUSED, TAKEN, Keys
from fesf.scripts.gateway.state import State


class Returns:
    """Takes predictions, from several threads.

    Args:
        state, keys: the gateway's.
        class_names: the classes that are expected, in order.
        model_sha256: the model that is expected; None for any.
        clock: gives the time in seconds.
    """

    def __init__(
        self,
        state: State,
        keys: Keys,
        class_names: Sequence[str],
        model_sha256: str | None,
        clock: Callable[[], float],
    ) -> None:
        self.state, self.keys, self._clock = state, keys, clock
        self.class_names, self.model_sha256 = tuple(class_names), model_sha256

    def take(self, dataset: Dataset) -> int:
        """Take one object.

        Returns:
            DICOM status: 0 when the prediction is safe on the disk, or the very same one was already; else why not.
        """
        try:
            prediction = read_prediction(dataset, self.class_names)
        except PredictionError as error:
            return self.refuse(error.reason, NOT_MATCHING)
        if self.model_sha256 not in (None, prediction.model_sha256):
            return self.refuse("model", REFUSED)
        return self._accept(prediction)

    def _accept(self, prediction: Prediction) -> int:
        image = self.state.by_identity(prediction.identity)
        if image is None:
            return self.refuse("unknown", REFUSED)
        place = f"prediction {image.identity}"
        content = encode_prediction(prediction)
        sealed = self.keys.seal.close(content, place)
        if self.state.move(image, ("sending", "sent"), "answered", self._clock(), prediction=sealed):
            return TAKEN
        image = self.state.by_identity(prediction.identity)
        if image is None or image.prediction is None:
            return self.refuse("not-outstanding", REFUSED)
        if self.keys.seal.open(image.prediction, place) != content:
            return self.refuse("answered", REFUSED)
        self.state.count("returned: again")  # our acknowledgement was lost
        return TAKEN

    def refuse(self, reason: str, status: int = REFUSED) -> int:
        """Count a refusal; returns the status."""
        self.state.count(f"returned: {reason}")
        return status
