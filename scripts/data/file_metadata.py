"""What a store's image file may hold besides its pixels: nothing. Checked from the bytes, without decoding pixels."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Sequence

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_CHUNKS = (b"IHDR", b"IDAT", b"IEND")
NIFTI_HEADER = 352  # bytes of a NIfTI-1 header with an empty extension
_GZIP_START = struct.Struct("<2sBBIBB")
# Fields of a NIfTI-1 header that hold text, as (start, length): data_type, db_name, descrip, aux_file, intent_name.
_NIFTI_TEXTS = ((4, 10), (14, 18), (148, 80), (228, 24), (328, 16))


def png_fault(content: bytes, spatial_size: Sequence[int], bits: int) -> str | None:
    """Code of what is wrong with a PNG, or None.

    Args:
        content: bytes of the file.
        spatial_size: width and height that the manifest gives.
        bits: grey levels' depth that the manifest gives.

    Returns:
        "not-an-image" for other bytes than a PNG's, "metadata" for any chunk but IHDR, IDAT and IEND or bytes after the
        end, "other-encoding" for another size, depth or colour than the manifest's.
    """
    if not content.startswith(PNG_SIGNATURE):
        return "not-an-image"
    kinds: list[bytes] = []
    at = len(PNG_SIGNATURE)
    while at + 12 <= len(content) and (not kinds or kinds[-1] != b"IEND"):
        length, kind = struct.unpack_from(">I4s", content, at)
        kinds.append(kind)
        at += 12 + length
    if kinds[:1] != [b"IHDR"] or b"IDAT" not in kinds or kinds[-1] != b"IEND" or at > len(content):
        return "not-an-image"
    if any(kind not in PNG_CHUNKS for kind in kinds) or at < len(content):
        return "metadata"
    given = (*spatial_size, bits, 0, 0, 0, 0)  # colour 0 is grey; deflate, no filter method, not interlaced
    return None if struct.unpack_from(">IIBBBBB", content, 16) == given else "other-encoding"


def nifti_fault(content: bytes, spatial_size: Sequence[int], bits: int) -> str | None:
    """Code of what is wrong with a gzipped NIfTI, or None; codes as in :func:`png_fault`.

    "metadata" stands for a name, comment or time in the gzip header, a text or an extension in the NIfTI header, and an
    origin or rotated axes in its affine.
    """
    expected = NIFTI_HEADER + bits // 8 * math.prod(spatial_size)
    try:
        _, _, flags, time, _, _ = _GZIP_START.unpack_from(content)
        stream = zlib.decompressobj(wbits=31)
        header = stream.decompress(content, expected + 1)  # a bomb is not unpacked
    except (struct.error, zlib.error):
        return "not-an-image"
    if len(header) < NIFTI_HEADER or struct.unpack_from("<i", header)[0] != 348:
        return "not-an-image"
    shape = struct.unpack_from("<8h", header, 40)
    if shape[1 : 1 + shape[0]] != tuple(spatial_size) or struct.unpack_from("<h", header, 72)[0] != bits:
        return "other-encoding"
    texts = b"".join(header[start : start + length] for start, length in _NIFTI_TEXTS)
    rows = [struct.unpack_from("<4f", header, 280 + 16 * row) for row in range(3)]
    quaternion = struct.unpack_from("<6f", header, 256)  # of the other affine: rotation and origin
    turned = any(quaternion) or any(
        value for row, values in enumerate(rows) for column, value in enumerate(values) if column != row
    )
    extended = header[348] or len(header) != expected or stream.unused_data
    return "metadata" if flags or time or texts.strip(b"\0") or turned or extended else None
