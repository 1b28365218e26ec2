"""Writing results so that a crash leaves the old file or the new one, never half of either."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch


def replace_file(path: str | Path, content: bytes) -> Path:
    """Replace a file at once: write beside it, flush to the disk, rename. Permissions follow the umask.

    Args:
        path: the file; missing folders are made.
        content: its bytes.

    Returns:
        The path.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.new")
    with open(beside, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
    return path


def save_state(path: str | Path, state: Mapping[str, Any]) -> Path:
    """``torch.save`` in one step; see :func:`replace_file`."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return replace_file(path, buffer.getvalue())


def unwrap(thing: Any) -> Any:
    """The module inside DataParallel or DistributedDataParallel; anything else as it is."""
    parallel = (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel)
    return thing.module if isinstance(thing, parallel) else thing
