"""What a soak feeds: the product's readers, each with what it may answer. Runs in a limited process.

Every input must end in a valid result or in one clear error of ours: its text names nothing of the source, no path, and
fits on a line. Anything else is a fault.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fesf.scripts.data.cohort import CohortDataset, CohortError, LoadImageCohortd, read_cohort
from fesf.scripts.data.inspection import DICOMDIR, Finding, inspect
from fesf.scripts.data.labels import read_labels
from fesf.scripts.data.quarantine import REASONS
from fesf.scripts.data.splits import assign_splits
from fesf.scripts.data.store import LoadImageStored, class_names, class_weights, load_datalist
from fesf.scripts.data.store_format import clear_cache
from fesf.scripts.data.verify import CODES, verify_store
from fesf.scripts.engines.errors import first_cause
from fesf.scripts.soak.sources import MARKER
from fesf.scripts.verify_store import listing

LONGEST = 600
ROW = 7


class FaultError(AssertionError):
    """The product answered as it must not."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one input.

    Args:
        codes: (stage, code) in order; the code is "accepted", a reason, or an error's text without its numbers.
        fault: stage and what is wrong; empty when nothing is.
        seconds: of the processor (user and system), which a busy machine does not stretch.
        mebibytes: by which resident memory grew at its highest.
    """

    codes: tuple[tuple[str, str], ...] = ()
    fault: str = ""
    seconds: float = 0.0
    mebibytes: float = 0.0


@dataclass
class _Run:
    place: Path
    stage_file: Path
    codes: list[tuple[str, str]] = field(default_factory=list)
    stage: str = ""

    def at(self, stage: str) -> None:
        self.stage = stage
        self.stage_file.write_text(stage)

    def end(self, code: str) -> None:
        self.codes.append((self.stage, code))

    def refused(self, text: str) -> None:
        """An error's text, checked, becomes the code."""
        fault = fault_of(text, self.place)
        if fault:
            raise FaultError(fault)
        self.end(re.sub(r"[-+]?\d[\d.,e+-]*", "#", text))


def fault_of(text: str, place: Path) -> str:
    """What is wrong with an error's text; empty when nothing is.

    Args:
        text: what a user would see.
        place: folder of the input, which the text may not name.
    """
    if MARKER.lower() in text.lower():
        return "the text holds a marker"
    if str(place) in text:
        return "the text holds a path"
    if len(text) > LONGEST:
        return "the text is endless"
    if not text.isprintable():
        return "the text holds control characters"
    return "" if re.search(r"[.:?] *$|\)$", text) else "the text is no sentence"


def run_case(kind: str, place: str, name: str, options: dict[str, Any], stage_file: str) -> Outcome:
    """Feed one input to everything that reads its kind.

    Args:
        kind: one of :data:`TARGETS`.
        place: work folder; for "manifest" and "dataset" the store.
        name: the input's file in it.
        options: of the target.
        stage_file: names what the process is at: who kills it cannot say.

    Raises:
        MemoryError: when the process must be started again.
    """
    run = _Run(Path(place), Path(stage_file))
    _forget_peak()
    before, start, fault = _resident(), time.process_time(), ""
    with _captured() as output:
        try:
            TARGETS[kind](run, Path(place) / name, options)
        except FaultError as error:
            fault = f"{run.stage}: {error}"
        except MemoryError:
            if run.stage == "make_cohort":
                raise
            fault = f"{run.stage}: MemoryError"
        except Exception as error:
            fault = f"{run.stage}: unhandled {_where(error)}"
    seconds = time.process_time() - start
    printed = output()
    if not fault and any(MARKER.encode(code) in printed for code in ("utf-8", "utf-16-le", "utf-16-be")):
        fault = f"{run.stage}: a marker was printed"
    return Outcome(tuple(run.codes), fault, seconds, max(0.0, (_resident("VmHWM") - before) / 1024))


def _where(error: BaseException) -> str:
    """Type of an error, and the last two places in the code that it came through; its text may hold anything."""
    places, at = [], error.__traceback__
    while at is not None:
        places.append(f"{at.tb_frame.f_globals.get('__name__', '?')}:{at.tb_lineno}")
        at = at.tb_next
    return f"{type(error).__name__} at {' > '.join(places[-2:])}"


