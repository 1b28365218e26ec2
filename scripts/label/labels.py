"""Labels that the analyst's server was given: one small JSON file a surrogate, beside the store and never in it.

A label names a class of the store. Its file is ``<id>.json`` with ``{"label": "opacity"}``, in the folder ``final``,
which is MONAI Label's name for labels that count.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from fesf.scripts.data.files import SHARED, to_json, write_atomic
from fesf.scripts.data.store_format import ID

FINAL = "final"
"""The one tag of labels here."""
LARGEST = 4096
"""Bytes of a label's file: a class name and little more."""


class LabelError(ValueError):
    """A label that cannot be taken; the text never holds what was sent, which could be anything."""


def parse_label(content: bytes, class_names: Sequence[str]) -> str:
    """The class that a label's file names.

    Args:
        content: ``{"label": "opacity"}``, ``"opacity"``, or the bare name as text (UTF-8).
        class_names: of the store.

    Raises:
        LabelError: when it names none of the classes.

    >>> parse_label(b'{"label": "opacity"}', ["normal", "opacity"]), parse_label(b"normal\\n", ["normal", "opacity"])
    ('opacity', 'normal')
    """
    refused = LabelError(
        f"The label names none of the store's classes: send a file that holds one of {', '.join(class_names)}, as text"
        ' or as JSON {"label": NAME}.'
    )
    if len(content) > LARGEST:
        raise refused
    try:
        text = content.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise refused from None
    if text in class_names:
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise refused from None
    name = value.get("label") if isinstance(value, dict) else value
    if not isinstance(name, str) or name not in class_names:
        raise refused
    return name


class LabelFolder:
    """The given labels. The disk is read at each question: a training runs in a process of its own.

    Args:
        folder: where they lie; it is made.
        class_names: of the store.
    """

    def __init__(self, folder: str | Path, class_names: Sequence[str]) -> None:
        self.folder = Path(folder) / FINAL
        self.folder.mkdir(parents=True, exist_ok=True)
        self.class_names = list(class_names)

    def path(self, image: str) -> Path:
        """File of a surrogate's label, whether it exists or not.

        Raises:
            LabelError: when the id is none.
        """
        if not ID.fullmatch(image):
            raise LabelError("The id is none of a surrogate's: it has 32 hexadecimal digits.")
        return self.folder / f"{image}.json"

    def save(self, image: str, content: bytes) -> str:
        """Keep a surrogate's label, instead of an earlier one.

        Returns:
            The class.

        Raises:
            LabelError: when the id is none, or the content names none of the classes.
        """
        path = self.path(image)
        name = parse_label(content, self.class_names)
        write_atomic(path, to_json({"label": name}), SHARED)
        return name

    def remove(self, image: str) -> None:
        """Forget a surrogate's label.

        Raises:
            LabelError: when it has none.
        """
        try:
            self.path(image).unlink()
        except FileNotFoundError:
            raise LabelError("This surrogate has no label of this server's: there is nothing to remove.") from None

    def read(self) -> dict[str, str]:
        """Class by id, sorted by id.

        Raises:
            LabelError: when a file holds none of the classes.
        """
        found = {}
        for name in sorted(os.listdir(self.folder)):
            image, _, suffix = name.partition(".")
            if suffix == "json" and ID.fullmatch(image):
                found[image] = self._read(image)
        return found

    def _read(self, image: str) -> str:
        try:
            return parse_label(self.path(image).read_bytes(), self.class_names)
        except LabelError:
            raise LabelError(
                f"The label of {image!r} names none of the store's classes: send it again, or delete its file."
            ) from None
