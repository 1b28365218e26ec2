"""Encrypt a hospital's linkage under a new secret: ``python -m fesf.scripts.rotate_secret``.

The ids of a published store do not change: they were made with the old secret, and the linkage says whose they are. The
next release uses the new one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fesf.scripts.data.encrypted_table import decrypt, encrypt, release_of
from fesf.scripts.data.files import PRIVATE, write_atomic
from fesf.scripts.data.keys import load_secret


def rotate(linkage: str | Path, secret_file: str | Path, new_secret_file: str | Path) -> None:
    """Encrypt ``linkage.csv.enc`` under another secret; the file is replaced at once.

    Args:
        linkage: the encrypted table.
        secret_file: the secret that it was written with.
        new_secret_file: the secret to write it with.

    Raises:
        ValueError: when the table or a secret cannot be used, or both secrets are one.
    """
    path = Path(linkage)
    if not path.is_file():
        raise ValueError(f"linkage {str(path)!r} is not a file: name the linkage.csv.enc of the hospital folder.")
    old, new = load_secret(secret_file), load_secret(new_secret_file)
    if old == new:
        raise ValueError("Both secrets are the same: make another one (openssl rand -hex 32).")
    blob = path.read_bytes()
    content = decrypt(blob, old)
    write_atomic(path, encrypt(content, new, release_of(blob)), PRIVATE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of :func:`rotate`; 0 on success, 2 on a refused input."""
    parser = argparse.ArgumentParser(
        prog="python -m fesf.scripts.rotate_secret",
        description="Encrypt linkage.csv.enc under a new secret. Keep the old secret as long as its stores are in use.",
    )
    parser.add_argument("--linkage", required=True, metavar="FILE", help="linkage.csv.enc of the hospital folder")
    parser.add_argument("--secret-file", required=True, metavar="FILE", help="the secret it was written with")
    parser.add_argument("--new-secret-file", required=True, metavar="FILE", help="the secret to write it with")
    options = parser.parse_args(arguments)
    try:
        rotate(options.linkage, options.secret_file, options.new_secret_file)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"Written: {options.linkage}, which the new secret opens.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
