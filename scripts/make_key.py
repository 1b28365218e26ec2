"""Make the key pair that signs releases: ``python -m fesf.scripts.make_key KEY`` writes KEY (0600) and KEY.pub."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from fesf.scripts.data.signature import fingerprint, load_public_key, make_keys


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 0 on success, 2 on a refused path."""
    parser = argparse.ArgumentParser(
        prog="python -m fesf.scripts.make_key",
        description="Make an ed25519 key pair for releases. Keep the private key; give KEY.pub away.",
    )
    parser.add_argument("key", metavar="KEY", help="file of the private key to write (0600); the public one gets .pub")
    options = parser.parse_args(arguments)
    try:
        public = make_keys(options.key)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"Written: {options.key} (keep it; nobody else may read it) and {public} (give it to who receives stores).")
    print(f"Fingerprint: {fingerprint(load_public_key(public))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
