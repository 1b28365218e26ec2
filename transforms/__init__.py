"""MONAI transforms of the Image Hidden Module: hide a medical image in the low band of a public host."""

from fesf.transforms.array import HideImage, RandHideImage
from fesf.transforms.dictionary import (
    HideImageD,
    HideImaged,
    HideImageDict,
    RandHideImageD,
    RandHideImaged,
    RandHideImageDict,
)
from fesf.transforms.functional import PreparedHost, hide, low_frequency_mask, prepare_host
from fesf.transforms.loading import ToUnitGrey, ToUnitGreyD, ToUnitGreyd, ToUnitGreyDict, load_image, to_unit_grey

__all__ = [
    "HideImage",
    "HideImageD",
    "HideImageDict",
    "HideImaged",
    "PreparedHost",
    "RandHideImage",
    "RandHideImageD",
    "RandHideImageDict",
    "RandHideImaged",
    "ToUnitGrey",
    "ToUnitGreyD",
    "ToUnitGreyDict",
    "ToUnitGreyd",
    "hide",
    "load_image",
    "low_frequency_mask",
    "prepare_host",
    "to_unit_grey",
]
