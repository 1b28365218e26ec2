"""Running an audit: limits first, then attack after attack, each kept as it ends, then the verdict."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from typing import Any

from fesf.scripts.audit.attack import Attack, run_attack
from fesf.scripts.audit.scene import Scene
from fesf.scripts.audit.threats import describe
from fesf.scripts.data.audit import check_limits
from fesf.scripts.data.files import file_sha256, make_private_folder, to_json, write_atomic
from fesf.scripts.data.provenance import versions

FORMAT = 3
"""Of what is kept of an attack; another one is done again."""
NOT_MEASURED = "cannot be measured"
EXAMPLE = 'write, for example, {"same_image": {"at_most": 0.05}}'
SOFTWARE = ("fesf", "numpy", "scikit-learn", "scikit-image")


def read_limits(path: str | Path | None, names: Mapping[str, Any]) -> dict[str, Any]:
    """Limits as they were written down before: ``{"same_image": {"at_most": 0.05}}``.

    Args:
        path: the file; None for no limits.
        names: attacks that may be limited.

    Raises:
        ValueError: when it is not such a file, or names an attack that this audit does not run.
    """
    if path is None:
        return {}
    try:
        limits = json.loads(Path(path).read_bytes())
    except (OSError, ValueError):
        raise ValueError(f"limits cannot be read as JSON: {EXAMPLE}.") from None
    if not isinstance(limits, dict):
        raise ValueError(f"limits is no object: {EXAMPLE}.")
    unknown = sorted(set(limits) - set(names))
    if unknown:
        raise ValueError(f"limits names {unknown[0]!r}, which is not attacked: choose from {', '.join(names)}.")
    check_limits(limits, "limits")
    return limits


def settings_of(attack: Attack) -> dict[str, Any]:
    """What decides an attack's outcome beside the release: its settings and margins."""
    fields: dict[str, Any] = asdict(attack) if is_dataclass(attack) and not isinstance(attack, type) else {}
    shared = ("name", "letters", "finding", "measure", "broken", "margin", "permutations")
    own = {"titles": dict(attack.titles)} if hasattr(attack, "titles") else {}
    own |= {"below": attack.below} if hasattr(attack, "below") else {}
    return {name: getattr(attack, name) for name in shared} | own | fields


def measure(attack: Attack, scene: Scene, seed: int) -> dict[str, Any]:
    """One attack with its controls, as the results hold it; one that a set cannot measure says why."""
    document = settings_of(attack) | {"holds": describe(attack.letters)}
    try:
        outcome = run_attack(attack, scene, seed)
    except ValueError as error:
        return document | {"verdict": f"{NOT_MEASURED}: {error}", "conditions": {}, "faults": [str(error)]}
    details = {name: dict(score.details) for name, score in outcome.scores.items()}
    return document | {
        **outcome.shown,
        "known": len(scene.known),
        "verdict": outcome.verdict(),
        "faults": outcome.faults(),
        "conditions": {name: found | {"details": details[name]} for name, found in outcome.summary().items()},
    }


def run_audit(
    scene: Scene, manifest_sha256: str, attacks: Mapping[str, Attack], out: str | Path, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """Run what is missing; an attack that was done on this release with these settings is read back.

    Args:
        scene: the release.
        manifest_sha256: digest of the store's manifest.
        attacks: by name.
        out: the audit's folder, in the hospital.
        seed: of controls and intervals.

    Returns:
        What :func:`measure` gives, by the attacks' names.
    """
    folder = make_private_folder(Path(out) / "attacks")
    results = {}
    for number, (name, attack) in enumerate(attacks.items(), start=1):
        path = folder / f"{name}.json"
        asked = {
            "format": FORMAT,
            "store": manifest_sha256,
            "seed": seed,
            "settings": settings_of(attack),
            "software": versions(SOFTWARE),
        }
        key = sha256(to_json(asked)).hexdigest()
        kept = json.loads(path.read_bytes()) if path.is_file() else {}
        if kept.get("key") != key:
            print(f"[{number}/{len(attacks)}] {name} ...", flush=True)
            started = perf_counter()
            result = measure(attack, scene, seed)
            pictures = result.pop("pictures", [])  # plaintext pixels: for the page alone
            kept = {"key": key, "result": result | {"seconds": round(perf_counter() - started, 1)}}
            kept["pictures"] = pictures
            write_atomic(path, to_json(kept))
        results[name] = json.loads(to_json(kept["result"]))
        print(f"[{number}/{len(attacks)}] {name}: {results[name]['verdict']}", flush=True)
    return results


def audit_document(
    results: Mapping[str, Mapping[str, Any]], limits: Mapping[str, Any], manifest_sha256: str, limits_file: Path | None
) -> dict[str, Any]:
    """``audit.json``: what :func:`fesf.scripts.data.audit.check_audit` reads, and the release waits for.

    A result is the upper end of the interval: what cannot be excluded. An attack that does not count, because a control
    failed or the set cannot measure it, gives none, and so holds no limit.
    """
    counted = {name: result["conditions"]["store"]["high"] for name, result in results.items() if not result["faults"]}
    return {
        "store": manifest_sha256,
        "limits": dict(limits),
        "limits_sha256": file_sha256(limits_file) if limits_file else None,
        "results": {name: counted.get(name) for name in results},
        "verdicts": {name: result["verdict"] for name, result in results.items()},
    }
