"""Open what a run leaves: zip (checkpoints, npz), gzip, tar, pictures, SQLite, base64 blocks."""

from __future__ import annotations

import io
import re
import sqlite3
import tarfile
import zipfile
import zlib
from base64 import b64decode
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

_BASE64 = re.compile(rb"[A-Za-z0-9+/]{64,}={0,2}")
PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*")


class Part(NamedTuple):
    """Something inside a container.

    Args:
        kind: the container's kind.
        content: its bytes; None when the container could not be opened.
        final: whether it is decoded as far as it goes.
    """

    kind: str
    content: bytes | None
    final: bool = False


def open_up(content: bytes) -> Iterator[Part]:
    """What can be unpacked of bytes; nothing for what is no container."""
    if content.startswith(b"PK\x03\x04"):
        yield from _guard("zip", _zip(content))
    elif content.startswith(b"\x1f\x8b"):
        yield from _guard("gzip", _gzip(content))
    elif content.startswith(b"SQLite format 3\0"):
        yield from _guard("sqlite", _sqlite(content))
    elif content.startswith(PICTURES):
        yield from _guard("picture", _picture(content))
    elif content[257:262] == b"ustar":
        yield from _guard("tar", _tar(content))
    elif not _is_binary(content):
        yield from _guard("base64", _base64(content))


def _is_binary(content: bytes) -> bool:
    return b"\0" in content[:4096]


def _guard(kind: str, parts: Iterator[Part]) -> Iterator[Part]:
    """A container that breaks off gives what came before, and says so."""
    try:
        yield from parts
    except (EOFError, LookupError, OSError, SyntaxError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error):
        yield Part(kind, None)
    except (sqlite3.Error, tarfile.TarError):
        yield Part(kind, None)


def _zip(content: bytes) -> Iterator[Part]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for member in archive.infolist():
            yield Part("zip", member.filename.encode() + b"\n" + member.comment, final=True)
            yield Part("zip", archive.read(member))


def _gzip(content: bytes) -> Iterator[Part]:
    unpacked = zlib.decompressobj(31)
    yield Part("gzip", unpacked.decompress(content))
    if not unpacked.eof:
        yield Part("gzip", None)


def _tar(content: bytes) -> Iterator[Part]:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for member in archive:
            if member.isfile() and (file := archive.extractfile(member)) is not None:
                yield Part("tar", file.read())


def _sqlite(content: bytes) -> Iterator[Part]:
    """Every cell of every table: a long one is not in one piece in the file."""
    database = sqlite3.connect(":memory:")
    try:
        database.deserialize(content[:18] + b"\1\1" + content[20:])  # one in WAL mode would not open
        names = [row[0] for row in database.execute("select name from sqlite_master where type = 'table'")]
        for name in names:
            for row in database.execute('select * from "' + name.replace('"', '""') + '"'):
                for cell in row:
                    if isinstance(cell, str | bytes) and len(cell) > 7:
                        yield Part("sqlite", cell.encode() if isinstance(cell, str) else cell)
    finally:
        database.close()


def _picture(content: bytes) -> Iterator[Part]:
    with Image.open(io.BytesIO(content)) as picture:
        said = "\n".join(f"{name} {value}" for name, value in picture.info.items())
        yield Part("picture", said.encode("utf-8", "surrogateescape"), final=True)
        values = np.asarray(picture)
        planes = [values] if values.ndim == 2 else [values, *np.moveaxis(values, -1, 0)]
        for plane in planes:
            if plane.dtype == np.int32:  # what Pillow makes of some 16-bit files
                plane = plane.astype(np.uint16)
            yield Part("picture", plane.tobytes(), final=True)
            if plane.itemsize > 1:
                yield Part("picture", plane.byteswap().tobytes(), final=True)


def _base64(content: bytes) -> Iterator[Part]:
    for block in _BASE64.findall(content):
        usable = block.rstrip(b"=")
        yield Part("base64", b64decode(usable[: len(usable) // 4 * 4]))
