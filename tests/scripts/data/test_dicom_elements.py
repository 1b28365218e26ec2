"""What may stand in a DICOM surrogate: an object by highdicom is fine, each alteration of it has its code."""

from __future__ import annotations

import io
import struct
import uuid
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from fesf.scripts.data.dicom_elements import dicom_fault, uid, walk
from fesf.scripts.data.dicom_image import encode_dicom

IDENTITY = "0123456789abcdef0123456789abcdef"
SIZE = (9, 7)
GREY = np.random.default_rng(0).integers(0, 255, SIZE, np.uint8)


def made(bits: int = 8, decision: str = "NO") -> bytes:
    return encode_dicom(GREY.astype(f"uint{bits}"), IDENTITY, decision)


def fault(content: bytes, size: tuple[int, ...] = SIZE, bits: int = 8, decision: str = "NO") -> str | None:
    return dicom_fault(content, size, bits, IDENTITY, decision)


@pytest.mark.parametrize("decision", ["NO", "YES"])
@pytest.mark.parametrize("bits", [8, 16])
def test_what_the_writer_writes_is_fine(bits: int, decision: str) -> None:
    content = made(bits, decision)
    assert fault(content, SIZE, bits, decision) is None
    assert fault(content, SIZE, 24 - bits, decision) == "other-encoding"
    assert fault(content, SIZE[::-1], bits, decision) == "other-encoding"
    assert fault(content, SIZE, bits, "NO" if decision == "YES" else "YES") == "metadata"
    assert dicom_fault(content, SIZE, bits, "f" * 32, decision) == "metadata"  # another image's UIDs


def item(**values: Any) -> Dataset:
    dataset = Dataset()
    for name, value in values.items():
        setattr(dataset, name, value)
    return dataset


ALTERED: dict[str, Callable[[Any], Any]] = {
    "name": lambda file: setattr(file, "PatientName", "Schmidt^Anna"),
    "date": lambda file: setattr(file, "StudyDate", "20200101"),
    "time": lambda file: setattr(file, "ContentTime", "120000"),
    "private": lambda file: file.private_block(0x0009, "SCHMIDT", create=True).add_new(1, "LO", "Anna"),
    "another UID": lambda file: setattr(file, "SOPInstanceUID", "1.2.3"),
    "a patient's id": lambda file: setattr(file, "PatientID", "4711"),
    "another text": lambda file: setattr(file, "SeriesDescription", "Schmidt"),
    "text": lambda file: setattr(file, "BurnedInAnnotation", "NO"),
    "removed": lambda file: delattr(file, "SeriesDescription"),
    "another code": lambda file: setattr(file.DeidentificationMethodCodeSequence[0], "CodeValue", "113101"),
    "nested": lambda file: setattr(file.DeidentificationMethodCodeSequence[0], "PatientName", "Schmidt"),
    "an item more": lambda file: file.DeidentificationMethodCodeSequence.append(item(CodeValue="113101")),
    "overlay": lambda file: file.add_new(0x60003000, "OW", b"\1\2"),
    "after the pixels": lambda file: file.add_new(0xFFFCFFFC, "OB", b"Schmidt!"),
    "version": lambda file: setattr(file.file_meta, "ImplementationVersionName", "SCHMIDT"),
    "preamble": lambda file: setattr(file, "preamble", b"Schmidt".ljust(128, b"\0")),
}


@pytest.mark.parametrize("alter", ALTERED.values(), ids=ALTERED)
def test_any_other_element_or_value_is_metadata(alter: Callable[[Any], Any]) -> None:
    file, buffer = pydicom.dcmread(io.BytesIO(made())), io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        alter(file)
        file.save_as(buffer, enforce_file_format=False)
    assert fault(buffer.getvalue()) == "metadata"


def test_bytes_by_hand() -> None:
    content = made()
    assert fault(content[:-1] + b"S") == "other-encoding"  # the byte that pads the pixels
    assert fault(content + b"Schmidt") == "not-an-image"
    length = content.index(b"\x02\x00\x00\x00UL") + 8
    assert fault(content[:length] + b"\0" + content[length + 1 :]) == "metadata"
    sequence = content.index(b"\x12\x00\x64\x00SQ") + 12
    assert fault(content[: sequence + 4] + b"\xff\xff\xff\xff" + content[sequence + 8 :]) == "not-an-image"
    assert fault(content[:sequence] + bytes(4) + content[sequence + 4 :]) == "not-an-image"
    for broken in (b"", b"GIF89a", content[:140], content[:-10], content[:300], bytes(128) + b"DICM" + bytes(20)):
        assert fault(broken) == "not-an-image", broken[:10]
    assert fault(bytes(128) + b"DICM") == "metadata"


def test_a_deep_nest_is_no_image() -> None:
    """A sequence in a sequence ... must not end in a traceback."""
    nest = b""
    for _ in range(2000):
        part = b"\xfe\xff\x00\xe0" + struct.pack("<I", len(nest)) + nest
        nest = b"\x12\x00\x64\x00SQ\0\0" + struct.pack("<I", len(part)) + part
    assert fault(bytes(128) + b"DICM" + nest) == "not-an-image"


def test_the_walk_names_what_pydicom_names() -> None:
    file = pydicom.dcmread(io.BytesIO(made()))
    names = [f"{int(element.tag):08X}" for part in (file.file_meta, file) for element in part]
    assert [name for name, _, _ in walk(made()) if "." not in name] == names
    assert [name for name, _, _ in walk(made()) if "." in name] == [f"00120064.0008010{number}" for number in (0, 2, 4)]


def test_uids_are_those_of_a_name_based_uuid() -> None:
    space = uuid.uuid5(uuid.NAMESPACE_OID, "fesf surrogate")
    assert uid(IDENTITY, "study") == f"2.25.{int(str(uuid.uuid5(space, f'study {IDENTITY}')).replace('-', ''), 16)}"
