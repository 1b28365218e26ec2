"""The hook for the privacy audit: a release waits for ``audit.json`` in the hospital folder, within its limits.

The audit writes::

    {"store": "<SHA-256 of manifest.json>",
     "limits": {"reidentification_rank_1": {"at_most": 0.1}, "patients_attacked": {"at_least": 100}},
     "results": {"reidentification_rank_1": 0.04, "patients_attacked": 250}}
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

AUDIT = "audit.json"
BOUNDS = ("at_most", "at_least")
REFUSAL = "this store is not to be released"


def check_audit(path: str | Path, manifest_sha256: str) -> dict[str, Any]:
    """Read an audit and compare its results with the limits that it states.

    Args:
        path: the file.
        manifest_sha256: digest of the manifest that is to be released.

    Returns:
        ``{"sha256": digest of the file, "limits": ..., "results": ...}`` for the release log.

    Raises:
        ValueError: when there is no audit, it is of another store or malformed, states no limit, or limits are passed,
            of which every one is named.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(
            f"The hospital folder has no {AUDIT}: audit the store first, or say with --without-audit REASON why not;"
            " the reason is logged."
        )
    content = path.read_bytes()
    try:
        audit = json.loads(content)
    except ValueError:
        raise ValueError(f"{AUDIT} is not JSON: run the audit again.") from None
    held = audit if isinstance(audit, dict) else {}
    if held.get("store") != manifest_sha256:
        raise ValueError(f"{AUDIT} is of another store (its manifest has another digest): audit this one.")
    limits, results = held.get("limits"), held.get("results")
    if not isinstance(limits, dict) or not limits or not isinstance(results, dict):
        raise ValueError(f"{AUDIT} states no limits, or no results: run the audit again.")
    check_limits(limits)
    faults = [fault for name, limit in limits.items() if (fault := breach(name, limit, results.get(name)))]
    if faults:
        raise ValueError(f"{AUDIT}: {'; '.join(faults)}: {REFUSAL}.")
    return {"sha256": sha256(content).hexdigest(), "limits": limits, "results": {n: results[n] for n in limits}}


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def check_limits(limits: Mapping[str, Any], file: str = AUDIT) -> None:
    """Check that every limit is ``{"at_most": number}``, ``{"at_least": number}`` or both.

    Args:
        limits: by the name of the result.
        file: name of the file that holds them, for the message.

    Raises:
        ValueError: naming the limit.
    """
    for name, limit in limits.items():
        bounds = limit if isinstance(limit, dict) else {}
        if not bounds or not set(bounds) <= set(BOUNDS) or not all(_number(bound) for bound in bounds.values()):
            raise ValueError(f"{file}: the limit of {name} is {limit!r}: give at_most or at_least and a number.")


def breach(name: str, bounds: Mapping[str, float], result: Any) -> str | None:
    """Why a result does not hold its limit; None when it does.

    Args:
        name: of the result.
        bounds: its limit.
        result: a number; anything else holds no limit.
    """
    if not _number(result):
        return f"{name} has a limit and the result {result!r}, where a limit needs a number"
    if result > bounds.get("at_most", math.inf) or result < bounds.get("at_least", -math.inf):
        return f"{name} is {result:g}, its limit is {limit_words(bounds)}"
    return None


def limit_words(bounds: Mapping[str, float]) -> str:
    """A limit as words: "at most 0.1 and at least 0"."""
    return " and ".join(f"{bound.replace('_', ' ')} {bounds[bound]:g}" for bound in BOUNDS if bound in bounds)
