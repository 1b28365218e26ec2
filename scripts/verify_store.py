"""Check a surrogate store: ``python -m fesf.scripts.verify_store STORE``.

Lists every problem as a code and a keyed id, and ends with status 0 for a sound store, 1 for problems, 2 for a mistake
in the command. The analyst needs nothing else; the hospital adds its folder, and what it alone can know is checked too.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fesf.scripts.data.store_format import SIGNATURE
from fesf.scripts.data.verify import CODES, Problem, verify_store

SHOWN = 100  # problems of one code


def verify_signature(store: str | Path, public_key: str | Path) -> list[Problem]:
    """Check the signature of a store.

    Args:
        store: folder of the store.
        public_key: PEM file of the releasing hospital.

    Raises:
        ValueError: when the key cannot be read.
    """
    from fesf.scripts.data.signature import is_signed, load_public_key  # needs cryptography

    key = load_public_key(public_key)
    if not (Path(store) / SIGNATURE).is_file():
        return [Problem("no-signature", "-")]
    return [] if is_signed(store, key) else [Problem("bad-signature", SIGNATURE)]


def listing(problems: Sequence[Problem], most: int = SHOWN) -> str:
    """The problems as lines ``code id``, code after code, each code with a sentence.

    Args:
        problems: what was found.
        most: of one code; the rest is counted.
    """
    lines = []
    for code, count in Counter(problem.code for problem in problems).items():
        lines.append(f"{code}: {CODES[code]} ({count})")
        lines += [f"  {code} {problem.id}" for problem in [p for p in problems if p.code == code][:most]]
        lines += [f"  ... and {count - most} more"] if count > most else []
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 0 for a sound store, 1 for problems, 2 for a mistake."""
    parser = argparse.ArgumentParser(
        prog="python -m fesf.scripts.verify_store",
        description="Check a surrogate store: digests, sizes, missing and added files, duplicates, ids, metadata.",
        epilog="Status: 0 sound, 1 problems, 2 a mistake in the command.",
    )
    parser.add_argument("store", metavar="STORE", help="folder of the store")
    parser.add_argument("--public-key", metavar="FILE", help="also check the signature with this key (PEM)")
    parser.add_argument("--hospital", metavar="DIR", help="also check against this hospital folder (in the hospital)")
    parser.add_argument("--secret-file", metavar="FILE", help="the secret: also check the commitment to the recipe")
    options = parser.parse_args(arguments)
    if options.secret_file and not options.hospital:
        parser.error("--secret-file needs --hospital")
    try:
        problems = verify_store(options.store)
        if options.public_key:
            problems += verify_signature(options.store, options.public_key)
        notes: list[Any] = []
        if options.hospital and not any(
            problem.code.startswith(("malformed", "no-m", "format")) for problem in problems
        ):
            from fesf.scripts.data.verify_hospital import verify_hospital

            more, notes = verify_hospital(options.store, options.hospital, options.secret_file)
            problems += [problem for problem in more if problem not in problems]
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for note in notes:
        print(
            f"note: {note.split}: {note.by_set} of {note.patients} patients have a set of labels that nobody else in it"
            f" has, {note.by_count} by the number of images of each label: who knows their diagnoses can find them."
        )
    if problems:
        print(listing(problems))
    print(f"{len(problems)} problems." if problems else "No problem found.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
