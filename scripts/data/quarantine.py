"""Why a file is set aside: one code each, and the table ``quarantine.csv`` that stays in the hospital."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fesf.scripts.data.files import to_csv
from fesf.transforms.dicom_text import MARKS

REASONS = MARKS | {
    "bad-dicomdir": "a DICOMDIR that cannot be read, or names files that are not there",
    "bad-header": "a header without the attributes that an image needs, or with impossible ones",
    "bad-name": "a name that a table cannot hold: control characters, spaces at its ends, or bytes that are no text",
    "constant": "an image of one value",
    "decoder-died": "the process that read it ended",
    "detached-data": "a header whose pixels lie in another file",
    "duplicate-instance": "the same SOP instance and the same pixels as another file",
    "duplicate-pixels": "the same pixels as another image",
    "empty": "a file of no bytes",
    "instance-conflict": "the same SOP instance as another file, with other pixels",
    "irregular-slices": "a series with slices missing or at unequal gaps, no volume",
    "label-conflict": "files of one volume with different labels",
    "mixed-slices": "a series with slices of different sizes or directions, no volume",
    "no-label": "no label in labels.csv",
    "no-patient": "nobody knows whose it is",
    "no-pixels": "a DICOM image without pixel data",
    "not-a-file": "a device, pipe or socket",
    "not-a-volume": "a single slice where volumes were asked for",
    "not-an-image": "a DICOM object that is no image: a report, a presentation state, a document, a plan, a waveform",
    "not-finite": "NaN or infinite values",
    "outside-source": "a link, or a DICOMDIR, that leads out of the source",
    "study-of-two-patients": "a study whose files name different patients",
    "too-large": "more pixels than the limit, or more memory to read",
    "too-many-axes": "more than three axes",
    "too-slow": "more seconds to read than the limit",
    "truncated": "a file that ends too early",
    "undecodable": "pixels that no installed reader decodes",
    "unknown-format": "no format that is read here",
    "unreadable": "a file that cannot be opened",
    "wrong-suffix": "a suffix of another format than the content",
}
"""Every code with its meaning; those of :data:`fesf.transforms.dicom_text.MARKS` can be allowed by name."""


@dataclass(frozen=True, slots=True)
class Aside:
    """One line of ``quarantine.csv``.

    Args:
        file: path relative to the source.
        reason: a code of :data:`REASONS`.
        frame: slice or frame; None for the whole file.
    """

    file: str
    reason: str
    frame: int | None = None

    def __post_init__(self) -> None:
        if self.reason not in REASONS:
            raise ValueError(f"{self.reason!r} is no reason code.")


def check_allowed(names: Iterable[str]) -> tuple[str, ...]:
    """Names of reasons that shall not set a file aside.

    Raises:
        ValueError: for one that cannot be allowed.
    """
    allowed = tuple(names)
    for name in allowed:
        if name not in MARKS:
            raise ValueError(f"allow {name!r}: choose from {', '.join(MARKS)}.")
    return allowed


def quarantine_table(asides: Sequence[Aside]) -> bytes:
    """The table file, frame, reason; names are written with ``\\\\`` escapes where a line could not hold them."""
    rows = ({"file": escape(a.file), "frame": "" if a.frame is None else a.frame, "reason": a.reason} for a in asides)
    return to_csv(("file", "frame", "reason"), rows)


def escape(name: str) -> str:
    """A file name as one line of printable text: control characters and undecodable bytes as ``\\\\x0a``."""
    if name.isprintable():
        return name.replace("\\", "\\\\")
    return "".join(c if c.isprintable() and c != "\\" else c.encode("unicode_escape").decode() for c in name)


def counts(asides: Iterable[Aside]) -> list[tuple[str, int]]:
    """How often each reason occurs, the most frequent first."""
    return sorted(Counter(aside.reason for aside in asides).items(), key=lambda item: (-item[1], item[0]))
