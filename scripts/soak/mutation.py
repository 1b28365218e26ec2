"""Broken inputs from sound ones: pure functions that draw and apply mutations of bytes, reproducible by their seed.

A mutation is a list of operations that JSON can hold, so that a failure is kept as its source's name and operations,
never as bytes of the source. A seeded mutator of our own and no fuzzer: hypothesis shrinks but wants each input's whole
process in one test, atheris instruments code that is not C, where most of what reads here is; neither resumes.
"""

from __future__ import annotations

import gzip
import re
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

Operation = list[Any]
"""A name and its arguments; see :data:`APPLY`."""

INTERESTING = (0, 1, 2, 3, 4, 7, 8, 15, 16, 17, 32, 64, 127, 128, 255, 256, 1024, 4096, 16384, 32767, 32768, 65535)
LARGE = (65536, 2**20, 2**24, 2**28, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1)
REALS = (0.0, -1.0, 1e-45, 1e30, 3.4e38, float("inf"), float("-inf"), float("nan"))
REPRESENTATIONS = b"AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OW PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV"
_ELEMENT = re.compile(rb"(?<=..)(?:" + REPRESENTATIONS.replace(b" ", b"|") + rb")", re.DOTALL)
_TOKEN = re.compile(rb'"[^"\n]{0,200}"|[^\s,:"{}\[\]]{1,200}')

WORDS: tuple[tuple[str, int], ...] = (
    *((word, 1) for word in ("", "null", "true", "-1", "0", "1", "2", "1.5", "1e999", "-1e999", "NaN", "{}", "[]")),
    *((word, 1) for word in ('""', '"', "'", ",", ";", "\t", "\n", "\r", "\r\n", "\0", "\x1b[2J", "\ufeff", "\udcff")),
    *(
        (word, 1)
        for word in ("..", '".."', "../", "/", "/dev/zero", "images/../../x.png", "images/.", '"\\ud800"', "\\")
    ),
    *((word, 1) for word in ("=1+1", "%s", "{0}", "training", "test", "٣", "é", "\u2028")),
    *(("9", times) for times in (19, 40, 400, 5000)),
    *(("[", times) for times in (1, 500, 100_000)),
    *(('{"a":', times) for times in (1, 100_000)),
    *(("a", times) for times in (300, 140_000)),
    *(("../", 60),),
)
"""Text that replaces or joins a document's own, and how often it is repeated; \\udcff stands for the byte 255."""


def draw(
    random: Random, content: bytes, text: bool, others: Mapping[str, bytes], words: Sequence[str] = ()
) -> list[Operation]:
    """Draw one to eight operations.

    Args:
        random: its state decides all.
        content: what they will be applied to.
        text: whether it is a table or JSON; then words are put in as well.
        others: sources to splice from, by name.
        words: further ones for text, such as markers.
    """
    count = 1 + min(7, int(random.expovariate(1.8 if text else 0.9)))
    kinds: Sequence[_Draw] = (*_BYTES, *_TEXT * 16) if text else _BYTES
    operations = []
    for _ in range(count):
        operation = random.choice(kinds)(random, content, others, words)
        operations.append(operation)
        content = apply(content, [operation], others)
    return operations


def apply(content: bytes, operations: Sequence[Operation], others: Mapping[str, bytes]) -> bytes:
    """Apply operations in order; places beyond the end do nothing.

    Raises:
        KeyError: for an operation, or a source to splice from, that is not there.
    """
    for name, *arguments in operations:
        content = APPLY[name](content, others, *arguments)
    return content


def _put(content: bytes, start: int, piece: bytes) -> bytes:
    piece = piece[: max(0, len(content) - start)]
    return content[:start] + piece + content[start + len(piece) :]


def _flip(content: bytes, _: Mapping[str, bytes], place: int, bit: int) -> bytes:
    return _put(content, place, bytes([content[place] ^ (1 << bit)])) if place < len(content) else content


APPLY: dict[str, Callable[..., bytes]] = {
    "flip": _flip,
    "cut": lambda content, _, length: content[:length],
    "set": lambda content, _, start, digits: _put(content, start, bytes.fromhex(digits)),
    "zero": lambda content, _, start, length: _put(content, start, bytes(length)),
    "remove": lambda content, _, start, length: content[:start] + content[start + length :],
    "copy": lambda content, _, start, length, to: content[:to] + content[start : start + length] + content[to:],
    "splice": lambda content, others, to, name, start, length: _put(content, to, others[name][start : start + length]),
    "replace": lambda content, _, start, end, word, times: (
        content[:start] + word.encode("utf-8", "surrogateescape") * times + content[end:]
    ),
}
"""Operations by name: flip a bit, cut, set bytes, zeros, remove, copy a piece, splice one of another source, put a word
in place of what stands there."""

_Draw = Callable[[Random, bytes, Mapping[str, bytes], Sequence[str]], Operation]


def _place(random: Random, content: bytes) -> int:
    """A place, more often near the start, where headers are."""
    return int(len(content) * random.random() ** random.choice((1, 3, 6)))


def _draw_flip(random: Random, content: bytes, *_: Any) -> Operation:
    return ["flip", _place(random, content), random.randrange(8)]


