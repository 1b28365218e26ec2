"""One writer at a time, across processes, and free again when the writer dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fesf.scripts.data.lock import locked

HOLD = """
import sys, time
from fesf.scripts.data.lock import locked
with locked(sys.argv[1]):
    print('held', flush=True)
    time.sleep(60)
"""


def test_a_second_writer_is_refused_until_the_first_is_killed(tmp_path: Path) -> None:
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    with pytest.raises(ValueError, match="wait for it"), locked(tmp_path, "wait for it"):
        pass
    other.send_signal(signal.SIGKILL)
    other.wait()
    other.stdout.close()
    with locked(tmp_path, "wait for it"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_forked_reader_does_not_keep_the_lock(tmp_path: Path) -> None:
    """The reader of a killed writer lives on for some seconds; the run that follows must not wait for it."""
    code = (
        "import os, sys, time; from fesf.scripts.data.lock import locked\n"
        "with locked(sys.argv[1]):\n"
        "    if os.fork() == 0: print(os.getpid(), flush=True); time.sleep(60); os._exit(0)\n"
        "    os.kill(os.getpid(), 9)"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    reader = int(writer.stdout.readline())
    writer.wait()
    try:
        with locked(tmp_path, "wait for it"):
            pass
    finally:
        os.kill(reader, signal.SIGKILL)
        writer.stdout.close()


def test_without_a_text_it_waits(tmp_path: Path) -> None:
    code = HOLD.replace("60", "0.5")
    other = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    other.stdout.readline()
    start = time.monotonic()
    with locked(tmp_path):
        assert time.monotonic() - start > 0.2
    other.wait()
    other.stdout.close()
