"""What the soak's limited process has loaded before it is forked, so that a new one starts with warm readers."""

from __future__ import annotations

import contextlib

import itk

from fesf.scripts.soak.targets import FUNCTIONS

__all__ = ["FUNCTIONS"]

with contextlib.suppress(RuntimeError):
    itk.imread("")  # loads ITK's readers, which takes seconds; there is no such file
