"""The analyst's DICOM node: ``python -m fesf.scripts.analyst_node --config node.json``.

Takes surrogates by C-STORE from a hospital's gateway, classifies what has gathered with the MONAI Deploy app, and sends
the prediction objects to the gateway's return listener. What is no surrogate is refused. It runs until it is ended
(SIGTERM or SIGINT) and goes on where it was ended or killed. Needs the environment of ``make deploy``.
"""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from fesf.scripts.data.service import log_quietly, until_signalled
from fesf.scripts.deploy.node_settings import load_settings
from fesf.scripts.deploy.runtime import prepare
from fesf.scripts.deploy_app import run

BUSY = "Another node works in this folder: end it first."
PAUSE = 0.1
"""Seconds between two looks for work."""


def main(arguments: Sequence[str] | None = None, stop: threading.Event | None = None) -> int:
    """Command line; returns the exit status.

    Args:
        arguments: of the command line.
        stop: ends the node when it is set; None waits for a signal.
    """
    parser = argparse.ArgumentParser(
        prog="python -m fesf.scripts.analyst_node",
        description="Take surrogates by C-STORE, classify them with the MONAI Deploy app, send predictions back.",
    )
    parser.add_argument("--config", required=True, type=Path, metavar="FILE", help="node.json, see docs/deploy.md")
    options = parser.parse_args(arguments)
    try:
        settings = load_settings(options.config)
        prepare()  # before MONAI is imported
        from fesf.scripts.data.files import make_private_folder
        from fesf.scripts.data.lock import locked
        from fesf.scripts.deploy.node import AnalystNode

        log_quietly()
        ended = stop or until_signalled()
        with locked(make_private_folder(settings.folder), BUSY), AnalystNode(settings, run) as node:
            while not ended.is_set():
                if not node.step():
                    ended.wait(PAUSE)
    except (ValueError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
