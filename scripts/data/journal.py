"""The journal of an unfinished release: what is safely on the disk, so that a run can go on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from fesf.scripts.data.files import PRIVATE, write_atomic


@dataclass(frozen=True, slots=True)
class Written:
    """One surrogate that is on the disk.

    Args:
        id: its keyed id.
        sha256: digest of its file.
        size: bytes of its file.
        clipped: share of its pixels at exactly 0 or 1, in [0, 1].
        coherence: see :class:`fesf.scripts.data.phase.PhaseCheck`.
        excess: likewise.
    """

    id: str
    sha256: str
    size: int
    clipped: float
    coherence: float
    excess: float


class Journal:
    """One line a surrogate, kept in the hospital's folder until the store is published.

    Args:
        path: the file.
        settings: what the run must agree on with the one that it continues.

    Raises:
        ValueError: when the file belongs to a run with other settings.
    """

    def __init__(self, path: Path, settings: dict[str, str]) -> None:
        self.path = path
        self.settings = settings
        self._compare(settings)

    def start(self, host_sha256: str) -> None:
        """Write the header of a new journal; an existing one loses a half-written last line.

        Args:
            host_sha256: digest of the host's file; a run goes on with the host that it began with.

        Raises:
            ValueError: when it began with another host.
        """
        self._compare({"host": host_sha256})
        whole = self.path.read_bytes() if self.path.is_file() else b""
        whole = whole[: whole.rfind(b"\n") + 1]
        header = json.dumps(self.settings | {"host": host_sha256}).encode() + b"\n"
        write_atomic(self.path, whole or header, PRIVATE)

    def _compare(self, settings: dict[str, str]) -> None:
        lines = self.path.read_text().splitlines(keepends=True) if self.path.is_file() else []
        if not lines or not lines[0].endswith("\n"):
            return
        held = json.loads(lines[0])
        changed = sorted(name for name, value in settings.items() if held[name] != value)
        if changed:
            raise ValueError(
                f"The hospital folder holds an unfinished run with another {' and '.join(changed)}: run it again with"
                " the same values, or delete journal.jsonl there and the store's .partial folder to begin anew."
            )

    def append(self, record: Written) -> None:
        """Add one line; its file must be in place before."""
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(record)) + "\n")

    def __iter__(self) -> Iterator[Written]:
        if not self.path.is_file():
            return
        with open(self.path, encoding="utf-8") as file:
            for number, line in enumerate(file):
                if number and line.endswith("\n"):
                    yield Written(**json.loads(line))

    def intact(self, images: Path, suffix: str) -> set[str]:
        """Ids whose file is there with the digest that the journal holds; the others are to be made again."""
        found = set()
        for record in self:
            path = images / (record.id + suffix)
            if path.is_file() and sha256(path.read_bytes()).hexdigest() == record.sha256:
                found.add(record.id)
        return found
