"""Several stores as one data set: what ``pooled.json`` reaches, for an analyst who was given more than one."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.config import KeysCollection
from monai.transforms import MapTransform

from fesf.scripts.data.signature import signed_store
from fesf.scripts.data.store import IMAGES, LoadImageStored, StoreError, class_names, load_datalist

Stores = Sequence[str | Path]


def signed_stores(stores: Stores, public_keys: Sequence[str | Path] | None = None) -> list[str]:
    """The stores, each once its hospital's signature is right.

    Args:
        stores: folders, at least one, none twice.
        public_keys: one public key a store, in the same order; None requires no signature.

    Raises:
        ValueError: when there is no store, one is named twice, or there are more or fewer keys than stores.
        StoreError: when a signature is missing or wrong.
    """
    if isinstance(stores, str) or not stores:
        raise ValueError(f"stores={stores!r}: give a list of folders, such as \"['a/store', 'b/store']\".")
    folders = [str(store) for store in stores]
    if len({os.path.realpath(folder) for folder in folders}) < len(folders):
        raise ValueError("stores names a folder twice: each store counts once.")
    keys: Sequence[str | Path | None] = [None] * len(folders) if public_keys is None else list(public_keys)
    if len(keys) != len(folders):
        raise ValueError(f"There are {len(folders)} stores and {len(keys)} public_keys: give one key for each store.")
    return [str(signed_store(folder, key)) for folder, key in zip(folders, keys, strict=True)]


def load_datalists(stores: Stores, section: str = "training") -> list[dict[str, Any]]:
    """Items of one section of all stores, one store after the other; see :func:`fesf.scripts.data.store.load_datalist`.

    Raises:
        StoreError: when a folder is not a store.
        ValueError: when the section is unknown, or empty in a store, or an image is in two stores.
    """
    items = [item for store in stores for item in load_datalist(store, section)]
    if len({item["id"] for item in items}) < len(items):
        raise ValueError("An image id is in two of the stores: one may be a copy of the other. Give each store once.")
    return items


def common_classes(stores: Stores) -> list[str]:
    """Names of the classes, the same in every store.

    Raises:
        ValueError: when two stores name other classes, or in another order: a label would mean two things.
    """
    first, *others = (class_names(store) for store in stores)
    for names in others:
        if names != first:
            raise ValueError(
                f"The stores name other classes ({', '.join(first)} and {', '.join(names)}): a label would mean two "
                "things. Hide again with the same class names."
            )
    return first


class LoadImageOfStores(MapTransform):
    """Load surrogates, each under the rules of the store that holds it.

    Args:
        keys: keys of the items that hold an image's path.
        stores: folders of the stores.
        allow_missing_keys: do not raise when a key is missing.

    Returns of a call:
        See :class:`fesf.scripts.data.store.LoadImageStored`.

    Raises:
        StoreError: when an image lies in none of the stores, and whatever ``LoadImageStored`` refuses.
    """

    def __init__(self, keys: KeysCollection, stores: Stores, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.loaders = {os.path.abspath(Path(store) / IMAGES): LoadImageStored("image", store) for store in stores}

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            loader = self.loaders.get(os.path.abspath(Path(item[key]).parent))
            if loader is None:
                raise StoreError("An image lies in none of the stores: only published surrogates are read.")
            item[key] = loader({"image": item[key]})["image"]
        return item
