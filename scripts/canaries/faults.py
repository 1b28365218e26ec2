"""Faults that a zone puts into a command: libraries that quote, a full disk, a file that cannot be read, a kill."""

from __future__ import annotations

import errno
import logging
import os
import signal
import warnings
from collections.abc import Callable
from typing import Any, NoReturn


def quoting() -> None:
    """pydicom's decoder warns, logs and fails with a text that quotes the patient, the file and the pixels."""
    import pydicom.pixels

    def fail(header: Any, **_: Any) -> NoReturn:
        said = f"{header.PatientName} {header.PatientID} {header.StudyDate!r} {header.filename} {header.PixelData!r}"
        warnings.warn(said, stacklevel=2)
        logging.getLogger("pydicom").error(said)
        raise ValueError(said)

    pydicom.pixels.iter_pixels = fail  # type: ignore[assignment]


def unreadable() -> None:
    """Opening a DICOM file fails as the operating system says it, with its path."""
    import pydicom

    def fail(path: Any, **_: Any) -> NoReturn:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    pydicom.dcmread = fail  # type: ignore[assignment]


def _at_rename(number: int, act: Callable[[Any], None]) -> None:
    rename, seen = os.replace, [0]

    def replace(source: Any, target: Any, **options: Any) -> None:
        seen[0] += 1
        if seen[0] >= number:
            act(target)
        rename(source, target, **options)

    os.replace = replace  # type: ignore[assignment]


def _full(target: Any) -> NoReturn:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), os.fspath(target))


def _kill(_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def worker_killed() -> None:
    """A process that loads images is killed at its third image."""
    from torch.utils.data import get_worker_info

    from fesf.scripts.data.cohort import CohortDataset

    get, seen = CohortDataset.__getitem__, [0]

    def get_or_die(self: CohortDataset, index: int) -> Any:
        seen[0] += 1
        if get_worker_info() is not None and seen[0] == 3:
            _kill(None)
        return get(self, index)

    CohortDataset.__getitem__ = get_or_die  # type: ignore[method-assign]


FAULTS: dict[str, Callable[[], None]] = {
    "quoting": quoting,
    "unreadable": unreadable,
    "full disk": lambda: _at_rename(1, _full),
    "disk full later": lambda: _at_rename(3, _full),
    "killed": lambda: _at_rename(2, _kill),
    "worker killed": worker_killed,
}
"""What puts each fault into this process."""