def _image(run: _Run, path: Path, options: dict[str, Any]) -> None:
    run.at("make_cohort")
    found = inspect(str(path), str(path.parent))
    _check_finding(found)
    run.end(found.reason or "accepted")
    run.at("hide")
    load = LoadImageCohortd(
        "image", options["size"], options["rule"], pixel_spacing=options["spacing"], reading_memory=1024
    )
    try:
        image = load({"image": str(path), "row": ROW, "frame": options["frame"]})["image"]
    except CohortError as error:
        run.refused(str(error).removeprefix(f"Row {ROW} of the cohort: "))
    else:
        _check_image(image, options["size"])
        run.end("accepted")


def _check_finding(found: Finding) -> None:
    if found.reason:
        if found.reason not in REASONS:
            raise FaultError(f"{found.reason!r} is no reason code")
    elif found.form != DICOMDIR and not (found.constant and re.fullmatch("[0-9a-f]{64}", found.digest)):
        raise FaultError("accepted without a digest of its pixels")


def _check_image(image: torch.Tensor, size: list[int]) -> None:
    values = image.numpy()
    if values.shape != (1, *size) or values.dtype != np.float32:
        raise FaultError(f"an image of shape {values.shape}, {values.dtype}")
    if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
        raise FaultError("an image outside [0, 1]")


def _cohort(run: _Run, path: Path, options: dict[str, Any]) -> None:
    run.at("labels")
    try:
        read_labels(path)
        run.end("accepted")
    except ValueError as error:
        _one_of_ours(error)
        run.refused(str(error))
    run.at("cohort")
    try:
        cohort = read_cohort(path)
    except CohortError as error:
        run.refused(str(error))
        return
    if len({row.key for row in cohort.rows}) < len(cohort.rows) or not all(r.image and r.patient for r in cohort.rows):
        raise FaultError("a cohort with rows that are equal or empty")
    if set(assign_splits(cohort.labels_of_patients())) != {row.patient for row in cohort.rows}:
        raise FaultError("patients without a split")
    run.end("accepted")
    run.at("rows")
    data = CohortDataset(cohort.rows, LoadImageCohortd("image", options["size"], reading_memory=1024), cohort.folder)
    for index in range(min(4, len(data))):
        item = data[index]
        if item["error"]:
            fault = fault_of(item["error"], run.place)
            if fault:
                raise FaultError(fault)
        _check_image(item["image"], options["size"])
    run.end("accepted")


def _one_of_ours(error: ValueError) -> None:
    if first_cause(error) is None:
        raise error


def _store(run: _Run, path: Path, _: dict[str, Any]) -> None:
    store = path.parent
    run.at("verify_store")
    clear_cache()
    problems = verify_store(store)
    for problem in problems:
        if problem.code not in CODES or not re.fullmatch(r"[\w.:-]{1,80}", problem.id):
            raise FaultError("a problem that is none of the codes, or names what is no id")
    fault = fault_of(listing(problems).replace("\n", " ")[: LONGEST - 1] + ".", run.place)
    if fault:
        raise FaultError(fault)
    run.end("accepted" if not problems else "+".join(sorted({problem.code for problem in problems})[:3]))
    run.at("training")
    clear_cache()
    try:
        items = {section: load_datalist(store, section) for section in ("training", "validation")}
        names = class_names(store)
        load = LoadImageStored("image", store)
        class_weights(items["training"], max(1, len(names)))
        for item in [*items["training"], *items["validation"]][:12]:
            _check_image(load(item)["image"], list(load(item)["image"].shape[1:]))
        run.end("accepted")
    except ValueError as error:
        _one_of_ours(error)
        run.refused(str(error))


TARGETS: dict[str, Callable[[_Run, Path, dict[str, Any]], None]] = {
    **dict.fromkeys(("dicom", "nifti", "png"), _image),
    "cohort": _cohort,
    **dict.fromkeys(("manifest", "dataset"), _store),
}
FUNCTIONS: dict[str, Callable[..., Any]] = {"run_case": run_case}


@contextmanager
def _captured() -> Iterator[Callable[[], bytes]]:
    """Catch what this process, and decoders written in C, print; gives a function that reads it afterwards."""
    kept, found = [os.dup(stream) for stream in (1, 2)], list[bytes]()
    with tempfile.TemporaryFile() as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
        try:
            yield lambda: found[0]
        finally:
            for stream, before in zip((1, 2), kept, strict=True):
                os.dup2(before, stream)
                os.close(before)
            found.append(os.pread(file.fileno(), 2**20, 0))


def _resident(name: str = "VmRSS") -> int:
    """Resident memory of this process in KiB, now or ("VmHWM") at its highest."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(name))


def _forget_peak() -> None:
    with suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")
