"""The hospital's DICOM gateway: ``python -m fesf.scripts.gateway --config gateway.json``.

Takes studies by C-STORE and from a watched folder, hides each image as a release's recipe says, sends the surrogates to
the analyst's node, takes predictions back, and stores a report for the original patient in the PACS. It runs until it
is ended (SIGTERM or SIGINT), and goes on where it was ended or killed. Nothing that it prints names a patient.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fesf.scripts.data.lock import locked
from fesf.scripts.data.service import log_quietly, until_signalled
from fesf.scripts.gateway.settings import load_settings

BUSY = "Another gateway works in this spool_dir: end it first."


def main(arguments: Sequence[str] | None = None, stop: threading.Event | None = None) -> int:
    """Command line; returns the exit status.

    Args:
        arguments: of the command line.
        stop: ends the gateway when it is set; None waits for a signal.
    """
    parser = argparse.ArgumentParser(
        prog="python -m fesf.scripts.gateway", description=(__doc__ or "").split("\n\n")[1].replace("\n", " ")
    )
    parser.add_argument("--config", required=True, type=Path, metavar="FILE", help="gateway.json, see docs/gateway.md")
    parser.add_argument("--status", action="store_true", help="print counts and times of the gateway, and end")
    options = parser.parse_args(arguments)
    try:
        settings = load_settings(options.config)
        if options.status:
            from fesf.scripts.gateway.state import read_report

            print(json.dumps(read_report(settings.spool_dir), indent=1, sort_keys=True))
            return 0
        return _run(settings, stop or until_signalled())
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _run(settings: Any, stop: threading.Event) -> int:
    log_quietly()
    threading.excepthook = lambda failed: logging.getLogger("fesf.gateway").warning(
        "thread ended: %s", getattr(failed.exc_type, "__name__", "?")
    )
    _preload_readers()
    from fesf.scripts.data.files import make_private_folder
    from fesf.scripts.gateway.run import Gateway

    try:
        with locked(make_private_folder(settings.spool_dir), BUSY), Gateway(settings):
            stop.wait()
    except (EOFError, OSError):
        if not stop.is_set():  # a signal to the whole group has ended the readers, too
            raise
    return 0


def _preload_readers() -> None:
    """Begin to start the processes that read images, which import as much as this one does, beside it."""
    from multiprocessing import forkserver, get_context

    get_context("forkserver").set_forkserver_preload(["fesf.scripts.gateway.reading"])
    forkserver.ensure_running()


if __name__ == "__main__":
    sys.exit(main())
