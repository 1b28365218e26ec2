"""Checks that configs make before they run, so that a mistake gives one clear error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn


def matching_classes(
    class_names: Sequence[str] | None, num_classes: int, model_classes: Sequence[str] | None = None
) -> list[str]:
    """The class names, once they fit the network and the model.

    Args:
        class_names: names of the data's classes; None where the data have none (a single image): the model's.
        num_classes: number of outputs of the network.
        model_classes: names of the classes that the model was trained on; None does not compare.

    Raises:
        ValueError: when the counts or the names differ, or there are no names at all.
    """
    if class_names is None and model_classes is None:
        raise ValueError("Neither the data nor the model name their classes.")
    names = list(model_classes or ()) if class_names is None else list(class_names)
    if len(names) != num_classes:
        owner = "the model has" if class_names is None else "the data have"
        raise ValueError(
            f"num_classes={num_classes}, but {owner} {len(names)} classes ({', '.join(names)}): "
            f"pass --num_classes {len(names)}."
        )
    if model_classes is not None and names != list(model_classes):
        raise ValueError(
            f"The model decides between {', '.join(model_classes)}; the data have {', '.join(names)}: "
            "pass the ckpt_dir of a model that was trained on these classes."
        )
    return names


def with_labels(data: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The items, once all have a label.

    Raises:
        ValueError: when labels were held out.
    """
    missing = sum("label" not in item for item in data)
    if missing:
        raise ValueError(
            f"{missing} of {len(data)} images have no label (the hospital held them out): run inference.json on this "
            "store, and let the hospital join the predictions with python -m fesf.scripts.link."
        )
    return list(data)


def existing_file(path: str | Path, cure: str) -> str:
    """The path, once it is a file.

    Args:
        path: the file.
        cure: what to do when it is missing.

    Raises:
        ValueError: when it is missing.
    """
    if not Path(path).is_file():
        raise ValueError(f"{str(path)!r} is not a file: {cure}")
    return str(path)


def refuse(reason: str) -> NoReturn:
    """Raise: the value of ids that a config must never use.

    Raises:
        ValueError: always, with the reason.
    """
    raise ValueError(reason)
