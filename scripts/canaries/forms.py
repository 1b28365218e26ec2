"""The forms in which a marker or an array of pixels could leave: encodings, base64, hex, digests, number types."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from fesf.scripts.canaries.markers import Marker

WINDOW = 32
STRIDE = 64
"""Of each plaintext array every 64th byte begins a window of 32 bytes: a run of 95 bytes holds one whole."""
DIGEST_BYTES = 10
"""A digest is searched by its first ten bytes, so that a shortened one is found too."""
Form = tuple[str, bytes]

_ESCAPES = re.compile(rb"\x1b[$(][A-Z)]*[A-Z]?")


def base64_forms(content: bytes) -> Iterator[bytes]:
    """What of ``content`` is the same in base64 whatever stands around it: one text for each of three alignments."""
    for before in range(3):
        first, last = -(-before * 8 // 6), (before + len(content)) * 8 // 6
        padded = bytes(before) + content
        yield from {encode(padded)[first:last] for encode in (b64encode, urlsafe_b64encode)}


def text_forms(marker: Marker) -> Iterator[Form]:
    """Every form of a marker as (name, bytes)."""
    text = marker.text
    encoded = {"UTF-8": text.encode(), "UTF-16 LE": text.encode("utf-16-le"), "UTF-16 BE": text.encode("utf-16-be")}
    for name, content in encoded.items():
        yield name, content
        for number, shifted in enumerate(base64_forms(content)):
            yield f"base64 of {name}, {number}", shifted
        yield f"hex of {name}", content.hex().encode()
        yield f"HEX of {name}", content.hex().upper().encode()
    if marker.codec not in ("", "utf_8"):
        native = _ESCAPES.sub(b"", text.encode(marker.codec))
        yield f"the file's character set ({marker.codec})", native
    if not text.isascii():
        yield "escapes (JSON, Python)", text.encode("ascii", "backslashreplace")
        yield "percent-encoding", quote(text).encode()
    if marker.kind == "date":
        yield "ISO date", f"{text[:4]}-{text[4:6]}-{text[6:]}".encode()
    if marker.kind == "time":
        yield "ISO time", f"{text[:2]}:{text[2:4]}:{text[4:]}".encode()
    for value in {text, marker.whole} - {""}:
        yield from digest_forms(value.encode())


def digest_forms(content: bytes) -> Iterator[Form]:
    """SHA-256 and MD5 of bytes, raw, in hex and in base64, cut to what is searched."""
    for name in ("SHA-256", "MD5"):
        digest = hashlib.new(name.replace("-", ""), content, usedforsecurity=False).digest()
        yield f"{name}, raw", digest[:DIGEST_BYTES]
        yield f"{name}, hex", digest[:DIGEST_BYTES].hex().encode()
        yield f"{name}, HEX", digest[:DIGEST_BYTES].hex().upper().encode()
        yield f"{name}, base64", b64encode(digest)[:12]


def pixel_forms(values: NDArray[np.generic], bits: int) -> Iterator[tuple[str, bytes]]:
    """An array as bytes: as it is, of 8 and 16 bits, as float32 in [0, 1], both byte orders, and turned (x first).

    Args:
        values: (rows, columns), or with more axes in front; whole numbers, or float in [0, 1].
        bits: what the numbers hold; for float the bits to which it is rounded.
    """
    unit = np.asarray(values, dtype=np.float64)
    if values.dtype.kind in "iu":
        low = -(2.0 ** (bits - 1)) if values.dtype.kind == "i" else 0.0
        unit = (unit - low) / (2.0**bits - 1)
        kind = f"{8 * values.itemsize} bit, {'signed' if values.dtype.kind == 'i' else 'unsigned'}"
        yield f"as stored, {kind}", values.tobytes()
        if values.itemsize > 1:
            yield f"as stored, {kind}, swapped", values.byteswap().tobytes()
    shapes = {"": unit, ", turned": np.swapaxes(unit, -1, -2)}
    for name, turned in shapes.items():
        yield f"8 bit{name}", np.rint(turned * 255).astype("u1").tobytes()
        for order, word in (("<", "LE"), (">", "BE")):
            yield f"16 bit {word}{name}", np.rint(turned * 65535).astype(f"{order}u2").tobytes()
            yield f"float32 {word}{name}", turned.astype(f"{order}f4").tobytes()


def windows(content: bytes) -> Iterator[bytes]:
    """Windows of bytes that can be told from others: flat background is left out."""
    for start in range(0, len(content) - WINDOW + 1, STRIDE):
        window = content[start : start + WINDOW]
        if len(set(window[:8])) >= 4 and len(set(window)) >= 8:
            yield window
