"""One writer at a time: a lock that ends with the process, however it ends, and leaves no file behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: no lock
    fcntl = None  # type: ignore[assignment]

_held: set[int] = set()


def _let_go() -> None:
    """A forked reader of images must not keep the lock of a writer that was killed."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


@contextmanager
def locked(path: str | Path, busy: str | None = None) -> Iterator[None]:
    """Hold the lock of a folder or file.

    Args:
        path: it exists. Filesystems without locks give none.
        busy: text of the error when another process holds it; None waits for it.

    Raises:
        ValueError: with ``busy``.
    """
    descriptor = os.open(path, os.O_RDONLY)
    _held.add(descriptor)
    try:
        if fcntl is not None:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
            except BlockingIOError:
                raise ValueError(busy) from None
            except OSError:  # some network filesystems know no locks
                pass
        yield
    finally:
        if descriptor in _held:
            _held.discard(descriptor)
            os.close(descriptor)
