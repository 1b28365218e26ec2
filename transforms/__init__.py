"""MONAI transforms of FESF: hide a medical image in the low band of a public host, enhance it, make surrogates."""

from fesf.transforms.array import EnhanceImage, HideImage, RandHideImage, SurrogateImage
from fesf.transforms.dictionary import (
    EnhanceImageD,
    EnhanceImaged,
    EnhanceImageDict,
    HideImageD,
    HideImaged,
    HideImageDict,
    RandHideImageD,
    RandHideImaged,
    RandHideImageDict,
    SurrogateImageD,
    SurrogateImaged,
    SurrogateImageDict,
)
from fesf.transforms.functional import PreparedHost, enhance, hide, low_frequency_mask, prepare_host
from fesf.transforms.loading import ToUnitGrey, ToUnitGreyD, ToUnitGreyd, ToUnitGreyDict, load_image, to_unit_grey
from fesf.transforms.text import MaskText, MaskTextD, MaskTextd, MaskTextDict, TextDetector

__all__ = [
    "EnhanceImage",
    "EnhanceImageD",
    "EnhanceImageDict",
    "EnhanceImaged",
    "HideImage",
    "HideImageD",
    "HideImageDict",
    "HideImaged",
    "MaskText",
    "MaskTextD",
    "MaskTextDict",
    "MaskTextd",
    "PreparedHost",
    "RandHideImage",
    "RandHideImageD",
    "RandHideImageDict",
    "RandHideImaged",
    "SurrogateImage",
    "SurrogateImageD",
    "SurrogateImageDict",
    "SurrogateImaged",
    "TextDetector",
    "ToUnitGrey",
    "ToUnitGreyD",
    "ToUnitGreyDict",
    "ToUnitGreyd",
    "enhance",
    "hide",
    "load_image",
    "low_frequency_mask",
    "prepare_host",
    "to_unit_grey",
]
