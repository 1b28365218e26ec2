"""``node.json``: every choice of an analyst's node, checked before anything listens. Imports no MONAI."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from fesf.scripts.gateway.settings import Limits, Listener, Node, read_entries


@dataclass(frozen=True)
class Batch:
    """When surrogates are classified: so many seconds after the last one, or so many of them; then so many at once."""

    quiet_seconds: float = 2.0
    most: int = 256


@dataclass(frozen=True)
class Retry:
    """Pause after the first failure, doubled with each up to the longest."""

    first_retry_seconds: float = 1.0
    longest_retry_seconds: float = 300.0


@dataclass(frozen=True)
class NodeSettings:
    """All of ``node.json``.

    Args:
        folder: surrogates and answers that wait; made with mode 0700.
        model: folder of an unpacked bundle.
        listen: where surrogates arrive.
        hospital: the gateway's return listener, which gets the predictions.
        batch, retry, limits: see there; of the limits those of one image's pixels are not used, since a surrogate is
            refused by its size alone.
    """

    folder: Path
    model: Path
    listen: Listener
    hospital: Node
    batch: Batch = field(default_factory=Batch)
    retry: Retry = field(default_factory=Retry)
    limits: Limits = field(default_factory=Limits)


def load_settings(path: str | Path) -> NodeSettings:
    """Read ``node.json``; relative paths are relative to its folder.

    Raises:
        ValueError: naming the entry and what it may be, or that a place off the loopback has no TLS.
    """
    settings: NodeSettings = read_entries(NodeSettings, path)
    return settings
