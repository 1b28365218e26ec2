"""Calls in a process of its own: answers, and why there is none."""

from __future__ import annotations

import os
import time

import pytest

from fesf.scripts.data import limited_process as module
from fesf.scripts.data.limited_process import LimitedProcess

FUNCTIONS = {"pid": os.getpid, "sleep": time.sleep, "die": os.abort, "take": bytearray, "number": int}


def test_a_call_that_ends_the_process_costs_only_itself() -> None:
    with LimitedProcess(FUNCTIONS, "fesf.scripts.data.memory", memory=2**26, seconds=30) as process:
        first = process.ask("pid")
        assert process.ask("number", "7") == 7
        assert process.ask("pid") == first != os.getpid()
        assert process.ask("take", 2**28) == "too-large"
        second = process.ask("pid")
        assert second != first
        assert process.ask("number", "seven") == "undecodable"
        assert process.ask("die") == "decoder-died"
        process.seconds = 0.2
        assert process.ask("sleep", 30) == "too-slow"
        process.seconds = 30
        assert process.ask("pid") not in (first, second)
    with pytest.raises(ProcessLookupError):
        os.kill(second, 0)


def test_a_process_that_does_not_start_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "START_SECONDS", 0.0)
    with (
        LimitedProcess(FUNCTIONS, "fesf.scripts.data.memory") as process,
        pytest.raises(RuntimeError, match="not start"),
    ):
        process.ask("pid")


def test_a_socket_that_cannot_be_made_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_: object) -> None:
        raise OSError("AF_UNIX path too long")

    with LimitedProcess({}, "fesf.scripts.data.limited_process") as process:
        monkeypatch.setattr(process._context.Process, "start", start)
        with pytest.raises(
            ValueError, match=r"cannot be started \(AF_UNIX path too long\): set TMPDIR to a short path"
        ):
            process.ask("nothing")
