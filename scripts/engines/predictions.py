"""Collecting an engine's predictions over an epoch (and over processes), and writing them as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from ignite.engine import Engine, Events
from monai.utils import CommonKeys
from numpy.typing import NDArray

from fesf.scripts.data.files import to_csv
from fesf.scripts.engines.operating_point import OperatingPoint
from fesf.scripts.engines.output import replace_file


@dataclass(frozen=True)
class Predictions:
    """Predictions of one epoch, sorted by image id.

    Args:
        ids: image ids, N of them.
        probabilities: shape (N, C).
        labels: class indices, shape (N,); None where an image has none.
        patients: pseudonym of each image's patient; None where not disclosed.
    """

    ids: list[str]
    probabilities: NDArray[np.float64]
    labels: NDArray[np.int64] | None
    patients: list[str] | None

    def table(self, point: OperatingPoint, class_names: Sequence[str]) -> bytes:
        """CSV with the columns id, (patient,) (label,) p_<class>..., decision; classes by name."""
        columns = ["id", *(["patient"] if self.patients else []), *(["label"] if self.labels is not None else [])]
        shares = [f"p_{name}" for name in class_names]
        rows = []
        for index, decision in enumerate(point.decide(self.probabilities)):
            row: dict[str, Any] = {"id": self.ids[index], "decision": class_names[decision]}
            if self.patients:
                row["patient"] = self.patients[index]
            if self.labels is not None:
                row["label"] = class_names[self.labels[index]]
            row |= {column: f"{value:.9g}" for column, value in zip(shares, self.probabilities[index], strict=True)}
            rows.append(row)
        return to_csv([*columns, *shares, "decision"], rows)


class PredictionCollector:
    """Handler that keeps an evaluator's predictions of the running epoch.

    The evaluator decollates, its batch items have an "id" (and a "patient" or not), its outputs a "pred" of
    probabilities (C,) and a "label" that is a class index, one-hot, or absent.
    """

    def __init__(self) -> None:
        self._rows: list[tuple[str, list[float], int | None, str | None]] = []

    def attach(self, engine: Engine) -> None:
        """Collect from an evaluator; attach it before the handlers that read it."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)

    def _start(self, _: Engine) -> None:
        self._rows = []

    def _collect(self, engine: Engine) -> None:
        state: Any = engine.state
        for item, output in zip(state.batch, state.output, strict=True):
            prediction = output[CommonKeys.PRED].detach().double().cpu().flatten().tolist()
            self._rows.append((str(item["id"]), prediction, _label(output), item.get("patient")))

    def gather(self) -> Predictions:
        """The epoch's predictions from all processes; a call that every process must make.

        Raises:
            ValueError: when the epoch had no image.
        """
        rows = self._rows
        if dist.is_available() and dist.is_initialized():
            parts: list[Any] = [None] * dist.get_world_size()
            dist.all_gather_object(parts, rows)
            rows = [row for part in parts for row in part]
        if not rows:
            raise ValueError("No prediction was collected: the data set is empty.")
        # Samplers may hand one image to two processes to even their shares out: once is enough.
        rows = [unique for _, unique in sorted({row[0]: row for row in rows}.items())]
        ids, shares, labels, patients = zip(*rows, strict=True)
        return Predictions(
            list(ids),
            np.asarray(shares, float),
            None if None in labels else np.asarray(labels, int),
            None if None in patients else list(patients),
        )


class PredictionWriter:
    """Handler that writes ``predictions.csv``: image id, a probability for each class, the decision.

    Args:
        path: the table.
        predictions: collector attached to the same evaluator, before this one.
        operating_point: decides.
        class_names: names of the classes.
    """

    def __init__(
        self,
        path: str | Path,
        predictions: PredictionCollector,
        operating_point: OperatingPoint,
        class_names: Sequence[str],
    ) -> None:
        self.path = Path(path)
        self.predictions = predictions
        self.operating_point = operating_point
        self.class_names = list(class_names)

    def attach(self, engine: Engine) -> None:
        """Write when the evaluator is done."""
        self.predictions.attach(engine)
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        gathered = self.predictions.gather()
        unlabelled = Predictions(gathered.ids, gathered.probabilities, None, None)
        if is_first_process():
            replace_file(self.path, unlabelled.table(self.operating_point, self.class_names))
            engine.logger.info(f"Wrote {len(gathered.ids)} predictions to {self.path}")


def is_first_process() -> bool:
    """Whether this process is the one that writes files."""
    return not (dist.is_available() and dist.is_initialized()) or dist.get_rank() == 0


def _label(output: Mapping[str, Any]) -> int | None:
    label = output.get(CommonKeys.LABEL)
    if label is None:
        return None
    values = torch.as_tensor(label).flatten()
    return int(values.argmax() if values.numel() > 1 else values[0])
