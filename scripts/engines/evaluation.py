"""The report of an evaluation: metrics with intervals, predictions and pictures, written when the engine is done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from fesf.scripts.data.files import to_json
from fesf.scripts.engines.figures import draw_confusion, draw_reliability, draw_roc
from fesf.scripts.engines.metrics import bootstrap, confusion_matrix, majority_baseline
from fesf.scripts.engines.operating_point import OperatingPoint
from fesf.scripts.engines.output import replace_file
from fesf.scripts.engines.predictions import PredictionCollector, Predictions, is_first_process


class EvaluationReport:
    """Handler that writes ``metrics.json``, ``predictions_<split>.csv``, and pictures of ROC, reliability, confusion.

    Intervals are over patients where each image names its patient, else over images; metrics.json says which.

    Args:
        folder: where the files go.
        predictions: collector; this handler attaches it to the evaluator.
        operating_point: the model's, chosen on validation.
        class_names: names of the classes.
        training_data: items of the training section, for the majority-class baseline.
        split: name of the evaluated section.
        draws: bootstrap draws.
        confidence: coverage of the intervals.
        seed: of the draws.
    """

    def __init__(
        self,
        folder: str | Path,
        predictions: PredictionCollector,
        operating_point: OperatingPoint,
        class_names: Sequence[str],
        training_data: Sequence[Mapping[str, Any]],
        split: str = "test",
        draws: int = 1000,
        confidence: float = 0.95,
        seed: int = 0,
    ) -> None:
        self.folder = Path(folder)
        self.predictions = predictions
        self.point = operating_point
        self.class_names = list(class_names)
        self.shares = class_shares(training_data, len(self.class_names))
        self.split = split
        self.draws = draws
        self.confidence = confidence
        self.seed = seed

    def attach(self, engine: Engine) -> None:
        """Report when the evaluator is done."""
        self.predictions.attach(engine)
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        gathered = self.predictions.gather()
        if not is_first_process():
            return
        report = self.summary(gathered)
        replace_file(self.folder / "metrics.json", to_json(report))
        replace_file(self.folder / f"predictions_{self.split}.csv", gathered.table(self.point, self.class_names))
        self._draw(gathered, report)
        for name, metric in report["metrics"].items():
            low, high = (f"{metric[end]:.3f}" if metric[end] is not None else "undefined" for end in ("low", "high"))
            value = "undefined" if metric["value"] is None else f"{metric['value']:.3f}"
            engine.logger.info(f"{self.split} {name}: {value} ({low} to {high}, over {report['unit']})")

    def summary(self, gathered: Predictions) -> dict[str, Any]:
        """The content of metrics.json."""
        if gathered.labels is None:
            raise ValueError("Images without a label cannot be evaluated: run inference.json.")
        decisions = self.point.decide(gathered.probabilities)
        groups = gathered.patients
        return {
            "split": self.split,
            "unit": "images" if groups is None else "patients",
            "n_images": len(gathered.ids),
            "n_patients": None if groups is None else len(set(groups)),
            "class_names": self.class_names,
            "threshold": self.point.threshold,
            "bootstrap": self.draws,
            "confidence": self.confidence,
            "seed": self.seed,
            "metrics": bootstrap(
                gathered.labels, gathered.probabilities, decisions, groups, self.draws, self.confidence, self.seed
            ),
            "majority_class": majority_baseline(gathered.labels, self.shares),
            "confusion_matrix": confusion_matrix(gathered.labels, decisions, len(self.class_names)),
        }

    def _draw(self, gathered: Predictions, report: Mapping[str, Any]) -> None:
        assert gathered.labels is not None
        decisions = self.point.decide(gathered.probabilities)
        pictures = {
            "roc.png": draw_roc(gathered.labels, gathered.probabilities, self.class_names),
            "reliability.png": draw_reliability(gathered.labels, gathered.probabilities, decisions),
            "confusion.png": draw_confusion(report["confusion_matrix"], self.class_names),
        }
        for name, content in pictures.items():
            replace_file(self.folder / name, content)


def class_shares(data: Sequence[Mapping[str, Any]], classes: int) -> list[float]:
    """Frequency of each class among the items, from their "label"."""
    counts = Counter(int(item["label"]) for item in data)
    return [counts[index] / max(len(data), 1) for index in range(classes)]
