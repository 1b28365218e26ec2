"""The hook for the audit: absent, of another store, malformed, or over a limit, it refuses."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from fesf.scripts.data.audit import check_audit

STORE = "a" * 64
GOOD: dict[str, Any] = {
    "store": STORE,
    "limits": {"rank_1": {"at_most": 0.1}, "attacked": {"at_least": 100}, "gain": {"at_least": -1, "at_most": 0.5}},
    "results": {"rank_1": 0.1, "attacked": 100, "gain": 0, "other": 3},
}


def write(folder: Path, document: Any) -> Path:
    path = folder / "audit.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def test_within_its_limits(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    assert check_audit(path, STORE) == {
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "limits": GOOD["limits"],
        "results": {"rank_1": 0.1, "attacked": 100, "gain": 0},
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"results": GOOD["results"] | {"rank_1": 0.11}}, r"rank_1 is 0\.11, its limit is at most 0\.1: this store"),
        ({"results": GOOD["results"] | {"attacked": 99}}, "attacked is 99, its limit is at least 100"),
        ({"results": GOOD["results"] | {"gain": 0.6}}, r"its limit is at most 0\.5 and at least -1"),
        ({"results": GOOD["results"] | {"rank_1": None}}, "rank_1 has a limit and the result None, where a limit"),
        ({"results": GOOD["results"] | {"rank_1": float("nan")}}, "a limit needs a number"),
        ({"results": GOOD["results"] | {"rank_1": True}}, "a limit needs a number"),
        ({"results": {}}, "a limit needs a number"),
        ({"limits": {"rank_1": {}}}, r"the limit of rank_1 is \{\}: give at_most or at_least"),
        ({"limits": {"rank_1": {"most": 1}}}, "give at_most or at_least"),
        ({"limits": {"rank_1": {"at_most": float("inf")}}}, "give at_most or at_least"),
        ({"limits": {}}, "states no limits"),
        ({"results": 3}, "or no results"),
        ({"store": "b" * 64}, "is of another store"),
    ],
)  # fmt: skip
def test_anything_else_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_audit(write(tmp_path, GOOD | change), STORE)


def test_every_limit_that_is_passed_is_named(tmp_path: Path) -> None:
    results = {"rank_1": 0.11, "attacked": 120, "gain": 0.6}
    with pytest.raises(ValueError, match="its limit") as caught:
        check_audit(write(tmp_path, GOOD | {"results": results}), STORE)
    assert str(caught.value) == (
        "audit.json: rank_1 is 0.11, its limit is at most 0.1; gain is 0.6, its limit is at most 0.5 and at least -1:"
        " this store is not to be released."
    )


def test_no_audit(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"has no audit\.json: audit the store first, or say with --without-audit REASON"
    ):
        check_audit(tmp_path / "audit.json", STORE)
    with pytest.raises(ValueError, match="is not JSON"):
        check_audit(write(tmp_path, "{"), STORE)
    with pytest.raises(ValueError, match="is of another store"):
        check_audit(write(tmp_path, "[]"), STORE)
