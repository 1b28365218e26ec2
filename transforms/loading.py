"""Reading an image of any format that MONAI's ``LoadImage`` reads, as one grey channel in the unit interval."""

from __future__ import annotations

import os
from functools import lru_cache
from os import PathLike, fspath
from typing import TYPE_CHECKING

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor, PILReader
from monai.transforms import EnsureChannelFirst, LoadImage, MapTransform, Transform
from monai.utils import TransformBackends
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from PIL.Image import Image

__all__ = ["ToUnitGrey", "ToUnitGreyD", "ToUnitGreyDict", "ToUnitGreyd", "load_image", "to_unit_grey"]

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue (ITU-R BT.601), which sum to 1."""


def to_unit_grey(image: np.ndarray | Tensor) -> Tensor:
    """Return an image as one grey channel: integers divided by their dtype's maximum, colour as luma (our choice).

    Args:
        image: ``(C, *spatial)``. Integers are divided by the maximum of *this* dtype, so pass the dtype of the file
            (``LoadImage`` turns uint16 into int32: use :func:`load_image`, which does not); float values stay.
            C = 1 is grey, 2 grey and alpha, 3 colour, 4 colour and alpha; alpha is ignored, colour becomes
            0.299 R + 0.587 G + 0.114 B (ITU-R BT.601).

    Returns:
        Tensor ``(1, *spatial)`` without metadata, float64 for float64 input, else float32.

    Raises:
        ValueError: if there are no spatial axes, or other than 1 to 4 channels, or the dtype is not a number.
    """
    if image.ndim < 3 or not 1 <= image.shape[0] <= 4:
        raise ValueError(
            f"expected an image (C, *spatial) with 1 to 4 channels, got shape {tuple(image.shape)}: "
            "move the channels first and keep grey, grey+alpha, RGB or RGBA."
        )
    tensor = image.as_subclass(Tensor) if isinstance(image, Tensor) else _from_numpy(image)
    if tensor.is_complex():
        raise ValueError(f"expected integers, booleans or floats, got dtype {tensor.dtype}: take one real part first.")
    wide = tensor.dtype == torch.float64
    exact = tensor.is_floating_point() or tensor.dtype == torch.bool
    scale = 1.0 if exact else 1.0 / float(torch.iinfo(tensor.dtype).max)
    tensor = tensor.double()
    channels = tensor[:3] if tensor.shape[0] > 2 else tensor[:1]
    if channels.shape[0] == 3:
        weights = torch.tensor(LUMA, dtype=channels.dtype, device=channels.device)
        channels = torch.tensordot(weights, channels, dims=1)[None]
    return (channels * scale).to(torch.float64 if wide else torch.float32)


def _from_numpy(image: np.ndarray) -> Tensor:
    if image.dtype.kind not in "biufc":
        raise ValueError(f"expected integers, booleans or floats, got dtype {image.dtype}: convert the image first.")
    return torch.from_numpy(np.ascontiguousarray(image, dtype=image.dtype.newbyteorder("=")))


def load_image(
    path: str | PathLike[str],
    scale: bool = True,
    window: bool = False,
    frame: int | None = None,
    padding: float | None = None,
    regions: bool = False,
) -> MetaTensor:
    """Read an image file as one grey channel in the unit interval, in the axis order of MONAI's ``LoadImage``.

    DICOM, which is known by its content, is read by pydicom (see :mod:`fesf.transforms.dicom_reader`; it needs the
    extra ``hospital``). For other files the reader is the one that ``LoadImage`` would choose by suffix; PNG, JPEG and
    BMP come transposed (x first). Palette, CMYK and other such pictures are turned to RGB first. An npy file holds
    spatial axes only.

    Args:
        path: file of any format that ``LoadImage`` reads; or the slices of one DICOM series: a folder of them, or a
            list file ``<name>.series.json`` that ``make_cohort`` wrote.
        scale: divide integers by their dtype's maximum, and map what a DICOM file can hold (by its bits and rescale)
            to [0, 1]; False keeps the file's intensities (DICOM: after rescale).
        window: use the DICOM file's own VOI lookup table or first window, which give [0, 1]; other formats have none
            and are read by ``scale``.
        frame: keep one slice along the last axis (its length is then 1); of a DICOM file only that frame is decoded.
        padding: value of a DICOM file's padding pixels in the result; None for the smallest that the file can hold.
        regions: count as padding what lies outside the regions that a DICOM ultrasound image declares.

    Returns:
        MetaTensor ``(1, *spatial)``, float32. Integers are scaled as asked, floats stay. A DICOM file gives
        ``(1, columns, rows, frames)``. It carries the affine and no other metadata: no path, no header.

    Raises:
        ValueError: if no installed reader takes the file, it has more than four channels, or it is a DICOM file that
            cannot be used.
        IndexError: if it has no such frame.
    """
    from fesf.transforms import dicom_reader as dicom  # which takes the colour rule from here

    name = fspath(path)
    if os.path.isdir(name) or name.endswith(dicom.SERIES_SUFFIX):
        return _pick(dicom.read_series(dicom.series_files(name), scale, window, padding, regions), frame)
    if os.path.isfile(name) and dicom.is_dicom(name):
        return dicom.read_dicom(name, scale, window, frame, padding, regions)
    for reader in reversed(_loader().readers):
        if reader.verify_suffix(name):
            array, meta = reader.get_data(reader.read(name))
            break
    else:
        raise ValueError(
            f"no installed reader of monai.transforms.LoadImage takes {name!r}: convert it, or install itk."
        )
    # Scaled before it becomes a tensor: MONAI turns uint16 into int32, whose maximum would be the wrong divisor.
    factor = 1.0 / float(np.iinfo(array.dtype).max) if (scale or window) and array.dtype.kind in "iu" else 1.0
    values = MetaTensor(torch.from_numpy(np.ascontiguousarray(array, dtype=np.float64) * factor), meta=meta)
    grey = to_unit_grey(EnsureChannelFirst()(values))
    return _pick(MetaTensor(grey.float(), affine=values.affine), frame)


def _pick(image: MetaTensor, frame: int | None) -> MetaTensor:
    if frame is None:
        return image
    if not 0 <= frame < image.shape[-1]:
        raise IndexError(f"it has {image.shape[-1]} slice(s)")
    return MetaTensor(image.as_tensor()[..., frame : frame + 1], affine=image.affine)


@lru_cache(maxsize=1)
def _loader() -> LoadImage:
    loader = LoadImage(dtype=None)
    loader.register(PILReader(converter=_to_plain_mode))  # registered last, so asked first
    return loader


def _to_plain_mode(picture: Image) -> Image:
    """Turn palette, CMYK and other indirect modes into RGB or RGBA; grey, 16-bit and RGB pictures stay."""
    if picture.mode in ("P", "PA"):
        return picture.convert("RGBA" if "transparency" in picture.info or picture.mode == "PA" else "RGB")
    return picture.convert("RGB") if picture.mode in ("CMYK", "YCbCr", "LAB", "HSV") else picture


class ToUnitGrey(Transform):
    """Transform form of :func:`to_unit_grey`: ``(C, *spatial)`` to ``(1, *spatial)``; metadata stays as it is."""

    backend = [TransformBackends.TORCH]  # noqa: RUF012  (MONAI declares it so)

    def __call__(self, image: np.ndarray | Tensor) -> Tensor:
        """Return the grey image; see :func:`to_unit_grey` for shapes, ranges and errors."""
        grey = to_unit_grey(image)
        return MetaTensor(grey, meta=image.meta) if isinstance(image, MetaTensor) else grey


class ToUnitGreyd(MapTransform):
    """Dictionary form of :class:`ToUnitGrey`.

    Args:
        keys: keys of the images.
        allow_missing_keys: do not raise if a key is missing.
    """

    backend = ToUnitGrey.backend

    def __init__(self, keys: KeysCollection, allow_missing_keys: bool = False) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        self.transform = ToUnitGrey()

    def __call__(self, data: Mapping[Hashable, Tensor]) -> dict[Hashable, Tensor]:
        """Return a copy of ``data`` with every keyed image grey and in the unit interval."""
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.transform(d[key])
        return d


ToUnitGreyD = ToUnitGreyDict = ToUnitGreyd
