"""Writing what the app found: a table, and a DICOM prediction object a surrogate."""

from __future__ import annotations

from pathlib import Path

from fesf.scripts.data.files import SHARED, write_atomic
from fesf.scripts.data.prediction import Prediction
from fesf.scripts.data.prediction_object import encode_prediction
from fesf.scripts.deploy.classifier import Classified

TABLE, OBJECTS = "predictions.csv", "objects"


def check_out(folder: str | Path) -> Path:
    """The output's folder, once nothing lies there that could be taken for this run's.

    Raises:
        ValueError: when it holds results of an earlier run.
    """
    folder = Path(folder)
    if (folder / TABLE).exists() or (folder / OBJECTS).exists():
        raise ValueError("The output folder holds predictions of an earlier run: name another one.")
    return folder


def write_results(classified: Classified, folder: str | Path) -> None:
    """Write ``objects/<id>.dcm`` for each surrogate and last ``predictions.csv``: where that is, all is there.

    Raises:
        PredictionError: when a class name, or the bundle's version, is none that a prediction object takes.
    """
    folder = Path(folder)
    predictions = classified.predictions
    objects = {
        identity: encode_prediction(
            Prediction(
                identity,
                tuple(classified.class_names),
                tuple(map(float, shares)),
                classified.model_sha256,
                classified.model_version,
            )
        )
        for identity, shares in zip(predictions.ids, predictions.probabilities, strict=True)
    }
    (folder / OBJECTS).mkdir(parents=True)
    for identity, content in objects.items():
        write_atomic(folder / OBJECTS / f"{identity}.dcm", content, SHARED)
    write_atomic(folder / TABLE, classified.table(), SHARED)
