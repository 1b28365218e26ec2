"""A block may take so much memory and no more; afterwards the process may again."""

from __future__ import annotations

import resource
import sys
import zlib

import numpy as np
import pytest
import torch

from fesf.scripts.data import memory as module
from fesf.scripts.data.memory import memory_limit, private_memory

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_DATA limits on Linux alone")
SIZE = 64 * 2**20


@linux
@pytest.mark.parametrize(
    "take",
    [
        lambda: np.ones(2 * SIZE, np.uint8),
        lambda: bytearray(2 * SIZE),
        lambda: zlib.decompress(zlib.compress(bytes(SIZE)), bufsize=4 * SIZE),
        lambda: torch.ones(SIZE),
    ],
)
def test_what_takes_more_is_a_memory_error(take) -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with pytest.raises(MemoryError), memory_limit(SIZE):
        take()
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    assert take() is not None


@linux
def test_a_limit_counts_from_what_the_process_holds() -> None:
    held = np.ones(2 * SIZE, np.uint8)
    with memory_limit(SIZE):
        assert len(np.ones(SIZE // 4, np.uint8)) == SIZE // 4
    assert private_memory() > len(held)


@linux
def test_a_lower_limit_of_the_process_stays() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    lower = private_memory() + SIZE
    resource.setrlimit(resource.RLIMIT_DATA, (lower, hard))
    try:
        with memory_limit(2**40):
            assert resource.getrlimit(resource.RLIMIT_DATA)[0] == lower
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="other"), memory_limit(SIZE):
        raise RuntimeError("other")


def test_no_limit_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with memory_limit(None):
        assert len(np.ones(2 * SIZE, np.uint8)) == 2 * SIZE
    monkeypatch.setattr(module.sys, "platform", "darwin")
    with memory_limit(1):
        assert len(np.ones(2 * SIZE, np.uint8)) == 2 * SIZE
