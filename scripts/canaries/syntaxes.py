"""Write pixels into a DICOM data set in every transfer syntax that a library at hand encodes."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames

Pixels = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.int16]

NATIVE = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.DeflatedExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
)
BORROWED = {
    uid.JPEGLSLossless: "MR_small_jpeg_ls_lossless.dcm",
    uid.JPEGLSNearLossless: "JPEGLSNearLossless_16.dcm",
    uid.JPEGExtended12Bit: "JPGExtended.dcm",
}
"""Nothing at hand encodes these: their pixels are those of files in pydicom's wheel, and no canaries."""


def describe(header: Dataset, pixels: Pixels, bits: int) -> None:
    """Set what says how pixels (rows, columns) or (frames, rows, columns), of ``bits`` bits, are stored."""
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.Rows, header.Columns = pixels.shape[-2:]
    if pixels.ndim == 3:
        header.NumberOfFrames = pixels.shape[0]
    header.BitsAllocated, header.BitsStored, header.HighBit = 8 * pixels.itemsize, bits, bits - 1
    header.PixelRepresentation = int(pixels.dtype.kind == "i")


def put_native(header: Dataset, pixels: Pixels, syntax: str) -> None:
    """Uncompressed, in the byte order of the transfer syntax."""
    swapped = syntax == uid.ExplicitVRBigEndian
    content = (pixels.byteswap() if swapped else pixels).tobytes()
    header.add_new("PixelData", "OB" if pixels.itemsize == 1 else "OW", content + bytes(len(content) % 2))
    header.file_meta.TransferSyntaxUID = uid.UID(syntax)


def put_compressed(header: Dataset, pixels: Pixels, syntax: str) -> None:
    """RLE and JPEG 2000 by pydicom's plugins."""
    put_native(header, pixels, uid.ExplicitVRLittleEndian)
    lossy = [2.0] if syntax == uid.JPEG2000 else None
    header.compress(syntax, generate_instance_uid=False, j2k_cr=lossy)


def put_jpeg(header: Dataset, pixels: Pixels, syntax: str) -> None:
    """JPEG of 8 bits by Pillow."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "jpeg", quality=95)
    _encapsulate(header, [stream.getvalue()], syntax)
    header.LossyImageCompression = "01"


def put_lossless_jpeg(header: Dataset, pixels: Pixels, syntax: str) -> None:
    """JPEG lossless by ITK (GDCM), whose stream has selection value 1."""
    import itk

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "pixels.dcm")
        writer, codec = itk.ImageFileWriter.New(itk.image_from_array(pixels)), itk.GDCMImageIO.New()
        codec.SetCompressor("JPEG")
        writer.SetImageIO(codec)
        writer.UseCompressionOn()
        writer.SetFileName(path)
        writer.Update()
        made = pydicom.dcmread(path)
    _encapsulate(header, list(generate_frames(made.PixelData, number_of_frames=1)), syntax)


def put_borrowed(header: Dataset, _: Pixels, syntax: str) -> None:
    """Pixels that somebody else encoded."""
    folder = Path(os.path.dirname(pydicom.__file__)) / "data" / "test_files"
    lent = pydicom.dcmread(folder / BORROWED[uid.UID(syntax)])
    for name in ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"):
        setattr(header, name, lent[name].value)
    _encapsulate(header, list(generate_frames(lent.PixelData, number_of_frames=1)), syntax)


def _encapsulate(header: Dataset, frames: list[bytes], syntax: str) -> None:
    header.add_new("PixelData", "OB", encapsulate(frames))
    header["PixelData"].is_undefined_length = True
    header.file_meta.TransferSyntaxUID = uid.UID(syntax)


SYNTAXES: dict[uid.UID, tuple[Callable[[Dataset, Pixels, str], None], int]] = {
    **dict.fromkeys(NATIVE, (put_native, 12)),
    uid.RLELossless: (put_compressed, 12),
    uid.JPEG2000Lossless: (put_compressed, 12),
    uid.JPEG2000: (put_compressed, 12),
    uid.JPEGBaseline8Bit: (put_jpeg, 8),
    uid.JPEGLossless: (put_lossless_jpeg, 12),
    uid.JPEGLosslessSV1: (put_lossless_jpeg, 12),
}
"""Per transfer syntax: what writes it, and the bits of a pixel that it is given."""
