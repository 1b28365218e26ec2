"""Make a MONAI Label app that serves the analyst's bundle: ``python -m fesf.scripts.label_app --out app --bundle ZIP``.

The app's folder goes to ``monailabel start_server --app``, the surrogate store to its ``--studies``: docs/label.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from fesf.scripts.label.packing import make_app


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 0 on success, 2 for a mistake."""
    parser = argparse.ArgumentParser(
        prog="python -m fesf.scripts.label_app",
        description="Make the folder of a MONAI Label app that serves the analyst's bundle on surrogates alone.",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to make; it must not exist")
    parser.add_argument(
        "--bundle", required=True, metavar="DIR|ZIP", help="the analyst's bundle with its trained model"
    )
    options = parser.parse_args(arguments)
    try:
        app = make_app(options.out, options.bundle)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"Written: {app}. Start it on a store, in an environment with MONAI Label and fesf:")
    print(f"  monailabel start_server --host 127.0.0.1 --app {app} --studies STORE")
    return 0


if __name__ == "__main__":
    sys.exit(main())
