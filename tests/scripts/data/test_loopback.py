"""Waiting for a server that a check starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fesf.scripts.data.loopback import free_port, wait_for


def test_a_server_that_answers(tmp_path: Path) -> None:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"], cwd=tmp_path, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/", process, 30)
    finally:
        process.terminate()
        process.wait()
    with pytest.raises(RuntimeError, match="ended with status"):
        wait_for(f"http://127.0.0.1:{port}/", process, 30)


def test_a_server_that_says_nothing() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        with pytest.raises(RuntimeError, match=r"did not answer in 0 s"):
            wait_for(f"http://127.0.0.1:{free_port()}/", process, 0.3)
    finally:
        process.communicate()
