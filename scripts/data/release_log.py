"""The hospital's release log: what was released or withdrawn, when and to whom; append-only and chained by digests.

``release-log.jsonl`` has one JSON object a line. Each holds "previous", the SHA-256 of the line before (64 zeros in the
first), so a line that is changed, removed, inserted or moved breaks the chain at the next one. ``release-log.head``
beside it holds the number of lines and the digest of the last: it shows a cut end. Who can write both files can cut the
end, or write a whole new log, unseen: only a digest that was noted elsewhere shows that (``verify --head``).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from fesf.scripts.data.files import PRIVATE, flush_folder, write_atomic
from fesf.scripts.data.lock import locked

LOG, HEAD = "release-log.jsonl", "release-log.head"
START = "0" * 64


class LogError(ValueError):
    """The release log is not what was written."""


@dataclass(frozen=True)
class Log:
    """A checked log.

    Args:
        entries: its entries in order.
        digests: SHA-256 of each line, hex.
        unconfirmed: lines that the head does not count yet: a run was stopped between the two files.
    """

    entries: list[dict[str, Any]]
    digests: list[str]
    unconfirmed: int = 0

    @property
    def head(self) -> str:
        """Digest of the last line; 64 zeros for an empty log."""
        return self.digests[-1] if self.digests else START


def read_log(path: str | Path, head: str | None = None) -> Log:
    """Read a log and check its chain.

    Args:
        path: the log; a missing one is empty, unless its head says otherwise.
        head: digest that was noted earlier; one of the lines must have it.

    Raises:
        LogError: naming the first line that does not fit, or that lines at the end are missing.
    """
    path = Path(path)
    content = path.read_bytes() if path.is_file() else b""
    whole = content[: content.rfind(b"\n") + 1]
    entries, digests, previous = [], [], START
    for number, line in enumerate(whole.splitlines(), 1):
        entry = _parse(line)
        if entry is None or entry.get("previous") != previous or entry.get("number") != number:
            raise LogError(
                f"Line {number} of the release log does not follow from the one before: this line or that one was"
                " changed, removed or moved. Compare with a backup."
            )
        previous = sha256(line).hexdigest()
        entries.append(entry)
        digests.append(previous)
    confirmed, last = _read_head(path)
    if confirmed > len(digests) or (confirmed and digests[confirmed - 1] != last):
        raise LogError(
            f"The release log has {len(digests)} lines and its head speaks of {confirmed}, the last with digest"
            f" {last[:12]}...: lines were cut off, or changed and chained anew. Compare with a backup."
        )
    if head is not None and head not in digests:
        raise LogError(f"No line of the release log has the digest {head[:64]!r}: it was cut, or written anew.")
    return Log(entries, digests, len(digests) - confirmed)


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def _read_head(path: Path) -> tuple[int, str]:
    head = path.with_name(HEAD)
    if not head.is_file():
        return 0, START
    held = _parse(head.read_bytes())
    if held is None or not isinstance(held.get("lines"), int) or not isinstance(held.get("last"), str):
        raise LogError(f"{HEAD} is malformed: compare with a backup.")
    return held["lines"], held["last"]


def append(path: str | Path, entry: Mapping[str, Any], now: datetime | None = None) -> str:
    """Add an entry at the end, on the disk when this returns.

    Args:
        path: the log; its folder exists.
        entry: what happened, without "number", "time" and "previous". Never a patient.
        now: the time; None for the present.

    Returns:
        Digest of the new line: the head to note elsewhere.

    Raises:
        LogError: when the log so far is broken; then nothing is added.
    """
    path = Path(path)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, PRIVATE))
    with locked(path):
        log = read_log(path)
        _cut_half_line(path)
        time = (now or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")
        chained = {**entry, "number": len(log.entries) + 1, "time": time, "previous": log.head}
        line = json.dumps(chained, sort_keys=True, ensure_ascii=False).encode()
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
        with os.fdopen(descriptor, "ab") as file:
            file.write(line + b"\n")
            file.flush()
            os.fsync(descriptor)
        flush_folder(path.parent)
        digest = sha256(line).hexdigest()
        head = {"lines": len(log.entries) + 1, "last": digest}
        write_atomic(path.with_name(HEAD), json.dumps(head).encode() + b"\n", PRIVATE)
        return digest


def _cut_half_line(path: Path) -> None:
    """A run that was stopped while it wrote leaves half a line, of which nobody was told."""
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)