def _draw_cut(random: Random, content: bytes, *_: Any) -> Operation:
    return ["cut", _place(random, content)]


def _draw_set(random: Random, content: bytes, *_: Any) -> Operation:
    return ["set", _place(random, content), random.randbytes(random.choice((1, 1, 2, 4, 16))).hex()]


def _draw_number(random: Random, content: bytes, *_: Any) -> Operation:
    """A whole or real number of a size that lengths and counts have, in either byte order."""
    order = random.choice("<>")
    if random.random() < 0.2:
        piece = struct.pack(order + random.choice("fd"), random.choice(REALS))
    else:
        width = random.choice((1, 2, 2, 4, 4, 8))
        number = random.choice(INTERESTING + LARGE) % 2 ** (8 * width)
        piece = number.to_bytes(width, "little" if order == "<" else "big")
    return ["set", _place(random, content) & ~1, piece.hex()]


def _draw_length(random: Random, content: bytes, *_: Any) -> Operation:
    """Another length for a DICOM element, which follows its two letters; elsewhere as :func:`_draw_number`."""
    start = _place(random, content)
    found = _ELEMENT.search(content, start, start + 4096)
    if found is None:
        return _draw_number(random, content)
    long = found.group() in (b"OB", b"OD", b"OF", b"OL", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
    place, width = (found.end() + 2, 4) if long else (found.end(), 2)
    return ["set", place, (random.choice(INTERESTING + LARGE) % 2 ** (8 * width)).to_bytes(width, "little").hex()]


def _draw_zero(random: Random, content: bytes, *_: Any) -> Operation:
    return ["zero", _place(random, content), random.choice((1, 4, 16, 64, 512, 4096))]


def _draw_remove(random: Random, content: bytes, *_: Any) -> Operation:
    return ["remove", _place(random, content), random.choice((1, 2, 4, 16, 64, 512))]


def _draw_copy(random: Random, content: bytes, *_: Any) -> Operation:
    length = random.choice((1, 4, 16, 64, 512))
    return ["copy", _place(random, content), length, _place(random, content)]


def _draw_splice(random: Random, content: bytes, others: Mapping[str, bytes], *_: Any) -> Operation:
    if not others:
        return _draw_flip(random, content)
    name = random.choice(sorted(others))
    return ["splice", _place(random, content), name, _place(random, others[name]), random.choice((4, 32, 256, 2048))]


def _draw_token(random: Random, content: bytes, _: Any, words: Sequence[str]) -> Operation:
    """Another word in place of a cell, key or value, or put before it."""
    found = _TOKEN.search(content, int(len(content) * random.random()))
    start, end = found.span() if found is not None else (0, 0)
    word, times = random.choice(WORDS + tuple((word, 1) for word in words) * 3)
    if end - start > 1 and content[start : start + 1] == b'"' and random.random() < 0.6:
        return ["replace", start + 1, end - 1, word.replace('"', ""), times]  # stays a text
    return ["replace", start, start if random.random() < 0.2 else end, word, times]


_BYTES: tuple[_Draw, ...] = (
    *(_draw_flip, _draw_flip, _draw_set, _draw_cut, _draw_number, _draw_number, _draw_length, _draw_length),
    *(_draw_zero, _draw_remove, _draw_copy, _draw_splice),
)
_TEXT: tuple[_Draw, ...] = (_draw_token, _draw_token, _draw_copy)

# Views: compressed and checksummed formats refuse nearly all changes of their outside; these change the inside.

PNG_START = b"\x89PNG\r\n\x1a\n"


def views(content: bytes) -> tuple[str, ...]:
    """Names of the insides that :func:`inside` can open, "plain" first."""
    if content.startswith(b"\x1f\x8b"):
        return ("plain", "gzip")
    return ("plain", "png-chunks", "png-pixels") if content.startswith(PNG_START) else ("plain",)


def inside(content: bytes, view: str) -> bytes:
    """What a mutation of a view is applied to: the bytes, what gzip holds, or the unpacked scan lines of a PNG."""
    if view == "gzip":
        return gzip.decompress(content)
    if view == "png-pixels":
        return zlib.decompress(b"".join(data for kind, data in _chunks(content) if kind == b"IDAT"))
    return content


def outside(changed: bytes, view: str, content: bytes) -> bytes:
    """The file of which a changed inside is the inside.

    Args:
        changed: the mutated inside.
        view: its name.
        content: the file before.
    """
    if view == "gzip":
        return gzip.compress(changed, compresslevel=1, mtime=0)
    if view == "png-pixels":
        kept = [(kind, data) for kind, data in _chunks(content) if kind not in (b"IDAT", b"IEND")]
        return PNG_START + b"".join(
            _chunk(*pair) for pair in [*kept, (b"IDAT", zlib.compress(changed, 1)), (b"IEND", b"")]
        )
    if view == "png-chunks":
        return changed[:8] + b"".join(_chunk(*pair) for pair in _chunks(changed))
    return changed


def _chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    """Chunks of a PNG, as far as their lengths lead."""
    found, place = [], 8
    while place + 8 <= len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        found.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + length]))
        place += 12 + length
    return found


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
