"""Active learning in MONAI Label: the surrogate of the least certain prediction comes next."""

from __future__ import annotations

from typing import Any

from monailabel.interfaces.tasks.strategy import Strategy

from fesf.scripts.label.datastore import SurrogateDatastore
from fesf.scripts.label.tasks import SurrogateInferTask
from fesf.scripts.label.uncertainty import rank

SHOWN = 10
"""How many of the ranking are answered."""


class Entropy(Strategy):
    """Ranks the unlabelled surrogates of the training section by the entropy of their prediction.

    Args:
        task: predicts them.
    """

    def __init__(self, task: SurrogateInferTask) -> None:
        super().__init__("Entropy of the predicted probabilities, the least certain surrogate first")
        self.task = task

    def __call__(self, request: dict[str, Any], datastore: SurrogateDatastore) -> dict[str, Any] | None:
        """The next surrogate: "id", "weight" (its entropy in nats), "unlabelled" (how many) and the "ranking"."""
        ids = datastore.get_unlabeled_images()
        if not ids:
            return None
        ranked = rank(ids, self.task.probabilities([datastore.get_image_uri(name) for name in ids]))
        return {
            "id": ranked[0].id,
            "weight": ranked[0].entropy,
            "unlabelled": len(ranked),
            "ranking": [item._asdict() for item in ranked[:SHOWN]],
        }
