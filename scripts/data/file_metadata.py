"""What a store's image file may hold besides its pixels: nothing. Checked from the bytes, without decoding pixels."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Sequence
from itertools import pairwise

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_CHUNKS = (b"IHDR", b"IDAT", b"IEND")
NIFTI_HEADER = 352  # bytes of a NIfTI-1 header with an empty extension
_GZIP_START = struct.Struct("<2sBBIBB")
# Bytes of a NIfTI-1 header that may differ from zero, as (start, end): sizeof_hdr; dim; datatype, bitpix; pixdim,
# vox_offset, scl_slope and scl_inter; qform_code, sform_code; srow_x, srow_y, srow_z; magic.
_NIFTI_FIELDS = ((0, 4), (40, 56), (70, 74), (76, 120), (252, 256), (280, 328), (344, 348))
_NIFTI_REST = tuple((end, start) for (_, end), (start, _) in pairwise((*_NIFTI_FIELDS, (NIFTI_HEADER, NIFTI_HEADER))))


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

    "metadata" stands for a name, comment or time in the gzip header, an extension, anything in the NIfTI header but
    size, type, spacing and affine, an affine with an origin or other axes than the array's, and a spacing that is not
    rounded to 0.1 mm.
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
    rest = b"".join(header[start:end] for start, end in _NIFTI_REST)
    extended = len(header) != expected or stream.unused_data
    return "metadata" if flags or time or rest.strip(b"\0") or not _plain_geometry(header) or extended else None


def _plain_geometry(header: bytes) -> bool:
    """Whether the affine is a rounded spacing along the array's axes, and no value is scaled."""
    axes = struct.unpack_from("<h", header, 40)[0]
    spacing, scaling = struct.unpack_from("<8f", header, 76), struct.unpack_from("<3f", header, 108)
    affine = struct.unpack_from("<12f", header, 280)
    plain = [spacing[row + 1] if column == row else 0.0 for row in range(3) for column in range(4)]
    rounded = all(struct.pack("<f", round(size, 1)) == struct.pack("<f", size) and size > 0 for size in spacing[1:4])
    unused = spacing[0] == 1 and set(spacing[axes + 1 :]) <= {1.0}
    return [*affine] == plain and rounded and unused and scaling == (NIFTI_HEADER, 1, 0)
