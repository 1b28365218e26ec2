"""Originals on the disk: sealed, one file each, on the disk before anything is acknowledged, and gone when answered."""

from __future__ import annotations

import threading
from pathlib import Path

from fesf.scripts.data.files import flush_folder, make_private_folder, write_atomic
from fesf.scripts.engines.sealed import Seal

SUFFIX = ".sealed"


class FullError(Exception):
    """The spool's quota does not take one more."""


class Spool:
    """A folder of sealed originals.

    Args:
        folder: made with mode 0700.
        seal: closes and opens them.
        quota: most bytes in all.

    Attributes:
        turn: held by who takes an original or deletes old ones, from the look at its row until its file is there or
            gone.
    """

    def __init__(self, folder: Path, seal: Seal, quota: int) -> None:
        self.folder, self.quota = make_private_folder(folder), quota
        self._seal, self._lock, self.turn = seal, threading.Lock(), threading.Lock()
        for left in folder.glob(".*.new"):  # of a process that was killed while it wrote
            left.unlink()
        self._sizes = {path.stem: path.stat().st_size for path in folder.glob(f"*{SUFFIX}")}

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(self._sizes.values())

    def __contains__(self, identity: str) -> bool:
        return identity in self._sizes

    def put(self, identity: str, content: bytes) -> None:
        """Write an original; it is on the disk when this returns.

        Raises:
            FullError: when the quota does not take it.
            OSError: when the disk does not.
        """
        sealed = self._seal.close(content, f"original {identity}")
        with self._lock:
            if self.size + len(sealed) > self.quota:
                raise FullError
            self._sizes[identity] = len(sealed)
        try:
            write_atomic(self._path(identity), sealed)
        except BaseException:
            self.remove(identity)
            raise

    def get(self, identity: str) -> bytes:
        """An original.

        Raises:
            OSError: when it is gone.
            SealError: when its bytes were changed.
        """
        return self._seal.open(self._path(identity).read_bytes(), f"original {identity}")

    def remove(self, identity: str) -> None:
        """Delete an original, also one that was begun; fine when it is gone."""
        for path in (self._path(identity), self.folder / f".{identity}{SUFFIX}.new"):
            path.unlink(missing_ok=True)
        self._sizes.pop(identity, None)

    def keep_only(self, identities: set[str]) -> int:
        """Delete what no row of the state knows; returns how many."""
        stray = [identity for identity in self._sizes if identity not in identities]
        for identity in stray:
            self.remove(identity)
        flush_folder(self.folder)
        return len(stray)

    def _path(self, identity: str) -> Path:
        return self.folder / (identity + SUFFIX)
