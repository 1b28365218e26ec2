"""What an interrupted ``make_cohort`` has read: a file beside the cohort, in the hospital, until that is written."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fesf.scripts.data.files import PRIVATE, write_atomic
from fesf.scripts.data.inspection import Finding

SUFFIX = ".unfinished"
TUPLES = ("constant", "marks")
AGAIN = ("unreadable",)
"""Reasons that another try may mend: a share that was away."""


class Readings:
    """One line a file that was read: its path, size, time of change and what was found.

    A line counts for the same file only: a file that was changed since is read again, as is everything after another
    setting. It holds what the cohort will hold, and is 0600 as that is.

    Args:
        path: the file; nothing is made before :meth:`start`.
        settings: what findings depend on beside the files: source, limits and software.
    """

    def __init__(self, path: str | Path, settings: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self.head = json.dumps({"settings": dict(settings)}, sort_keys=True)
        self.known: dict[str, tuple[int, int, Finding]] = {}
        self._load()

    def _load(self) -> None:
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
        except (OSError, UnicodeDecodeError):
            return
        if not lines or lines[0] != self.head + "\n":
            return
        for line in lines[1:]:
            if not line.endswith("\n"):  # the last one, of a process that was killed
                break
            try:
                file, size, changed, found = json.loads(line)
                cells: dict[str, Any] = {name: tuple(v) if name in TUPLES else v for name, v in found.items()}
                made = Finding(**cells)
            except (ValueError, TypeError):
                continue
            self.known[file] = (size, changed, made)

    def find(self, file: str, path: str) -> Finding | None:
        """What was found in a file, if it is as it was then.

        Args:
            file: its path below the source.
            path: where it is.
        """
        held = self.known.get(file)
        return held[2] if held is not None and held[:2] == _state(path) and held[2].reason not in AGAIN else None

    def start(self) -> None:
        """Write the head and what is known already."""
        lines = [self.head, *(_line(file, *held) for file, held in self.known.items())]
        write_atomic(self.path, "".join(f"{line}\n" for line in lines).encode(), PRIVATE)

    def add(self, file: str, path: str, finding: Finding) -> None:
        """Keep what was found in a file."""
        size, changed = _state(path)
        with open(self.path, "a", encoding="utf-8") as out:
            out.write(_line(file, size, changed, finding) + "\n")

    def done(self) -> None:
        """The cohort is written: forget."""
        self.path.unlink(missing_ok=True)


def _state(path: str) -> tuple[int, int]:
    try:
        state = os.stat(path)
    except OSError:
        return -1, -1
    return state.st_size, state.st_mtime_ns


def _line(file: str, size: int, changed: int, finding: Finding) -> str:
    return json.dumps([file, size, changed, asdict(finding)])
