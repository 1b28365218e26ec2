"""Search bytes for any of a million needles at once, also inside the containers that a run leaves.

Aho-Corasick libraries hold every byte of every needle as a state (ahocorasick-rs: 1.3 GB and 20 s for 400,000 needles
of 32 bytes). Here each needle is known by its first eight bytes: NumPy looks up the eight bytes at every offset in one
table, and only where they are known the whole needle is compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fesf.scripts.canaries.containers import open_up

KEY = 8
TABLE_BITS = 25
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
CHUNK = 2**22
MOST_HITS = 50
HEX_RUN = 16
_DIGITS = tuple(bytes([byte]) for byte in b"0123456789.")
_HEX = b"0123456789abcdef"


@dataclass(frozen=True)
class Hit:
    """A needle that was found.

    Args:
        place: the file, and the way into it.
        form: the needle's form.
        what: what the needle is.
    """

    place: str
    form: str
    what: str


@dataclass
class Found:
    """What a search saw.

    Args:
        hits: what was found, at most :data:`MOST_HITS` a content.
        files: files opened.
        size: bytes of the files.
        inside: bytes of what lay in containers, decoded.
        containers: containers opened, by kind.
        unopened: contents that look like a container and could not be opened, by kind; they were searched as bytes.
    """

    hits: list[Hit] = field(default_factory=list)
    files: int = 0
    size: int = 0
    inside: int = 0
    containers: Counter[str] = field(default_factory=Counter)
    unopened: Counter[str] = field(default_factory=Counter)


class Needles:
    """Needles of at least eight bytes with their forms.

    Args:
        needles: (bytes, form, what, whether it is a short number).

    Raises:
        ValueError: for a needle that is too short.
    """

    def __init__(self, needles: Iterable[tuple[bytes, str, str, bool]]) -> None:
        listed = sorted(needles, key=lambda needle: (_key(needle[0]), needle[0]))
        self.needles = listed
        self.keys = np.array([_key(needle[0]) for needle in listed], dtype=np.uint64)
        self.table = np.zeros(2**TABLE_BITS, dtype=bool)
        self.table[_slots(self.keys)] = True

    def __len__(self) -> int:
        return len(self.needles)

    def scan(self, content: bytes, place: str = "") -> list[Hit]:
        """Needles in bytes."""
        hits: list[Hit] = []
        for start in range(0, max(len(content) - KEY + 1, 0), CHUNK):
            piece = np.frombuffer(content, dtype=np.uint8)[start : start + CHUNK + KEY - 1]
            for shift in range(KEY):
                words = piece[shift : shift + (len(piece) - shift) // KEY * KEY].view("<u8")
                maybe = np.flatnonzero(self.table[_slots(words)])
                first = np.searchsorted(self.keys, words[maybe], "left")
                last = np.searchsorted(self.keys, words[maybe], "right")
                for index in np.flatnonzero(first < last):
                    offset = start + shift + int(maybe[index]) * KEY
                    hits += self._compare(content, offset, int(first[index]), int(last[index]), place)
                    if len(hits) >= MOST_HITS:
                        return hits[:MOST_HITS]
        return hits

    def _compare(self, content: bytes, offset: int, first: int, last: int, place: str) -> list[Hit]:
        hits = []
        for needle, form, what, short in self.needles[first:last]:
            if content.startswith(needle, offset) and not (short and _in_a_number(content, offset, len(needle))):
                hits.append(Hit(place, form, what))
        return hits

    def search(self, root: str | Path, found: Found | None = None, name: str = "") -> Found:
        """Search a file, or all files below a folder with their names, and whatever can be opened in them.

        Args:
            root: the file or folder.
            found: what to add to.
            name: what hits call the root.
        """
        found, root = found or Found(), Path(root)
        paths = sorted(root.rglob("*")) if root.is_dir() else [root]
        for path in paths:
            place = f"{name or root.name}/{path.relative_to(root)}" if root.is_dir() else name or root.name
            found.hits += self.scan(path.name.encode("utf-8", "surrogateescape"), f"name of {place}")
            if not path.is_file() or path.is_symlink():
                continue
            content = path.read_bytes()
            found.files, found.size = found.files + 1, found.size + len(content)
            self._search_content(content, place, found)
        return found

    def _search_content(self, content: bytes, place: str, found: Found) -> None:
        found.hits += self.scan(content, place)
        for part in open_up(content):
            if part.content is None:
                found.unopened[part.kind] += 1
                continue
            found.containers[part.kind] += 1
            found.inside += len(part.content)
            within = f"{place} > {part.kind}"
            if part.final:
                found.hits += self.scan(part.content, within)
            else:
                self._search_content(part.content, within, found)


def _key(needle: bytes) -> int:
    if len(needle) < KEY:
        raise ValueError(f"A needle of {len(needle)} bytes is too short: {KEY} are needed.")
    return int.from_bytes(needle[:KEY], "little")


def _slots(words: np.ndarray) -> np.ndarray:
    slots: np.ndarray = (words * MULTIPLIER) >> np.uint64(64 - TABLE_BITS)
    return slots


def _in_a_number(content: bytes, offset: int, length: int) -> bool:
    """Whether digits are the end of a longer number, the decimals of one, or part of a digest in hex."""
    before, after = content[max(offset - HEX_RUN, 0) : offset], content[offset + length : offset + length + HEX_RUN]
    if before[-1:] in _DIGITS:
        return True
    run = len(before) - len(before.rstrip(_HEX)) + len(after) - len(after.lstrip(_HEX))
    return run >= HEX_RUN
