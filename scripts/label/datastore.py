"""MONAI Label's view of a surrogate store: read-only images, labels beside them."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any, NoReturn

from monailabel.interfaces.datastore import Datastore

from fesf.scripts.data.store_format import StoreError
from fesf.scripts.label.labels import FINAL, LabelError
from fesf.scripts.label.surrogates import READ_ONLY, WHOLE, Surrogates


class SurrogateDatastore(Datastore):
    """The images of a store, by their keyed ids; what each method does is the base class's to say.

    Args:
        surrogates: the store and its labels.
    """

    def __init__(self, surrogates: Surrogates) -> None:
        self.surrogates = surrogates
        self._info: dict[str, dict[str, Any]] = {}  # what clients note about images; gone when the server ends

    def name(self) -> str:
        return "fesf surrogates"

    def set_name(self, name: str) -> None:
        raise StoreError(READ_ONLY)

    def description(self) -> str:
        return f"Surrogates of a store whose manifest has the SHA-256 {self.surrogates.key}"

    def set_description(self, description: str) -> None:
        raise StoreError(READ_ONLY)

    def datalist(self) -> list[dict[str, Any]]:
        """Labelled images: "image" (path), "label" (class name), "id", "section"."""
        labels = self.surrogates.labels()
        return [
            {
                "image": os.path.join(self.surrogates.store, item.name),
                "label": next(iter(labels[item.id].values())),
                "id": item.id,
                "section": item.section,
            }
            for item in self.surrogates.images.values()
            if item.id in labels
        ]

    def get_labels_by_image_id(self, image_id: str) -> dict[str, str]:
        return dict.fromkeys(self.surrogates.labels().get(self.surrogates.find(image_id).id, {}), image_id)

    def get_label_by_image_id(self, image_id: str, tag: str) -> str:
        return self.get_labels_by_image_id(image_id).get(tag, "")

    def get_image(self, image_id: str, params: Any = None) -> io.BytesIO:
        return io.BytesIO(Path(self.surrogates.path(image_id)).read_bytes())

    def get_image_uri(self, image_id: str) -> str:
        return self.surrogates.path(image_id)

    def get_label(self, label_id: str, label_tag: str, params: Any = None) -> io.BytesIO | None:
        uri = self.get_label_uri(label_id, label_tag)
        return io.BytesIO(Path(uri).read_bytes()) if uri else None

    def get_label_uri(self, label_id: str, label_tag: str) -> str:
        """File of a label that the server was given; "" for none, and for the store's own, which has no file."""
        path = self.surrogates.given.path(self.surrogates.find(label_id).id)
        return str(path) if label_tag == FINAL and path.is_file() else ""

    def get_image_info(self, image_id: str) -> dict[str, Any]:
        return {"section": self.surrogates.find(image_id).section, **self._info.get(image_id, {})}

    def get_label_info(self, label_id: str, label_tag: str) -> dict[str, Any]:
        name = self.surrogates.labels().get(self.surrogates.find(label_id).id, {}).get(label_tag)
        return {"label": name} if name else {}

    def get_labeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        return list(self.surrogates.labels())

    def get_unlabeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        """Images of the training section without a label: of the others none is worth asking for."""
        return self.surrogates.unlabelled()

    def list_images(self) -> list[str]:
        return list(self.surrogates.images)

    def get_dataset_archive(self, limit_cases: int | None) -> NoReturn:
        raise StoreError(WHOLE)

    def refresh(self) -> None:
        """Nothing: a store does not change, and labels are read from the disk each time."""

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> NoReturn:
        raise StoreError(READ_ONLY)

    def remove_image(self, image_id: str) -> None:
        raise StoreError(READ_ONLY)

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]) -> str:
        if label_tag != FINAL:
            raise LabelError(f"Labels have the tag {FINAL!r} here, and no other.")
        self.surrogates.save_label(image_id, Path(label_filename).read_bytes())
        return image_id

    def remove_label(self, label_id: str, label_tag: str) -> None:
        if label_tag != FINAL:
            raise LabelError(f"Labels have the tag {FINAL!r} here, and no other.")
        self.surrogates.given.remove(self.surrogates.find(label_id).id)

    def update_image_info(self, image_id: str, info: dict[str, Any]) -> None:
        self._info.setdefault(self.surrogates.find(image_id).id, {}).update(info)

    def update_label_info(self, label_id: str, label_tag: str, info: dict[str, Any]) -> None:
        raise LabelError("A label here is a class and nothing beside: send the label again instead.")

    def status(self) -> dict[str, Any]:
        tags: dict[str, int] = {}
        labels = self.surrogates.labels()
        for tag in (tag for found in labels.values() for tag in found):
            tags[tag] = tags.get(tag, 0) + 1
        return {"total": len(self.surrogates.images), "completed": len(labels), "label_tags": tags}

    def json(self) -> dict[str, Any]:
        """Every image with its section and labels, by id."""
        labels = self.surrogates.labels()
        objects = {
            item.id: {
                "image": {"ext": self.surrogates.suffix, "info": self.get_image_info(item.id)},
                "labels": {
                    tag: {"ext": ".json", "info": {"label": name}} for tag, name in labels.get(item.id, {}).items()
                },
            }
            for item in self.surrogates.images.values()
        }
        return {"name": self.name(), "description": self.description(), "objects": objects}
