"""A surrogate store as a label server may show it: what its manifest vouches for, and nothing else."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fesf.scripts.data.signature import signed_store
from fesf.scripts.data.store import refuse_other_files
from fesf.scripts.data.store_format import (
    MANIFEST,
    SECTIONS,
    SUFFIXES,
    StoreError,
    image_id,
    items_of,
    load_dataset,
    load_manifest,
)
from fesf.scripts.label.labels import FINAL, LabelError, LabelFolder

REFUSED = "The image is none of the store's: only published surrogates are served, labelled and predicted, by their id."
READ_ONLY = "A surrogate store is read-only: what it holds, its hospital published."
WHOLE = "The store is the data set: copy the store."
STORE = "store"
"""Tag of the labels that the store itself discloses."""
TRAINING, VALIDATION, _ = SECTIONS


def _reads_dicom() -> bool:
    """Whether pydicom is here, and of a version that has the decoders of ours."""
    return find_spec("pydicom") is not None and find_spec("pydicom.pixels") is not None


@dataclass(frozen=True)
class Surrogate:
    """One image of the store.

    Args:
        id: keyed id, 32 hex digits.
        name: its file, relative to the store.
        section: "training", "validation" or "test".
        label: class name that the store discloses; None where it does not.
    """

    id: str
    name: str
    section: str
    label: str | None


class Surrogates:
    """The images of a store with the labels that the store discloses and those that the server was given.

    Digests are checked at every use. Nothing is ever written into the store.

    Args:
        store: folder of the store.
        labels: folder of given labels; stores with other manifests get folders of their own in it.
        public_key: PEM file of the hospital's public key; None requires no signature.

    Raises:
        StoreError: when the folder is no store, holds other files than its manifest lists, is not signed as asked, or
            is one of DICOM files without pydicom 3.
    """

    def __init__(self, store: str | Path, labels: str | Path, public_key: str | Path | None = None) -> None:
        self.store = os.path.abspath(store)
        signed_store(self.store, public_key)
        refuse_other_files(self.store)
        manifest, dataset = load_manifest(self.store), load_dataset(self.store)
        if manifest["encoding"]["type"] == "dicom" and not _reads_dicom():
            raise StoreError(
                "A store of DICOM files is read by pydicom 3, and MONAI Label's environment holds pydicom 2: ask the"
                " hospital for a store of PNG files."
            )
        self.class_names: list[str] = dataset["class_names"]
        self.suffix = SUFFIXES[manifest["encoding"]["type"]]
        self.digests = {name: entry["sha256"] for name, entry in manifest["files"].items()}
        self.images = {item.id: item for item in self._listed(dataset)}
        self.key = hashlib.sha256((Path(self.store) / MANIFEST).read_bytes()).hexdigest()
        self.given = LabelFolder(Path(labels) / self.key[:16], self.class_names)

    def _listed(self, dataset: dict[str, Any]) -> Iterator[Surrogate]:
        for section, item in sorted(items_of(dataset), key=lambda pair: str(pair[1]["image"])):
            label = item.get("label")
            if label is not None and not (type(label) is int and 0 <= label < len(self.class_names)):
                raise StoreError(f"A label of {section} is no index of class_names: copy the store again.")
            name = str(item["image"])
            if name not in self.digests:
                raise StoreError(f"An image of {section} is not in the store's manifest: copy the store again.")
            yield Surrogate(image_id(name), name, section, None if label is None else self.class_names[label])

    def find(self, image: Any) -> Surrogate:
        """The surrogate of an id.

        Raises:
            StoreError: when the store has none of that id, as for a path or an array.
        """
        found = self.images.get(image) if isinstance(image, str) else None
        if found is None:
            raise StoreError(REFUSED)
        return found

    def path(self, image: str) -> str:
        """The file of a surrogate, once its bytes are those of the manifest.

        Raises:
            StoreError: when the store has none of that id, or its file was changed or removed.
        """
        name = self.find(image).name
        place = os.path.join(self.store, name)
        try:
            content = Path(place).read_bytes()
        except OSError as error:
            raise StoreError(
                f"{name!r} cannot be read ({error.strerror}): the store is incomplete, copy it again."
            ) from None
        if hashlib.sha256(content).hexdigest() != self.digests[name]:
            raise StoreError(f"{name!r} differs from its digest in the manifest: it was changed after publication.")
        return place

    def labels(self) -> dict[str, dict[str, str]]:
        """Class by tag ("store", "final") for each surrogate that has one, sorted by id."""
        given = self.given.read()
        found: dict[str, dict[str, str]] = {}
        for item in self.images.values():
            tags = {STORE: item.label} if item.label is not None else {}
            tags |= {FINAL: given[item.id]} if item.id in given else {}
            if tags:
                found[item.id] = tags
        return found

    def unlabelled(self) -> list[str]:
        """Ids of the training section without a label: what is worth asking the hospital for."""
        labels = self.labels()
        return [item.id for item in self.images.values() if item.section == TRAINING and item.id not in labels]

    def save_label(self, image: str, content: bytes) -> str:
        """Keep a label for a surrogate that the store gives none.

        Returns:
            The class.

        Raises:
            StoreError: when the store has no such image.
            LabelError: when the store labels it itself, nobody trains on it, or the content names no class.
        """
        item = self.find(image)
        if item.label is not None:
            raise LabelError("The store itself labels this surrogate: ask the hospital for another release.")
        if item.section not in (TRAINING, VALIDATION):
            raise LabelError("This surrogate is of the test section: it is never trained on and takes no label.")
        return self.given.save(image, content)

    def items(self, section: str) -> list[dict[str, Any]]:
        """Labelled surrogates of a section as training takes them: "image" (path), "label" (class index), "id"."""
        labels = self.labels()
        return [
            {
                "image": os.path.join(self.store, item.name),
                "label": self.class_names.index(next(iter(labels[item.id].values()))),
                "id": item.id,
            }
            for item in self.images.values()
            if item.section == section and item.id in labels
        ]
