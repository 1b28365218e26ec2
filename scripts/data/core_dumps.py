"""Keeping what a process holds in memory out of a file when it crashes."""

from __future__ import annotations

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]


def forbid_core_dumps() -> None:
    """No core dump of this process and its children from now on (POSIX only).

    Called where plaintexts, names or secrets come into memory: by :class:`fesf.scripts.data.cohort.LoadImageCohortd`,
    :class:`fesf.scripts.data.inspector.Inspector`, :func:`fesf.scripts.data.linkage.read_linkage` and
    :func:`fesf.scripts.data.keys.load_secret`.
    """
    if resource is not None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
