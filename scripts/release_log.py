"""The hospital's release log: ``python -m fesf.scripts.release_log {list,verify,model} --log FILE``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fesf.scripts.data.files import file_sha256
from fesf.scripts.data.release_entry import MODEL, describe, manifest_sha256
from fesf.scripts.data.release_log import HEAD, LogError, append, read_log


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 0 when the log is sound, 1 when it is not, 2 for a mistake."""
    parser = argparse.ArgumentParser(
        prog="python -m fesf.scripts.release_log",
        description="List or verify the release log, or record a model that was trained on a released store.",
        epilog="A cut end is seen by release-log.head beside the log. Who can write both can cut or replace the log"
        " unseen, unless a head was noted elsewhere: give it with --head.",
    )
    parser.add_argument("action", choices=["list", "verify", "model"])
    parser.add_argument("--log", type=Path, required=True, metavar="FILE", help="release-log.jsonl of the hospital")
    parser.add_argument("--head", metavar="DIGEST", help="verify: a head noted earlier must still be in the log")
    parser.add_argument("--store", type=Path, metavar="STORE", help="model: the store it was trained on")
    parser.add_argument("--model", type=Path, metavar="FILE", help="model: its weights, whose digest is logged")
    options = parser.parse_args(arguments)
    if options.action == "model" and not (options.store and options.model):
        parser.error("model needs --store and --model")
    try:
        if not options.log.is_file() and not options.log.with_name(HEAD).is_file():
            raise ValueError(f"{str(options.log)!r} is not a file: fesf.scripts.release writes the log.")
        if options.action == "model":
            entry = {"event": MODEL, "store": manifest_sha256(options.store), "model": file_sha256(options.model)}
            print(f"Head of the release log: {append(options.log, entry)}")
            return 0
        log = read_log(options.log, options.head)
    except LogError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if options.action == "list":
        print(describe(log))
    print(f"{len(log.entries)} lines, the chain is whole. Head: {log.head}")
    if log.unconfirmed:
        print(
            f"note: the head does not count the last {log.unconfirmed} yet: a run was stopped there, or lines were"
            " added by hand."
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
