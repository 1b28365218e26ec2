"""Where the time of hiding goes: the seconds of each step, from a profile of the run (Python's ``cProfile``).

Processor time, so that what else runs on the machine moves no share.
"""

from __future__ import annotations

import cProfile
import inspect
import pstats
import time
from collections.abc import Callable
from typing import Any

import pydicom.pixels
from monai.transforms import Resize

from fesf.networks.surrogate import SurrogateNet
from fesf.scripts.data.cohort import LoadImageCohortd
from fesf.scripts.data.hosts import HostPool
from fesf.scripts.data.phase import check_phase
from fesf.scripts.data.release import Release
from fesf.scripts.data.store import encode_image
from fesf.transforms.dicom import grey_frame
from fesf.transforms.dicom_reader import read_header, to_image
from fesf.transforms.functional import enhance, hide
from fesf.transforms.text import MaskText

STEPS: dict[str, tuple[Callable[..., Any], ...]] = {
    "read": (read_header,),
    "decode": (pydicom.pixels.iter_pixels,),
    "window": (grey_frame, to_image, LoadImageCohortd._scale),
    "mask": (MaskText.__call__,),
    "resize": (Resize.__call__,),
    "hide": (hide,),
    "iqem": (enhance,),
    "check": (check_phase, HostPool.nearest_each),
    "encode": (encode_image,),
    "write": (Release.add,),
}
"""What each step consists of; none of these calls another. "window" is everything from stored values to [0, 1]."""

SHIFT = "check_shift"
"""The step that hides a shifted plaintext for the phase check; only where a generator takes part."""


def profile(run: Callable[[], Any]) -> dict[str, float]:
    """Run it in this process and return the processor seconds of each step that took part, the rest and all.

    Args:
        run: hides images in this thread (``num_workers`` 0).

    Returns:
        Seconds by step, in the order of :data:`STEPS`; then :data:`SHIFT` where it took part, "rest" and "total".
    """
    profiler = cProfile.Profile(time.process_time)
    profiler.runcall(run)
    stats = pstats.Stats(profiler)
    total = stats.total_tt  # type: ignore[attr-defined]
    found = {step: sum(_seconds(stats, function) for function in functions) for step, functions in STEPS.items()}
    # With a generator the network runs twice, the second time for the check: half of hide and enhance is the check's.
    every, again = _seconds(stats, SurrogateNet.stages), _seconds(stats, SurrogateNet.forward)
    share = again / every if every else 0.0
    checked = {step: found[step] * share for step in ("hide", "iqem")}
    found |= {step: found[step] - taken for step, taken in checked.items()} | {SHIFT: sum(checked.values())}
    steps = {step: seconds for step, seconds in found.items() if seconds}
    return steps | {"rest": total - sum(steps.values()), "total": total}


def _seconds(stats: pstats.Stats, function: Callable[..., Any]) -> float:
    code = inspect.unwrap(function).__code__
    key = (code.co_filename, code.co_firstlineno, code.co_name)
    return float(stats.stats[key][3]) if key in stats.stats else 0.0  # type: ignore[attr-defined]
