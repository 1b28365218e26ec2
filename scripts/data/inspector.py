"""A process that reads files under a limit of memory and time, and is started again when a file kills it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fesf.scripts.data.core_dumps import forbid_core_dumps
from fesf.scripts.data.inspection import Finding, inspect, order_series
from fesf.scripts.data.limited_process import LimitedProcess

FUNCTIONS: dict[str, Callable[..., Any]] = {"inspect": inspect, "order_series": order_series}


class Inspector(LimitedProcess):
    """Inspect files one after the other in a process of its own.

    Args:
        memory: bytes beyond what the idle process holds, by RLIMIT_DATA (Linux).
        seconds: limit for one file.
    """

    def __init__(self, memory: int = 2**30, seconds: float = 60.0) -> None:
        forbid_core_dumps()
        super().__init__(FUNCTIONS, __name__, memory, seconds)

    def __enter__(self) -> Inspector:
        return self

    def inspect(self, path: str, root: str) -> Finding:
        """What :func:`fesf.scripts.data.inspection.inspect` finds, or why it did not come to an end."""
        answer = self.ask("inspect", path, root)
        return answer if isinstance(answer, Finding) else Finding(answer)

    def order_series(self, paths: list[str]) -> tuple[list[int], str]:
        """What :func:`fesf.scripts.data.inspection.order_series` returns, or why it did not come to an end."""
        answer = self.ask("order_series", paths)
        return (list(range(len(paths))), answer) if isinstance(answer, str) else answer
