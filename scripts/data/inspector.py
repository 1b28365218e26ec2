"""A process that reads files under a limit of memory and time, and is started again when a file kills it."""

from __future__ import annotations

import contextlib
import multiprocessing as mp
import os
import resource
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from fesf.scripts.data.core_dumps import forbid_core_dumps
from fesf.scripts.data.inspection import Finding, inspect, order_series

START_SECONDS = 300.0
FUNCTIONS: dict[str, Callable[..., Any]] = {"inspect": inspect, "order_series": order_series}


def _private_memory() -> int:
    """Bytes that this process holds and that count towards RLIMIT_DATA."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmData"))


def _serve(pipe: Connection, memory: int) -> None:
    """The worker's loop: take a request, answer it; say so when it must be the last."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process decides
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # decoders written in C print names and values
        os.dup2(nowhere, stream)
    forbid_core_dumps()
    limit = _private_memory() + memory
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    pipe.send(("ready", False))
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            name, arguments = pipe.recv()
            try:
                answer: tuple[Any, bool] = (FUNCTIONS[name](*arguments), False)
            except MemoryError:
                answer = ("too-large", True)  # what is left of the memory is not trusted
            except Exception:
                answer = ("undecodable", True)
            pipe.send(answer)
            if answer[1]:
                return


class Inspector:
    """Inspect files one after the other in a process of its own.

    Args:
        memory: bytes beyond what the idle process holds, by RLIMIT_DATA (Linux).
        seconds: limit for one file.

    Use as a context manager, from one thread; several inspectors may work side by side.
    """

    def __init__(self, memory: int = 2**30, seconds: float = 60.0) -> None:
        forbid_core_dumps()
        self.memory = memory
        self.seconds = seconds
        self._context = mp.get_context("forkserver")
        self._context.set_forkserver_preload([__name__])  # imports once: a new worker costs some milliseconds
        self._worker: Any = None
        self._pipe: Any = None

    def __enter__(self) -> Inspector:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def inspect(self, path: str, root: str) -> Finding:
        """What :func:`fesf.scripts.data.inspection.inspect` finds, or why it did not come to an end."""
        answer = self._ask("inspect", path, root)
        return answer if isinstance(answer, Finding) else Finding(answer)

    def order_series(self, paths: list[str]) -> tuple[list[int], str]:
        """What :func:`fesf.scripts.data.inspection.order_series` returns, or why it did not come to an end."""
        answer = self._ask("order_series", paths)
        return (list(range(len(paths))), answer) if isinstance(answer, str) else answer

    def _ask(self, name: str, *arguments: Any) -> Any:
        if self._worker is None:
            self._start()
        try:
            self._pipe.send((name, arguments))
            if not self._pipe.poll(self.seconds):
                self._stop()
                return "too-slow"
            answer, last = self._pipe.recv()
        except (EOFError, OSError):
            self._stop()
            return "decoder-died"
        if last:
            self._stop()
        return answer

    def _start(self) -> None:
        self._pipe, theirs = self._context.Pipe()
        self._worker = self._context.Process(target=_serve, args=(theirs, self.memory), daemon=True)
        self._worker.start()
        theirs.close()
        try:
            ready = self._pipe.poll(START_SECONDS) and self._pipe.recv()
        except (EOFError, OSError):
            ready = False
        if not ready:
            self._stop()
            raise RuntimeError("The process that reads files did not start.")

    def _stop(self) -> None:
        if self._worker is not None:
            self._pipe.close()
            self._worker.kill()
            self._worker.join()
            self._worker = None
