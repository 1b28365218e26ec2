"""The process that parses and decodes what came from outside, under limits; nothing of it is on the disk."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from fesf.scripts.data.cohort import CohortError, LoadImageCohortd
from fesf.scripts.data.limited_process import LimitedProcess
from fesf.scripts.data.recipe import Recipe
from fesf.scripts.gateway.origin import Origin, describe

Rule = tuple[tuple[int, ...], Any, Any, bool]


def read_pixels(content: bytes, rule: Rule) -> np.ndarray | str:
    """Grey levels of an image as hiding takes them: (1, *spatial), float32 in [0, 1].

    Args:
        content: bytes of a DICOM file.
        rule: size, intensity rule, pixel spacing, and whether text is masked.

    Returns:
        The array, or "unusable": frames, an intensity or a spacing that the recipe does not take.
    """
    descriptor = os.memfd_create("image")
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(content)
        return _loader(repr(rule)).prepare(f"/proc/self/fd/{descriptor}").as_tensor().numpy()
    except CohortError:  # its text speaks of rows of a table
        return "unusable"
    finally:
        os.close(descriptor)


@lru_cache(maxsize=1)
def _loader(rule: str) -> LoadImageCohortd:
    from ast import literal_eval

    size, intensity, spacing, text = literal_eval(rule)
    return LoadImageCohortd("image", size, intensity, pixel_spacing=spacing, mask_text=text, reading_memory=None)


FUNCTIONS: dict[str, Callable[..., Any]] = {"describe": describe, "read_pixels": read_pixels}


class Reader:
    """Ask the process, from any thread; a file that kills it costs that file alone.

    Args:
        memory: MiB beyond what the idle process holds.
        seconds: for one question.
    """

    def __init__(self, memory: int, seconds: float = 60.0) -> None:
        self._process = LimitedProcess(FUNCTIONS, __name__, memory * 2**20, seconds)
        self._lock = threading.Lock()

    def describe(self, content: bytes, pixels: int, depth: int) -> Origin | str:
        """See :func:`fesf.scripts.gateway.origin.describe`; also the codes of :class:`LimitedProcess`."""
        with self._lock:
            answer: Origin | str = self._process.ask("describe", content, pixels, depth)
        return answer

    def read_pixels(self, content: bytes, recipe: Recipe) -> np.ndarray | str:
        """See :func:`read_pixels`; also the codes of :class:`LimitedProcess`."""
        rule = (recipe.spatial_size, recipe.intensity_range, recipe.pixel_spacing, recipe.mask_text)
        with self._lock:
            answer: np.ndarray | str = self._process.ask("read_pixels", content, rule)
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.__exit__()
