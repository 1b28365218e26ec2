"""What an analyst's node keeps on its disk: surrogates that wait, the batch that is classified, answers that wait.

A surrogate is on the disk before it is acknowledged, and leaves when its answer is; an answer leaves when the hospital
has taken or refused it. So a node that was killed goes on, and an answer that was lost is made and sent again.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from fesf.scripts.data.dicom_image import decode_dicom
from fesf.scripts.data.files import flush_folder, make_private_folder, write_atomic
from fesf.scripts.deploy.results import OBJECTS
from fesf.scripts.deploy.surrogates import SurrogateError, own_file

SURROGATES, BATCH, ANSWERS, REFUSED_ANSWERS = "surrogates", "batch", "answers", "refused"
IN, OUT = "in", "out"
SUFFIX = ".dcm"
TAKEN, NO_ROOM, NOT_MATCHING, CANNOT_UNDERSTAND = 0x0000, 0xA700, 0xA900, 0xC000
"""C-STORE's statuses (DICOM PS3.4, B.2.3): success, out of resources, data set does not match, cannot understand."""


class Inbox:
    """The node's folder, for several threads.

    Args:
        folder: made with mode 0700.
        size: columns and rows that the model takes.
        quota: most bytes of surrogates that wait.

    Attributes:
        counts: how often what happened.
    """

    def __init__(self, folder: str | Path, size: Sequence[int], quota: int) -> None:
        self.folder, self.size, self.quota = make_private_folder(folder), list(size), quota
        self.counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        for name in (SURROGATES, ANSWERS, REFUSED_ANSWERS):
            make_private_folder(self.folder / name)
            for left in (self.folder / name).glob(".*.new"):  # of a process that was killed while it wrote
                left.unlink()
        shutil.rmtree(self.folder / BATCH, ignore_errors=True)

    def take(self, content: bytes) -> int:
        """Take what was sent.

        Args:
            content: a DICOM file.

        Returns:
            0 when it is a surrogate and safe on the disk, else a status that says why not.
        """
        try:
            identity, content = own_file(content)
        except SurrogateError:
            return self._count("refused: no surrogate", CANNOT_UNDERSTAND)
        if list(decode_dicom(content).shape[1:]) != self.size:
            return self._count("refused: other size", NOT_MATCHING)
        with self._lock:
            if sum(path.stat().st_size for path in self._files(SURROGATES)) + len(content) > self.quota:
                return self._count("refused: no room", NO_ROOM)
            try:
                write_atomic(self.folder / SURROGATES / f"{identity}{SUFFIX}", content)
            except OSError:
                return self._count("refused: no room", NO_ROOM)
        return self._count("taken", TAKEN)

    def newest(self) -> float | None:
        """When the last surrogate that waits arrived, in seconds; None where none waits."""
        return max((path.stat().st_mtime for path in self._files(SURROGATES)), default=None)

    def waiting(self) -> int:
        """How many surrogates wait."""
        return len(self._files(SURROGATES))

    def begin(self, most: int) -> tuple[Path, Path]:
        """Folders of a new batch's surrogates, the longest waiting first, and of its results, which is missing."""
        batch = self.folder / BATCH
        shutil.rmtree(batch, ignore_errors=True)
        (batch / IN).mkdir(parents=True, mode=0o700)
        with self._lock:
            oldest = sorted(self._files(SURROGATES), key=lambda path: (path.stat().st_mtime_ns, path.name))
            for path in oldest[:most]:
                os.link(path, batch / IN / path.name)
        return batch / IN, batch / OUT

    def complete(self) -> int:
        """Keep the batch's answers and let go of its surrogates, once its table says that all is there."""
        batch, answered = self.folder / BATCH, 0
        for path in sorted((batch / OUT / OBJECTS).iterdir()):
            os.replace(path, self.folder / ANSWERS / path.name)
            answered += 1
        flush_folder(self.folder / ANSWERS)
        with self._lock:
            for path in (batch / IN).iterdir():
                kept = self.folder / SURROGATES / path.name
                if os.path.samefile(path, kept):  # else it was sent anew meanwhile
                    kept.unlink()
        shutil.rmtree(batch)
        self.counts["classified"] += answered
        return answered

    def answers(self) -> list[Path]:
        """Answers that wait."""
        return self._files(ANSWERS)

    def answered(self, path: Path) -> None:
        """The hospital took an answer."""
        path.unlink()
        self.counts["answered"] += 1

    def refused(self, path: Path) -> None:
        """The hospital refused an answer for good: keep it apart, for a person to look at."""
        os.replace(path, self.folder / REFUSED_ANSWERS / path.name)
        self.counts["answers refused"] += 1

    def _files(self, name: str) -> list[Path]:
        return sorted((self.folder / name).glob(f"[!.]*{SUFFIX}"))

    def _count(self, what: str, status: int) -> int:
        self.counts[what] += 1
        return status
