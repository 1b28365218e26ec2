"""What processes that run until they are told to stop share: a quiet log, and a signal that ends them."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import warnings


def log_quietly() -> None:
    """Log with the time to the standard error, and show no library's warning: they quote header values."""
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO, stream=sys.stderr)
    warnings.simplefilter("ignore")


def until_signalled() -> threading.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    return stop
