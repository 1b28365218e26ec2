"""The gateway and the stand-in analyst as processes that a check starts, kills and starts again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

PATIENCE = 120.0


class Process:
    """A Python module as a process, its output in a log.

    Args:
        words: module and arguments.
        log: file that its output is added to.
        cwd: folder that it runs in.
    """

    def __init__(self, words: list[str], log: Path, cwd: Path) -> None:
        self.words, self.log, self.cwd = words, log, cwd
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start it and wait until it listens; returns the seconds that took.

        Raises:
            RuntimeError: when it ends or does not listen in time.
        """
        begin, said = time.monotonic(), self._said()
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *self.words], stdout=log, stderr=log, cwd=self.cwd, env=environment
            )
        while self._said() == said:
            if self._process.poll() is not None or time.monotonic() - begin > PATIENCE:
                raise RuntimeError(f"{self.words[0]} did not start: {self.log.read_text()[-1000:]}")
            time.sleep(0.02)
        return time.monotonic() - begin

    def _said(self) -> int:
        return self.log.read_text().count("listening") if self.log.is_file() else 0

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait; returns the exit status."""
        if self._process is None:
            return 0
        self._process.send_signal(how)
        status = self._process.wait(60)
        self._process = None
        return status
