"""One clear line where the disk refuses to take what is written."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}


class StorageError(ValueError):
    """The disk is full, read-only or failing."""


@contextmanager
def plain_storage_errors(kept: Callable[[], str]) -> Iterator[None]:
    """Turn what the operating system says into one line without a path.

    Args:
        kept: says what of the work is kept.

    Raises:
        StorageError: for any ``OSError`` inside.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(f"Writing failed: {describe(error)} {kept()}") from error


def describe(error: OSError) -> str:
    """Cause and cure of an error of the operating system."""
    cause = os.strerror(error.errno) if error.errno else type(error).__name__
    if error.errno in FULL:
        return (
            f"the disk is full or a limit is reached ({cause}). Free space on the disk of store_dir and hospital_dir."
        )
    if error.errno in READ_ONLY:
        return f"the place is read-only for this user ({cause}). Choose another store_dir or hospital_dir, or allow it."
    return f"{cause}. Check the disk of store_dir and hospital_dir."
