"""Every element that a DICOM surrogate may hold, and the check that a file holds these alone. Standard library only.

A file follows from its keyed id, its size and depth, its grey levels and the release officer's decision: each other
element is a constant, and none is a date or a time (those of type 2 are there and empty).
"""

from __future__ import annotations

import math
import struct
import uuid
from collections.abc import Iterator, Sequence

PREAMBLE = bytes(128) + b"DICM"
DECISIONS = ("NO", "YES")
"""What ``PatientIdentityRemoved`` may say: "NO" until a release officer decides otherwise."""
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_OID, "fesf surrogate")
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
MANUFACTURER = "fesf"
SERIES_DESCRIPTION = "FESF surrogate, not for diagnosis"
DERIVATION = "A host image that carries amplitudes of another image. Not for diagnosis."
PIXELS = "7FE00010"
GEOMETRY = ("00280010", "00280011", "00280100", "00280101", "00280102", PIXELS)
"""Elements that differ where a file has another size or depth than its manifest says."""

_ITEM = 0xFFFEE000
_LONG = (b"OB", b"OW", b"SQ")  # in explicit VR: two reserved bytes, then four bytes of length


def uid(identity: str, level: str) -> str:
    """A UID that follows from the keyed id of an image and from nothing else: unlinkable to any original one.

    Args:
        identity: keyed id of the image, 32 hex digits.
        level: "study", "series" or "instance"; each image has its own of all three, so that UIDs say nothing of which
            images belong to one patient.

    Returns:
        ``2.25.`` and the number of a name-based UUID (DICOM PS3.5 B.2, RFC 9562).
    """
    return f"2.25.{uuid.uuid5(NAMESPACE, f'{level} {identity}').int}"


def expected_elements(
    identity: str, spatial_size: Sequence[int], bits: int, identity_removed: str
) -> dict[str, tuple[str, str | int | bytes | None]]:
    """The allow-list: VR and value of every element, in the file's order; None for the grey levels.

    Args:
        identity: keyed id of the image.
        spatial_size: columns and rows.
        bits: 8 or 16.
        identity_removed: one of :data:`DECISIONS`.

    Returns:
        By tag in hex; an element of a sequence's item by the sequence's tag, a dot and its own.
    """
    columns, rows = spatial_size
    instance = uid(identity, "instance")
    return {
        "00020000": ("UL", None),  # length of the group, checked from the bytes
        "00020001": ("OB", b"\0\1"),
        "00020002": ("UI", SECONDARY_CAPTURE),
        "00020003": ("UI", instance),
        "00020010": ("UI", EXPLICIT_LITTLE_ENDIAN),
        "00020012": ("UI", "1.2.826.0.1.3680043.9.7433.1.1"),  # highdicom; its version is not written
        "00080008": ("CS", "DERIVED\\SECONDARY\\OTHER"),
        "00080016": ("UI", SECONDARY_CAPTURE),
        "00080018": ("UI", instance),
        "00080020": ("DA", ""),
        "00080030": ("TM", ""),
        "00080050": ("SH", ""),
        "00080060": ("CS", "OT"),
        "00080064": ("CS", "SYN"),
        "00080070": ("LO", MANUFACTURER),
        "00080090": ("PN", ""),
        "0008103E": ("LO", SERIES_DESCRIPTION),
        "00082111": ("ST", DERIVATION),
        "00100010": ("PN", ""),
        "00100020": ("LO", identity),  # of the image: an archive must not take all images for one patient's
        "00100030": ("DA", ""),
        "00100040": ("CS", ""),
        "00120062": ("CS", identity_removed),
        "00120064": ("SQ", ""),
        "00120064.00080100": ("SH", "113100"),
        "00120064.00080102": ("SH", "DCM"),
        "00120064.00080104": ("LO", "Basic Application Confidentiality Profile"),
        "0020000D": ("UI", uid(identity, "study")),
        "0020000E": ("UI", uid(identity, "series")),
        "00200010": ("SH", "1"),
        "00200011": ("IS", "1"),
        "00200013": ("IS", "1"),
        "00200020": ("CS", ""),
        "00200060": ("CS", ""),
        "00280002": ("US", 1),
        "00280004": ("CS", "MONOCHROME2"),
        "00280010": ("US", rows),
        "00280011": ("US", columns),
        "00280100": ("US", bits),
        "00280101": ("US", bits),
        "00280102": ("US", bits - 1),
        "00280103": ("US", 0),
        "00280303": ("CS", "REMOVED"),
        PIXELS: ("OB" if bits == 8 else "OW", None),
    }


