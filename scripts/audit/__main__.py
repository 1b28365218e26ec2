"""Audit a release in the hospital: ``python -m fesf.scripts.audit --cohort CSV --store DIR ...``, see ``--help``.

Attacks the store as an adversary would, each attack beside its controls, and compares what comes out with limits that
were written down before. Writes ``audit.json`` into the hospital folder, for which ``release`` waits, and a page.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fesf.scripts.audit.audit import Audit, PastLimitError
from fesf.scripts.data.cohort import CohortError

DONE, PAST_LIMIT, REFUSED, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 0 within the limits or without any, 1 past one, 2 for a mistake in the command."""
    parser = argparse.ArgumentParser(
        prog="python -m fesf.scripts.audit",
        description="Attack a surrogate store in the hospital, with controls, and compare with limits.",
        epilog="Status: 0 within the limits, or none were given; 1 past a limit; 2 a mistake in the command.",
    )
    parser.add_argument("--cohort", required=True, type=Path, metavar="CSV", help="the cohort that was hidden")
    parser.add_argument("--store", required=True, type=Path, metavar="DIR", help="the surrogate store")
    parser.add_argument("--hosts", required=True, type=Path, metavar="DIR", help="the host pool")
    parser.add_argument("--host", metavar="FILE", help="the host in it, where hide.json was told one")
    parser.add_argument("--hospital", required=True, type=Path, metavar="DIR", help="hospital folder of the release")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder of the audit, in the hospital")
    parser.add_argument("--limits", type=Path, metavar="JSON", help='such as {"same_image": {"at_most": 0.05}}')
    parser.add_argument("--generator-file", type=Path, metavar="FILE", help="default: the hospital folder's own")
    parser.add_argument("--secret-file", type=Path, metavar="FILE", help="the secret, for an encrypted linkage")
    parser.add_argument("--seed", type=int, default=0, help="of controls and intervals (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="leave out the attacks that take longer than minutes")
    parser.add_argument("--mlflow-uri", metavar="URI", help="log the scores to this server of the hospital's own")
    options = parser.parse_args(arguments)
    try:
        Audit(**vars(options)).run()
    except PastLimitError as error:
        print(error)
        return PAST_LIMIT
    except (ValueError, CohortError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        print("Interrupted: the attacks that were done are kept, run the command again.", file=sys.stderr)
        return INTERRUPTED
    return DONE


if __name__ == "__main__":
    sys.exit(main())
