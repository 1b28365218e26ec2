"""Audit a release in the hospital: ``python -m fesf.scripts.audit --cohort CSV --store DIR ...``, see ``--help``.

Attacks the store as an adversary would, each attack beside its controls, and compares what comes out with limits that
were written down before. Writes ``audit.json`` into the hospital folder, for which ``release`` waits.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fesf.scripts.audit.evidence import read_scene
from fesf.scripts.audit.run import audit_document, read_limits, run_audit
from fesf.scripts.audit.suite import QUICK
from fesf.scripts.audit.table import format_results
from fesf.scripts.data.audit import AUDIT, check_audit
from fesf.scripts.data.cohort import CohortError
from fesf.scripts.data.files import to_json, write_atomic
from fesf.scripts.data.linkage import refuse_inside_store
from fesf.scripts.data.release_entry import manifest_sha256

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
    parser.add_argument("--secret-file", type=Path, metavar="FILE", help="the secret, for an encrypted linkage")
    parser.add_argument("--seed", type=int, default=0, help="of controls and intervals (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        refuse_inside_store(options.out / AUDIT)
        limits = read_limits(options.limits, QUICK)
        scene = read_scene(
            options.cohort, options.store, options.hospital, options.hosts, options.host, options.secret_file
        )
        digest = manifest_sha256(options.store)
        results = run_audit(scene, digest, QUICK, options.out, options.seed)
    except (ValueError, CohortError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        print("Interrupted: the attacks that were done are kept, run the command again.", file=sys.stderr)
        return INTERRUPTED
    document = audit_document(results, limits, digest, options.limits)
    write_atomic(options.out / "results.json", to_json(results))
    write_atomic(options.hospital / AUDIT, to_json(document))
    print(format_results(results))
    if not limits:
        print("No limits were given: release will ask for them. Write them down before you look at results.")
        return DONE
    try:
        check_audit(options.hospital / AUDIT, digest)
    except ValueError as error:
        print(error)
        return PAST_LIMIT
    print(f"Within the {len(limits)} limits.")
    return DONE


if __name__ == "__main__":
    sys.exit(main())