def meta_information(identity: str) -> bytes:
    """Preamble and meta information of a surrogate's file; its data set follows, and is all that DICOM sends."""
    known = expected_elements(identity, (1, 1), 8, DECISIONS[0]).items()
    body = b"".join(
        _element(name, kind, _encoded(kind, value))
        for name, (kind, value) in known
        if name.startswith("0002") and value is not None
    )
    return PREAMBLE + _element("00020000", "UL", struct.pack("<I", len(body))) + body


def _element(name: str, kind: str, content: bytes) -> bytes:
    """An element in explicit VR, little endian."""
    start = struct.pack("<HH2s", int(name[:4], 16), int(name[4:], 16), kind.encode())
    long = kind.encode() in _LONG
    return start + struct.pack("<HI" if long else "<H", *([0] if long else []), len(content)) + content


def walk(content: bytes, start: int = len(PREAMBLE), end: int | None = None, within: str = "") -> Iterator[tuple]:
    """Elements of a file in explicit VR, little endian, with defined lengths: what surrogates are written in.

    Args:
        content: the file's bytes.
        start, end: the bytes to go through.
        within: what the tags begin with.

    Yields:
        Tag as in :func:`expected_elements`, VR, and the value's bytes (none for a sequence, whose elements follow).

    Raises:
        ValueError: when the bytes are not that.
    """
    at, end = start, len(content) if end is None else end
    while at < end:
        try:
            group, element, kind, length = struct.unpack_from("<HH2sH", content, at)
            at += 8
            if kind in _LONG:
                at, length = at + 4, struct.unpack_from("<I", content, at)[0]
        except struct.error:
            raise ValueError("an element is cut off") from None
        if at + length > end or not kind.isalpha():
            raise ValueError("an element is cut off or not in explicit VR")
        name = f"{within}{group:04X}{element:04X}"
        yield name, kind.decode(), b"" if kind == b"SQ" else content[at : at + length]
        if kind == b"SQ":
            yield from _items(content, at, at + length, f"{name}.")
        at += length


def _items(content: bytes, at: int, end: int, within: str) -> Iterator[tuple]:
    while at < end:
        if end - at < 8 or struct.unpack_from("<HH", content, at) != (_ITEM >> 16, _ITEM & 0xFFFF):
            raise ValueError("a sequence holds something that is no item")
        stop = at + 8 + struct.unpack_from("<I", content, at + 4)[0]
        if stop > end:
            raise ValueError("an item is cut off")
        yield from walk(content, at + 8, stop, within)
        at = stop


def _encoded(kind: str, value: str | int | bytes) -> bytes:
    """A value as DICOM writes it, padded to an even length: UIDs and bytes by zero, texts by a space."""
    if isinstance(value, int):
        return struct.pack("<H", value)
    content = value.encode("ascii") if isinstance(value, str) else value
    return content + (b"\0" if kind in ("UI", "OB", "OW") else b" ") * (len(content) % 2)


def dicom_fault(
    content: bytes, spatial_size: Sequence[int], bits: int, identity: str, identity_removed: str
) -> str | None:
    """Code of what is wrong with a DICOM surrogate, or None.

    Args:
        content: bytes of the file.
        spatial_size, bits, identity_removed: as the manifest gives them.
        identity: keyed id, from the file's name.

    Returns:
        "not-an-image" for other bytes than such a file's, "other-encoding" for another size or depth than the
        manifest's, "metadata" for any element, value, preamble or padding that :func:`expected_elements` does not give.
    """
    if content[128:132] != b"DICM":
        return "not-an-image"
    try:
        found = list(walk(content))
    except (ValueError, RecursionError):
        return "not-an-image"
    wanted = expected_elements(identity, spatial_size, bits, identity_removed)
    pixels = bits // 8 * math.prod(spatial_size)
    differing = {name for (name, _, _), known in zip(found, wanted, strict=False) if name != known}
    if differing or len(found) != len(wanted) or not content.startswith(PREAMBLE):
        return "metadata"
    for name, kind, value in found:
        known_kind, known = wanted[name]
        if name == PIXELS:
            fine = len(value) == pixels + pixels % 2 and not any(value[pixels:])
        elif name == "00020000":
            fine = struct.pack("<I", _group_length(found)) == value
        else:
            fine = known is not None and _encoded(known_kind, known) == value
        if kind != known_kind or not fine:
            differing.add(name)
    if differing & set(GEOMETRY):
        return "other-encoding"
    return "metadata" if differing else None


def _group_length(found: Sequence[tuple]) -> int:
    """Bytes of the file's meta information after its first element."""
    return sum(
        (12 if kind.encode() in _LONG else 8) + len(value)
        for name, kind, value in found
        if name.startswith("0002") and name != "00020000"
    )
