"""Mutations: what each operation does, by hand; the same ones for the same seed; insides of compressed formats."""

from __future__ import annotations

import gzip
import io
import json
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, UnidentifiedImageError

from fesf.scripts.soak.mutation import APPLY, apply, draw, inside, outside, views

CONTENT = b"0123456789"
OTHERS = {"other": b"abcdefgh"}


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (["flip", 0, 0], b"1123456789"),
        (["flip", 99, 0], CONTENT),
        (["cut", 3], b"012"),
        (["set", 2, "4142"], b"01AB456789"),
        (["set", 9, "4142"], b"012345678A"),
        (["zero", 8, 5], b"01234567\0\0"),
        (["remove", 1, 3], b"0456789"),
        (["copy", 0, 2, 5], b"01234015" + b"6789"),
        (["splice", 4, "other", 1, 3], b"0123bcd789"),
        (["replace", 2, 4, "-", 3], b"01---456789"),
        (["replace", 2, 2, "\udcff\u00e9", 1], b"01\xff\xc3\xa923456789"),
    ],
)
def test_operations_by_hand(operation: list, expected: bytes) -> None:
    assert apply(CONTENT, [operation], OTHERS) == expected


def test_every_operation_was_tried() -> None:
    tried = {"flip", "cut", "set", "zero", "remove", "copy", "splice", "replace"}
    assert set(APPLY) == tried
    drawn = {name for seed in range(300) for name, *_ in draw(Random(seed), CONTENT * 30, True, OTHERS, ("Anna",))}
    assert drawn == tried
    with pytest.raises(KeyError):
        apply(CONTENT, [["splice", 0, "gone", 0, 1]], OTHERS)


@settings(max_examples=300, deadline=None)
@given(st.integers(), st.binary(max_size=300), st.booleans())
def test_a_seed_decides_and_json_holds_it(seed: int, content: bytes, text: bool) -> None:
    operations = draw(Random(seed), content, text, OTHERS, ("Anna",))
    assert 1 <= len(operations) <= 8
    assert operations == draw(Random(seed), content, text, OTHERS, ("Anna",))
    again = json.loads(json.dumps(operations))
    assert apply(content, again, OTHERS) == apply(content, operations, OTHERS)


def test_lengths_of_dicom_elements_are_met() -> None:
    element = b"\x10\x00\x20\x00LO\x04\x00ABCD" * 20 + b"\xe0\x7f\x10\x00OW\0\0\x04\0\0\0ABCD" * 20
    changed = set()
    for seed in range(400):
        for name, *arguments in draw(Random(seed), element, False, {}):
            if name == "set" and len(arguments[1]) in (4, 8):
                changed.add(element[max(0, arguments[0] - 2) : arguments[0]])
    assert {b"LO", b"\0\0"} <= changed


def picture() -> tuple[np.ndarray, bytes]:
    values = np.arange(48, dtype=np.uint8).reshape(6, 8)
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, format="PNG")
    return values, buffer.getvalue()


def test_insides_of_png() -> None:
    values, content = picture()
    assert views(content) == ("plain", "png-chunks", "png-pixels")
    for view in views(content):
        again = outside(inside(content, view), view, content)
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(again))), values)
    lines = bytearray(inside(content, "png-pixels"))
    assert len(lines) == 6 * 9
    lines[9 * 2 : 9 * 3] = b"\0" + b"\x07" * 8  # the third line, unfiltered
    lines[9 * 3 : 9 * 4] = b"\0" + b"\x08" * 8
    changed = np.asarray(Image.open(io.BytesIO(outside(bytes(lines), "png-pixels", content))))
    assert (changed[2] == 7).all()
    wider = outside(content[:16] + (9).to_bytes(4, "big") + content[20:], "png-chunks", content)
    assert Image.open(io.BytesIO(wider)).size == (9, 6)  # Pillow checks the checksum, which fits
    with pytest.raises(UnidentifiedImageError):
        Image.open(io.BytesIO(content[:16] + (9).to_bytes(4, "big") + content[20:]))


def test_insides_of_gzip() -> None:
    content = gzip.compress(CONTENT)
    assert views(content) == ("plain", "gzip")
    assert inside(content, "gzip") == CONTENT
    assert gzip.decompress(outside(b"changed", "gzip", content)) == b"changed"
    assert views(CONTENT) == ("plain",)
    assert inside(CONTENT, "plain") == outside(CONTENT, "plain", b"") == CONTENT
