"""Writing files so that a crash leaves the old one or the new one, and others cannot read the hospital's."""

from __future__ import annotations

import csv
import io
import json
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from fesf.scripts.data.store_format import MODIFIED

PRIVATE = 0o600
SHARED = 0o644
UNSHOWN = "(The value is not shown: where cells have moved it may be a name.)"
"""For errors about a cell of the hospital's tables."""


def write_atomic(path: str | Path, content: bytes, mode: int = PRIVATE) -> None:
    """Replace a file at once: write beside it, flush to the disk, rename.

    Args:
        path: the file.
        content: its bytes.
        mode: its permissions; the hospital's files are 0600.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    os.replace(beside, path)
    flush_folder(path.parent)


def flush_folder(folder: str | Path) -> None:
    """Put a folder's entries on the disk, so that a rename in it outlasts a power cut (POSIX only)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network filesystems
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def refuse_readable_by_others(path: str | Path, name: str) -> None:
    """Refuse a secret file that another user could read.

    Args:
        path: the file, which exists.
        name: what the user calls it.

    Raises:
        ValueError: when its group or the world has any permission on it.
    """
    if os.name == "posix" and os.stat(path).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ValueError(f"{name} {str(path)!r} can be read by other users: chmod 600 it.")


def file_sha256(path: str | Path | None) -> str | None:
    """Digest of a file's content in hex; None for no file.

    Raises:
        ValueError: when there is no such file.
    """
    if path is None:
        return None
    if not Path(path).is_file():
        raise ValueError(f"{str(path)!r} is not a file: give the path of one, or null for none.")
    return sha256(Path(path).read_bytes()).hexdigest()


def to_json(value: Any) -> bytes:
    """JSON with sorted keys, one byte string for one value."""
    buffer = io.BytesIO()  # piece by piece: json.dumps holds every piece of a long manifest at once
    pieces = json.JSONEncoder(indent=1, sort_keys=True, ensure_ascii=False).iterencode(value)
    buffer.writelines(piece.encode() for piece in pieces)
    buffer.write(b"\n")
    return buffer.getvalue()


def to_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    """A table with a header; lines end in a line feed."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue().encode()


def even_out(folder: str | Path) -> None:
    """Give every file and folder the same time and the permissions of something that is handed over."""
    for place, _, names in os.walk(folder, topdown=False):  # names, not a path object for each of many images
        for name in names:
            os.chmod(os.path.join(place, name), SHARED)
            os.utime(os.path.join(place, name), (MODIFIED, MODIFIED))
        os.chmod(place, 0o755)
        os.utime(place, (MODIFIED, MODIFIED))


def make_private_folder(path: str | Path) -> Path:
    """Make a folder that only its owner can enter, or check that it is one.

    Raises:
        ValueError: when the folder exists and others can read or enter it.
    """
    path = Path(path)
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.name == "posix" and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ValueError(f"The hospital folder {str(path)!r} can be read by other users: chmod 700 it.")
    return path
