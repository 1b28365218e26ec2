"""MONAI Label from end to end, on a server of its own: ``python -m fesf.scripts.check_label --out docs``.

Makes a small demo, two releases of it and a first model, packs an app, starts ``monailabel start_server`` on the
loopback in the environment of ``--python``, and sends real requests: predictions, which are compared with
``inference.json``, active learning, labels, a training, and everything that must be refused. Writes ``label.json``:
what was sent, what came back, and how long it took. Ends non-zero where a check fails. ``make label`` makes the
environment.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fesf.scripts.data.platform_check import write_page
from fesf.scripts.data.provenance import PACKAGES
from fesf.scripts.label.live_check import LabelCheck

PYTHON = ".venv-label/bin/python"


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 0 when all checks pass, 1 when one fails, 2 without the environment."""
    parser = argparse.ArgumentParser(
        prog="python -m fesf.scripts.check_label", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for label.json")
    parser.add_argument(
        "--python", default=PYTHON, metavar="FILE", help="Python of the Label environment (default: %(default)s)"
    )
    parser.add_argument("--patients", type=int, default=30, help="of the demo (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=2, help="of each training (default: %(default)s)")
    options = parser.parse_args(arguments)
    python = Path(options.python).absolute()
    if not python.is_file():
        print(
            f"error: {options.python!r} is missing: make label makes an environment with MONAI Label.", file=sys.stderr
        )
        return 2
    command = f"python -m fesf.scripts.check_label --out docs --patients {options.patients} --epochs {options.epochs}"
    return write_page(
        lambda work: LabelCheck(work, str(python), options.patients, options.epochs),
        Path(options.out) / "label.json",
        command,
        PACKAGES,
    )


if __name__ == "__main__":
    sys.exit(main())
