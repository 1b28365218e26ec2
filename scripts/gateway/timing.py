"""Rules of time, as functions of numbers alone."""

from __future__ import annotations

import math

from fesf.scripts.gateway.settings import Egress, Study


def is_complete(first: float, last: float, now: float, rule: Study) -> bool:
    """Whether a study is complete: quiet since its last image for long enough, or too old to wait on.

    Args:
        first, last: when its first and its last image arrived, in seconds.
        now: the time.
        rule: the two spans.
    """
    return now - last >= rule.quiet_seconds or now - first >= rule.max_age_seconds


def retry_pause(failures: int, draw: float, rule: Egress) -> float:
    """Seconds to wait after so many failures in a row: doubled with each, up to the longest, spread by a fifth.

    Args:
        failures: 1 or more.
        draw: random number in [0, 1).
        rule: the first and the longest pause.
    """
    doublings = min(failures - 1, 60)
    pause = min(rule.first_retry_seconds * 2.0**doublings, rule.longest_retry_seconds)
    return pause * (0.8 + 0.4 * draw)


def due_time(hidden: float, draw: float, rule: Egress) -> float:
    """When a surrogate may leave: its jitter later, at the next multiple of the batch's span.

    Args:
        hidden: when it was made, in seconds.
        draw: random number in [0, 1).
        rule: jitter and span; 0 for none.
    """
    time = hidden + draw * rule.jitter_seconds
    return time if not rule.batch_seconds else math.ceil(time / rule.batch_seconds) * rule.batch_seconds
