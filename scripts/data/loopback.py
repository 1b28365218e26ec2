"""Servers that a check starts on this machine's loopback."""

from __future__ import annotations

import socket
import subprocess
import time
import urllib.error
import urllib.request

PATIENCE = 120.0
"""Seconds that a server may take to answer."""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(url: str, process: subprocess.Popen[bytes], patience: float = PATIENCE) -> None:
    """Return once a server answers.

    Args:
        url: answers 200 when the server is ready.
        process: the server.
        patience: seconds to wait.

    Raises:
        RuntimeError: when the process ends, or does not answer in time.
    """
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"The server ended with status {process.returncode} before it answered.")
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"The server did not answer in {patience:.0f} s.")
