"""What of an original a report needs: read from its header in a limited process, kept sealed in the ledger."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import MutableSequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

PREAMBLE = 132


@dataclass(frozen=True)
class Origin:
    """Patient, study and image of one original, as its header gives them (texts decoded)."""

    sop_class: str
    sop_instance: str
    series: str
    study: str
    patient_id: str
    patient_name: str
    birth_date: str
    sex: str
    study_date: str
    study_time: str
    study_id: str
    accession: str
    referring: str
    patient_id_issuer: str = ""

    def to_bytes(self) -> bytes:
        """As JSON."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> Origin:
        """The inverse of :meth:`to_bytes`."""
        return cls(**json.loads(content))


def body(content: bytes) -> bytes | None:
    """The data set of a DICOM file, without preamble and meta information; None where it is no DICOM file.

    An image that comes by network and by folder has other meta information and the same data set.
    """
    if content[128:PREAMBLE] != b"DICM" or len(content) < PREAMBLE + 12:
        return None
    group, element, kind, length, size = struct.unpack_from("<HH2sHI", content, PREAMBLE)
    start = PREAMBLE + 12 + size
    if (group, element, kind, length) != (2, 0, b"UL", 4) or start > len(content):
        return None
    return content[start:]


def describe(content: bytes, pixels: int, depth: int) -> Origin | str:
    """Origin of an image, or a code of why it is refused; runs in a limited process, since the file is not trusted.

    Args:
        content: bytes of a DICOM file.
        pixels: most frames x rows x columns.
        depth: most sequences within sequences.

    Returns:
        The origin, or "not-dicom", "deflated", "no-image", "no-uid", "too-many-pixels", "too-deep", "long-text".
    """
    import io

    from fesf.transforms.dicom_reader import quiet, read_header

    with quiet():
        if body(content) is None:
            return "not-dicom"
        header = read_header(io.BytesIO(content))
        if header.file_meta.TransferSyntaxUID.is_deflated:
            return "deflated"
        try:
            if _deeper(header, depth):
                return "too-deep"
        except RecursionError:
            return "too-deep"
        sizes = [header.get(name, 0) for name in ("Rows", "Columns")]
        frames = header.get("NumberOfFrames") or 1
        if not all(isinstance(size, int) and size > 0 for size in sizes) or int(frames) < 1:
            return "no-image"
        if int(frames) * sizes[0] * sizes[1] > pixels:
            return "too-many-pixels"
        uids = [_text(header, name) for name in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID",
                                                 "StudyInstanceUID")]  # fmt: skip
        if not all(0 < len(uid) <= 64 and set(uid) <= set("0123456789.") for uid in uids):
            return "no-uid"
        names = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
                 "AccessionNumber", "ReferringPhysicianName", "IssuerOfPatientID")  # fmt: skip
        texts = [_text(header, name) for name in names]
        return Origin(*uids, *texts) if max(map(len, texts)) <= LONGEST else "long-text"


LONGEST = 1024
"""Most characters of a text; DICOM's own limits are 16 to 200, and files that exceed them are common."""
_FORMS = {
    "Date": ("%Y%m%d", r"[0-9]{8}"),
    "Time": ("%H%M%S", r"[0-9]{2}([0-9]{2}){0,2}|[0-9]{6}\.[0-9]{1,6}"),
}
"""How dates and times are written, by the end of an attribute's name."""


def _text(header: Any, name: str) -> str:
    """A value as text; what no report could hold is left out.

    Of several values, which none of these may have, there is a backslash between them; of several names the first.
    """
    value = header.get(name)
    if isinstance(value, MutableSequence):
        value = "\\".join(map(str, value[:1] if name.endswith("Name") else value))
    text = "" if value is None else str(value)
    form = next((form for end, form in _FORMS.items() if name.endswith(end)), None)
    if form is not None:
        return text if _is_moment(text, *form) else ""
    return text if name != "PatientSex" or text in ("M", "F", "O") else ""


def _is_moment(text: str, form: str, pattern: str) -> bool:
    """Whether a text is a date or a time, of which minutes, seconds and their fraction may be missing."""
    whole = text.partition(".")[0]
    try:
        datetime.strptime(whole, form[: len(whole)])
    except ValueError:
        return False
    return re.fullmatch(pattern, text) is not None


def _deeper(dataset: Any, depth: int) -> bool:
    """Whether a data set holds more sequences within each other than ``depth``."""
    return any(
        depth == 0 or any(_deeper(item, depth - 1) for item in element.value)
        for element in dataset
        if element.VR == "SQ"
    )
