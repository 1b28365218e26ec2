"""One clear line for a user's mistake, where ``python -m monai.bundle`` would end in a page of traceback."""

from __future__ import annotations

import os
import sys
from types import TracebackType

from tqdm import tqdm

TRACEBACK_VARIABLE = "FESF_TRACEBACK"


class PlainErrors:
    """First entry of a config's ``run``: from then on this process shows our errors as their text alone.

    MONAI wraps what a component raises in "Failed to instantiate component ...", so that the sentence that says what to
    do stands pages above the end. An error counts as ours when a ``ValueError`` was raised in a module of ``fesf``;
    any other ends as before. The environment variable ``FESF_TRACEBACK=1`` keeps all tracebacks.
    """

    def __init__(self) -> None:
        if not os.environ.get(TRACEBACK_VARIABLE):
            sys.excepthook = show


def show(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """The hook itself: prints the first cause if it is ours, else the whole traceback."""
    ours = first_cause(error)
    if ours is None:
        sys.__excepthook__(kind, error, traceback)
    else:
        tqdm.write(f"error: {ours}", file=sys.stderr)  # on a line of its own, though a progress bar stands there


def first_cause(error: BaseException) -> ValueError | None:
    """The ``ValueError`` of ours that ``error`` was raised from, or None."""
    found = None
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ValueError) and _module(cause).startswith("fesf."):
            found = cause
        cause = cause.__cause__
    return found


def _module(error: BaseException) -> str:
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return "" if traceback is None else str(traceback.tb_frame.f_globals.get("__name__", ""))
