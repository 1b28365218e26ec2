"""The gateway from end to end: ``python -m fesf.scripts.check_gateway --out docs``.

Orthanc is the PACS, DCMTK's clients ask for what must be refused, a process of its own stands in for the analyst.
Studies of real images whose every identifier is a marker go from the PACS through the gateway to the analyst, and
reports come back: with all well, with the analyst down, and with the gateway killed at random moments. Every byte at
the analyst's is searched for each marker. Writes ``gateway.json``. Ends with 1 where a check fails, with 3 where
Orthanc or DCMTK is not installed.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from fesf.scripts.check_gateway.orthanc import program
from fesf.scripts.check_gateway.probes import missing
from fesf.scripts.check_gateway.run import GatewayCheck
from fesf.scripts.data.platform_check import write_page

PACKAGES = ("fesf", "monai", "torch", "numpy", "pydicom", "pynetdicom", "highdicom", "cryptography")
SKIPPED = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m fesf.scripts.check_gateway", description=(__doc__ or "").split("\n\n")[1].replace("\n", " ")
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for gateway.json")
    parser.add_argument("--studies", type=int, default=50, help="with all well, and as many with kills (%(default)s)")
    parser.add_argument("--kills", type=int, default=20, help="of the gateway (default: %(default)s)")
    parser.add_argument("--backlog", type=int, default=100, help="studies while the analyst is down (%(default)s)")
    parser.add_argument("--shared", default=os.environ.get("FESF_SHARED", "../shared"), help="folder that holds data/")
    options = parser.parse_args(arguments)
    absent = [*([] if program() else ["Orthanc"]), *missing()]
    if absent:
        print(f"skipped: {', '.join(absent)} not installed (apt-get install orthanc dcmtk)", file=sys.stderr)
        return SKIPPED
    command = f"python -m fesf.scripts.check_gateway --out docs --studies {options.studies} --kills {options.kills}"
    return write_page(
        lambda work: GatewayCheck(work, Path(options.shared), options.studies, options.kills, options.backlog),
        Path(options.out) / "gateway.json",
        f"{command} --backlog {options.backlog}",
        PACKAGES,
    )


if __name__ == "__main__":
    sys.exit(main())
