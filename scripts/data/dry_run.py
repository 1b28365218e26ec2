"""What a dry run of hide says."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fesf.scripts.data.store_format import SECTIONS

if TYPE_CHECKING:
    from fesf.scripts.data.release import Release

DRY_RUN_IMAGES = 32


def report_dry_run(release: Release, hide: Callable[[], Any]) -> None:
    """Hide in memory and print counts, exclusions, disk and time; nothing is written.

    Args:
        release: a release with ``dry_run``.
        hide: runs the engine over its pending rows.
    """
    start = time.perf_counter()
    hide()
    tried = len(release.pending)
    passed = tried - len(release.excluded)
    seconds = (time.perf_counter() - start) / max(tried, 1)
    missing = [row.row for row in release.cohort.rows if not (release.cohort.folder / row.image).is_file()]
    aside = sorted(set(missing) | {row for row, _ in release.excluded})
    total = len(release.rows) - len(aside)
    size = release.written_bytes / max(passed, 1) * total
    free = shutil.disk_usage(next(path for path in release.folders.partial.parents if path.exists())).free
    counts = dict.fromkeys(SECTIONS, 0)
    for row in release.cohort.rows:
        counts[release.splits[row.patient]] += row.row not in aside
    print(f"Dry run: nothing was written. {tried} of {len(release.rows)} rows were hidden in memory.")
    print(f"  images    {total} ({', '.join(f'{section} {count}' for section, count in counts.items())})")
    patients = len({row.patient for row in release.cohort.rows})
    print(f"  patients  {patients}, classes {', '.join(release.cohort.class_names)}")
    print(f"  excluded  {len(aside)} rows{': ' + ', '.join(map(str, aside[:20])) if aside else ''}")
    for _, reason in release.excluded[:20]:
        print(f"            {reason}")
    print(f"  disk      about {size / 1e6:.1f} MB, {free / 1e9:.1f} GB free")
    print(f"  time      about {seconds * total:.0f} s at {1000 * seconds:.1f} ms an image")
