"""A process that works under a limit of memory and time, and is started again when its work kills it."""

from __future__ import annotations

import contextlib
import multiprocessing as mp
import os
import resource
import signal
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any

from fesf.scripts.data.core_dumps import forbid_core_dumps
from fesf.scripts.data.memory import private_memory

START_SECONDS = 300.0

Functions = Mapping[str, Callable[..., Any]]


def _serve(pipe: Connection, functions: Functions, memory: int) -> None:
    """The worker's loop: take a request, answer it; say so when it must be the last."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process decides
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # decoders written in C print names and values
        os.dup2(nowhere, stream)
    forbid_core_dumps()
    limit = private_memory() + memory
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    pipe.send(("ready", False))
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            name, arguments = pipe.recv()
            try:
                answer: tuple[Any, bool] = (functions[name](*arguments), False)
            except MemoryError:
                answer = ("too-large", True)  # what is left of the memory is not trusted
            except Exception:
                answer = ("undecodable", True)
            pipe.send(answer)
            if answer[1]:
                return


class LimitedProcess:
    """Call functions one after the other in a process of its own.

    Args:
        functions: by name; of modules, so that the process finds them.
        preload: module that the first process of all imports, once; each further one then costs some milliseconds.
        memory: bytes beyond what the idle process holds, by RLIMIT_DATA (Linux).
        seconds: limit for one call.

    Use as a context manager, from one thread; several may work side by side.
    """

    def __init__(self, functions: Functions, preload: str, memory: int = 2**30, seconds: float = 60.0) -> None:
        self.memory = memory
        self.seconds = seconds
        self._functions = functions
        self._context = mp.get_context("forkserver")
        self._context.set_forkserver_preload([preload])
        self._worker: Any = None
        self._pipe: Any = None

    def __enter__(self) -> LimitedProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def ask(self, name: str, *arguments: Any) -> Any:
        """What the function returns, or why there is nothing: "too-large", "undecodable" (it raised), "too-slow",
        "decoder-died" (the process ended).

        Args:
            name: of the function.
            arguments: what it takes.
        """
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
        self._worker = self._context.Process(target=_serve, args=(theirs, self._functions, self.memory), daemon=True)
        try:
            self._worker.start()
        except OSError as error:  # its socket lies in TMPDIR, and a socket's path is short
            self._worker = None
            raise ValueError(
                f"The process that reads files cannot be started ({error.args[-1]}): set TMPDIR to a short path."
            ) from None
        finally:
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
