"""A training's config as it may be shown: no folder of anybody's machine, and the store by its digest.

It runs as it is, beside a folder ``store``: ``python -m monai.bundle run training --config_file training.json``.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fesf.scripts.data.store_format import MANIFEST

PLACES: dict[str, Any] = {
    "bundle_root": ".",
    "dataset_dir": "store",
    "output_dir": "eval",
    "ckpt_dir": "models",
    "public_key": None,
    "resume": None,
}
"""Ids that are files or folders, and what stands for them."""
TRACKING = {"tracking_uri", "local_uri", "experiment_name", "run_name", "registered_model", "save_execute_config"}
TRACKING |= {"cohort", "tracked_run", "training_record", "_meta_"}
_HANDLERS = ("TrackingHandler", "MLFlowHandler")
_ABSOLUTE = re.compile(r"^(?:[/~\\]|[A-Za-z]:[\\/]|file:)")


def manifest_sha256(store: str | Path) -> str:
    """Digest of a store's manifest, which holds the digests of all its files."""
    return hashlib.sha256((Path(store) / MANIFEST).read_bytes()).hexdigest()


def same_store(store: str | None, sha256: str) -> str | None:
    """The store, once it is the one that a logged config trained on.

    Args:
        store: folder of the store; None for none.
        sha256: digest of the manifest.

    Raises:
        ValueError: when it is another store.
    """
    if store is not None and manifest_sha256(store) != sha256:
        raise ValueError(
            f"The manifest's sha256 is not {sha256}: this config was logged for another store. Train with"
            " bundle/configs/train.json, or get that store."
        )
    return store


def logged_config(config: Mapping[str, Any], store_sha256: str) -> dict[str, Any]:
    """The config without places and without tracking.

    Args:
        config: all ids of a training on a store, as MONAI merged them; not changed.
        store_sha256: digest of the store's manifest; a run of the logged config on another store is refused.

    Returns:
        A config that trains the same beside a folder ``store``. Of any other absolute path the last part is kept.
    """
    hidden = {value: PLACES[name] for name, value in config.items() if name in PLACES and _is_folder(value)}
    kept: dict[str, Any] = {name: _shown(value, hidden) for name, value in config.items() if name not in TRACKING}
    kept |= {name: neutral for name, neutral in PLACES.items() if name in config}
    for part in ("train", "validate"):
        if "handlers" in kept.get(part, {}):
            kept[part]["handlers"] = [item for item in kept[part]["handlers"] if not _is_tracking(item)]
    kept["store"] = {
        "_target_": "fesf.scripts.data.logged_config.same_store",
        "store": kept["store"],
        "sha256": store_sha256,
    }
    return kept


def logged_params(config: Mapping[str, Any]) -> dict[str, str]:
    """The plain values among the top ids of a logged config, and the network's class."""
    plain = {
        name: str(value)
        for name, value in config.items()
        if name not in PLACES
        and isinstance(value, bool | int | float | str)
        and not str(value).startswith(("$", "@", "%"))
    }
    return plain | {"network": str(config["network_def"]["_target_"])}


def _is_folder(value: Any) -> bool:
    return isinstance(value, str) and os.path.isabs(value) and len(Path(value).parts) > 1


def _is_tracking(item: Any) -> bool:
    return isinstance(item, Mapping) and str(item.get("_target_", "")).rpartition(".")[2] in _HANDLERS


def _shown(value: Any, hidden: Mapping[str, Any]) -> Any:
    if isinstance(value, Mapping):
        return {name: _shown(item, hidden) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(item, hidden) for item in value]
    if not isinstance(value, str):
        return value
    for place in sorted(hidden, key=len, reverse=True):
        value = value.replace(place, str(hidden[place] or ""))
    return re.split(r"[/\\]", value.rstrip("/\\"))[-1] if _ABSOLUTE.match(value) else value
