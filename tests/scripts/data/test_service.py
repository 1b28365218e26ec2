"""Long-running processes: they end by a signal, and their log shows no library's warning."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import Any

import pytest

from fesf.scripts.data.service import until_signalled


def test_a_signal_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    handlers: dict[int, Any] = {}
    monkeypatch.setattr(signal, "signal", lambda number, handler: handlers.update({number: handler}))
    stop = until_signalled()
    assert set(handlers) == {signal.SIGTERM, signal.SIGINT}
    assert not stop.is_set()
    handlers[signal.SIGTERM](signal.SIGTERM, None)
    assert stop.is_set()


def test_the_log_has_no_warnings() -> None:
    code = (
        "import logging, warnings; from fesf.scripts.data.service import log_quietly; log_quietly();"
        "warnings.warn('a value of a header'); logging.info('listening')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.endswith(" listening\n")
    assert "header" not in done.stderr
