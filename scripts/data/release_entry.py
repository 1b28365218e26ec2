"""What the release log says of a release, a withdrawal and a model; and which stores held whom."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from fesf.scripts.data.folders import LINKAGE, RELEASE
from fesf.scripts.data.linkage import read_linkage
from fesf.scripts.data.release_log import Log, append, read_log
from fesf.scripts.data.store_format import MANIFEST, load_manifest

RELEASED, WITHDRAWN, MODEL = "release", "withdrawal", "model"


def manifest_sha256(store: str | Path) -> str:
    """Digest of the store's manifest, 64 hex digits: the store's name in the log."""
    load_manifest(store)
    return sha256((Path(store) / MANIFEST).read_bytes()).hexdigest()


def release_entry(
    store: str | Path, hospital: str | Path, log: str | Path, secret_file: str | Path | None = None
) -> dict[str, Any]:
    """What of a release follows from its folders.

    Args:
        store: the store.
        hospital: the hospital folder of its release.
        log: the log, relative to which the hospital folder is named.
        secret_file: for an encrypted linkage; None reads the environment.

    Raises:
        ValueError: when a file of the folder is missing or cannot be read.
    """
    path = Path(hospital) / RELEASE
    if not path.is_file():
        raise ValueError(f"{str(hospital)!r} has no {RELEASE}: name the hospital folder of this store's release.")
    content = path.read_bytes()
    recipe = json.loads(content)
    rows = read_linkage(Path(hospital) / LINKAGE, secret_file).values()
    return {
        "event": RELEASED,
        "release_id": recipe["release_id"],
        "store": manifest_sha256(store),
        "recipe": sha256(content).hexdigest(),
        "commitment": load_manifest(store)["commitment"],
        "generator": recipe.get("generator_sha256"),
        "images": len(rows),
        "patients": len({row["patient"] for row in rows}),
        "hospital": os.path.relpath(hospital, Path(log).parent),
    }


def stores_that_held(
    log: Log, folder: Path, patients: Iterable[str], secret_file: str | Path | None = None
) -> list[dict[str, Any]]:
    """Earlier stores of the log, and how many of these patients each held.

    Args:
        log: the log.
        folder: the log's folder.
        patients: as the cohort names them; they are compared with each release's linkage and not kept.
        secret_file: for an encrypted linkage; None reads the environment.

    Returns:
        ``{"store", "release_id", "patients", "images"}`` for each released store that held one of them; the counts are
        None where its linkage is gone or cannot be read.
    """
    asked, found, seen = set(patients), [], set()
    for entry in log.entries:
        if entry.get("event") != RELEASED or entry["store"] in seen:
            continue
        seen.add(entry["store"])
        of = {"store": entry["store"], "release_id": entry["release_id"]}
        try:
            rows = read_linkage(folder / entry["hospital"] / LINKAGE, secret_file).values()
        except ValueError:
            found.append(of | {"patients": None, "images": None})
            continue
        held = [row["patient"] for row in rows if row["patient"] in asked]
        if held:
            found.append(of | {"patients": len(set(held)), "images": len(held)})
    return found


def log_withdrawal(
    path: Path, tombstone: Mapping[str, Any], patients: Iterable[str], secret_file: str | Path | None = None
) -> None:
    """Add a tombstone to the log, once a store: how many patients, a keyed digest, and the stores that held them.

    Args:
        path: the log.
        tombstone: "release_id", "store" (digest of the new manifest), "count" and "digest"; no identity.
        patients: the withdrawn ones.
        secret_file: for an encrypted linkage; None reads the environment.

    Raises:
        ValueError: when the log is broken.
    """
    log = read_log(path)
    entry = {"event": WITHDRAWN, **tombstone}
    if any(all(held.get(name) == value for name, value in entry.items()) for held in log.entries):
        return
    append(path, entry | {"held_by": stores_that_held(log, path.parent, patients, secret_file)})


def describe(log: Log) -> str:
    """The log as text, one event after the other; under a withdrawal the stores and models that held the patients."""
    models: dict[str, list[str]] = {}
    for entry in log.entries:
        if entry.get("event") == MODEL:
            models.setdefault(entry["store"], []).append(entry["model"])
    lines = []
    for entry in log.entries:
        start = f"{entry['number']:>4}  {entry['time']}  {entry.get('event')}"
        if entry.get("event") == RELEASED:
            audit = entry["audit"].get("without")
            lines.append(
                f"{start} of {entry['release_id']}, store {entry['store'][:12]}, {entry['images']} images of"
                f" {entry['patients']} patients, to {entry['to']}, approved by {entry['approver']}"
                + (f", without audit: {audit}" if audit else ", audit within its limits")
                + (", decided PatientIdentityRemoved YES" if entry.get("patient_identity_removed") == "YES" else "")
            )
        elif entry.get("event") == MODEL:
            lines.append(f"{start} {entry['model'][:12]} trained on store {entry['store'][:12]}")
        elif entry.get("event") == WITHDRAWN:
            lines.append(
                f"{start} of {entry['count']} patients (keyed digest {entry['digest'][:12]}) from"
                f" {entry['release_id']}, new store {entry['store'][:12]}"
            )
            for held in entry["held_by"]:
                counts = (
                    f"{held['patients']} of them, {held['images']} images"
                    if held["patients"]
                    else "unknown: its linkage is gone"
                )
                trained = "".join(f", model {model[:12]}" for model in models.get(held["store"], []))
                lines.append(f"      held by store {held['store'][:12]} of {held['release_id']}: {counts}{trained}")
    return "\n".join(lines)
