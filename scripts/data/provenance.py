"""Where a figure comes from: the command, the commit and the machine that made it."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("fesf", "monai", "torch", "numpy")


def provenance(command: str, packages: Sequence[str] = PACKAGES) -> dict[str, Any]:
    """What a file of figures says of its origin.

    Args:
        command: the command that anyone can run to get them again.
        packages: distributions whose versions matter.

    Returns:
        The command, the commit ("unknown" outside a clone, with "+changes" when files differ from it), processor,
        cores, memory in GiB and versions; no date, no host or user name, no path.
    """
    return {
        "command": command,
        "commit": commit(),
        "machine": {"processor": _processor(), "cores": os.cpu_count(), "memory_gib": _memory()},
        "software": versions(packages),
    }


def machine_name() -> str:
    """Processor and cores in words."""
    return f"{_processor()}, {os.cpu_count()} cores"


def load_average() -> float | None:
    """Processes that ran or waited for a core, averaged over the last minute; None where the system does not say.

    Benches state it before and after: more than their own one process means that others took part of the machine.
    """
    try:
        return round(os.getloadavg()[0], 2)
    except (AttributeError, OSError):
        return None


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Versions of Python and distributions; "not installed" for a missing one, as fesf is in a vendored bundle."""
    found = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def commit() -> str:
    """The clone's commit, or "unknown"; "+changes" when tracked files under it differ."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return "unknown"
    try:
        head = _git(root, "rev-parse", "HEAD")
    except (OSError, subprocess.CalledProcessError):  # no git, or a clone that belongs to somebody else
        return "unknown"
    # Figures are written into docs and the metadata: a run that rewrites them is still a run of the commit's code.
    written = (":!docs", ":!bundle/configs/metadata.json")
    changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", ".", *written)
    return head + ("+changes" if changed else "")


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True).stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _memory() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return None
