"""What may stand in an image's file: checked against files made by hand, by Pillow and by nibabel."""

from __future__ import annotations

import gzip
import io
import struct
import zlib

import nibabel as nib
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from fesf.scripts.data.file_metadata import nifti_fault, png_fault
from tests.scripts.data.made_store import chunk, png

SIZE = (8, 6)


@pytest.mark.parametrize("bits", [8, 16])
def test_pillows_plain_png_is_fine(bits: int) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((6, 8), f"uint{bits}")).save(buffer, format="PNG")
    assert png_fault(buffer.getvalue(), SIZE, bits) is None
    assert png_fault(buffer.getvalue(), SIZE, 24 - bits) == "other-encoding"
    assert png_fault(buffer.getvalue(), (6, 8), bits) == "other-encoding"


def test_pillows_text_is_found() -> None:
    text, buffer = PngImagePlugin.PngInfo(), io.BytesIO()
    text.add_text("Patient", "Schmidt")
    Image.fromarray(np.zeros((6, 8), np.uint8)).save(buffer, format="PNG", pnginfo=text)
    assert png_fault(buffer.getvalue(), SIZE, 8) == "metadata"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (png(3), None),
        (png(3, extra=chunk(b"tIME", bytes(7))), "metadata"),
        (png(3, extra=chunk(b"eXIf", b"II*\0")), "metadata"),
        (png(3, end=b"Schmidt"), "metadata"),
        (png(3)[:-4], "not-an-image"),
        (png(3)[:20], "not-an-image"),
        (png(3)[:8], "not-an-image"),
        (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", bytes(13)) + chunk(b"IEND", b""), "not-an-image"),
        (b"\x89PNG\r\n\x1a\n" + struct.pack(">I4s", 2**31, b"IHDR") + bytes(20), "not-an-image"),
        (b"GIF89a", "not-an-image"),
        (b"", "not-an-image"),
    ],
)
def test_chunks_by_hand(content: bytes, code: str | None) -> None:
    assert png_fault(content, SIZE, 8) == code


def test_colour_is_another_encoding() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", SIZE).save(buffer, format="PNG")
    assert png_fault(buffer.getvalue(), SIZE, 8) == "other-encoding"


def volume(affine: np.ndarray | None = None, **header: bytes | int) -> bytes:
    image = nib.Nifti1Image(np.zeros((8, 6, 4), np.uint8), np.diag([0.9, 1.3, 2, 1]) if affine is None else affine)
    for name, value in header.items():
        image.header[name] = value
    return image.to_bytes()


def zipped(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


NUMBERS = {"cal_max": 7, "toffset": 7, "slice_duration": 7, "intent_p1": 7, "dim_info": 7, "xyzt_units": 2}
"""Fields of numbers that a scanner's file fills and a surrogate's does not."""


def test_nifti() -> None:
    size = (8, 6, 4)
    plain = volume()
    assert nifti_fault(zipped(plain), size, 8) is None
    assert nifti_fault(zipped(plain), size, 16) == "other-encoding"
    assert nifti_fault(zipped(plain), (8, 6, 5), 8) == "other-encoding"
    for name in ("descrip", "aux_file", "db_name", "intent_name"):
        assert nifti_fault(zipped(volume(**{name: b"Schmidt"})), size, 8) == "metadata", name
    origin = np.diag([0.9, 1.3, 2, 1])
    origin[0, 3] = 90.7
    assert nifti_fault(zipped(volume(origin)), size, 8) == "metadata"
    image = nib.Nifti1Image(np.zeros(size, np.uint8), np.eye(4))
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"Schmidt"))
    assert nifti_fault(zipped(image.to_bytes()), size, 8) == "metadata"
    assert nifti_fault(zipped(plain + b"x"), size, 8) == "metadata"
    assert nifti_fault(zipped(plain) + zipped(b"x"), size, 8) == "metadata"
    assert nifti_fault(gzip.compress(plain, mtime=5), size, 8) == "metadata"
    for name, value in NUMBERS.items():
        assert nifti_fault(zipped(volume(**{name: value})), size, 8) == "metadata", name
    for turned in (np.diag([-0.9, 1.3, 2, 1]), np.diag([0.9375, 1.3, 2, 1]), np.diag([0.9, 1.3, 2, 1])[[1, 0, 2, 3]]):
        assert nifti_fault(zipped(volume(turned)), size, 8) == "metadata"
    named = io.BytesIO()
    with gzip.GzipFile("Schmidt.nii", "wb", fileobj=named, mtime=0) as file:
        file.write(plain)
    assert nifti_fault(named.getvalue(), size, 8) == "metadata"
    for broken in (b"", zipped(b"short"), zipped(bytes(400)), zlib.compress(plain), b"\x1f\x8b" + bytes(30)):
        assert nifti_fault(broken, size, 8) == "not-an-image"


def test_a_bomb_is_not_unpacked() -> None:
    bomb = gzip.compress(volume() + bytes(200_000_000), compresslevel=1, mtime=0)
    assert nifti_fault(bomb, (8, 6, 4), 8) == "metadata"
