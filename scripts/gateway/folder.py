"""A watched folder: files that no longer change are taken, links are not followed, and what was taken is deleted."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from fesf.scripts.gateway.intake import NO_ROOM, TAKEN

UNFINISHED = (".part", ".tmp", ".partial", ".filepart")
"""Suffixes under which programs write what they rename when it is whole; so are names that start with a dot."""

Mark = tuple[int, int, int, int]


class FolderWatch:
    """Looks through a folder, again and again.

    Args:
        folder: with all folders in it.
        take: takes a file's bytes and returns a DICOM status.
        settle: seconds for which a file must not have changed.
        largest: bytes that are read of a file at most, and one.
    """

    def __init__(self, folder: Path, take: Callable[[bytes], int], settle: float, largest: int) -> None:
        self.folder, self._take, self.settle, self.largest = folder, take, settle, largest
        self._seen: dict[str, tuple[Mark, float]] = {}
        self._refused: dict[str, Mark] = {}

    def look(self, now: float) -> int:
        """Take what has settled; returns how many files were taken.

        A file that is refused stays where it is and is not tried again unless it changes.
        """
        taken, seen, found = 0, {}, set()
        for place, name, folder in self._files():
            found.add(place)
            mark = _mark(name, folder)
            if mark is None or self._refused.get(place) == mark:
                continue
            before, since = self._seen.get(place, (mark, now))
            if before != mark:
                since = now
            if now - since < self.settle:
                seen[place] = (mark, since)
                continue
            content = self._read(name, folder, mark)
            status = NO_ROOM if content is None else self._take(content)
            if status == TAKEN:
                taken += 1
                if _mark(name, folder) == mark:  # else another file has its name by now
                    os.unlink(name, dir_fd=folder)
            elif status == NO_ROOM:
                seen[place] = (mark, since)  # later
            else:
                self._refused[place] = mark
        self._seen = seen
        self._refused = {place: mark for place, mark in self._refused.items() if place in found}
        return taken

    def _files(self) -> Iterator[tuple[str, str, int]]:
        """Path, name and folder's descriptor of each candidate."""
        for folder, folders, names, descriptor in os.fwalk(self.folder, follow_symlinks=False):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                if not name.startswith(".") and not name.lower().endswith(UNFINISHED):
                    yield os.path.join(folder, name), name, descriptor

    def _read(self, name: str, folder: int, mark: Mark) -> bytes | None:
        """Bytes of a file that is still the one that was seen; None otherwise."""
        try:
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        except OSError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            content = file.read(self.largest + 1)
            return content if _of(os.fstat(descriptor)) == mark else None


def _mark(name: str, folder: int) -> Mark | None:
    """What changes when a file does; None for anything but a regular file with one name."""
    try:
        return _of(os.stat(name, dir_fd=folder, follow_symlinks=False))
    except OSError:
        return None


def _of(found: os.stat_result) -> Mark | None:
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
