"""A limit on what a step may take of memory, so that a small file that unpacks to any size ends in an error."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

READING = 2**32
"""Bytes that reading one image of a cohort may take: some 100 million pixels of 40 bytes while they are scaled."""


def private_memory() -> int:
    """Bytes that this process holds and that count towards RLIMIT_DATA (Linux)."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmData"))


@contextmanager
def memory_limit(size: int | None) -> Iterator[None]:
    """Let this process take no more than ``size`` bytes beyond what it holds, until the block ends.

    By RLIMIT_DATA, so on Linux alone; elsewhere, and with None, nothing is limited. All threads of a process share it.

    Raises:
        MemoryError: when the block asks for more.
    """
    if size is None or not sys.platform.startswith("linux"):
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    lower = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min([private_memory() + size, *lower]), hard))
    try:
        yield
    except RuntimeError as error:  # PyTorch's way to say it
        if "allocate memory" in str(error):
            raise MemoryError from None
        raise
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
