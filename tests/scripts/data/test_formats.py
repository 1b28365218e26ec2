"""Formats by content and by suffix; that nothing beyond a header is inflated."""

from __future__ import annotations

import gzip
from pathlib import Path

import itk
import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from fesf.scripts.data.formats import HEAD, is_detached, sniff, suffix_fits
from tests.transforms.dicom_files import SHIPPED


def test_formats_are_known_by_content(tmp_path: Path) -> None:
    picture = Image.fromarray(np.zeros((4, 4), np.uint8))
    for form in ("png", "jpeg", "tiff"):
        picture.save(tmp_path / form, format=form)
    for name, kind in (("nifti.nii.gz", nib.Nifti1Image), ("nifti.nii", nib.Nifti2Image)):
        nib.save(kind(np.zeros((2, 2, 2), np.int16), np.eye(4)), tmp_path / name)
    for form in ("mha", "nrrd"):
        itk.imwrite(itk.image_from_array(np.zeros((3, 3), np.uint8)), str(tmp_path / f"{form}.{form}"))
    (tmp_path / "dicom").write_bytes((SHIPPED / "CT_small.dcm").read_bytes())
    assert len(list(tmp_path.iterdir())) == 8
    for path in tmp_path.iterdir():
        head = path.read_bytes()[:HEAD]
        assert sniff(head) == path.name.split(".")[0]
        assert not is_detached(head, sniff(head))
    for other in (b"", b"GIF89a", b"label,patient\n", b"\x1f\x8b" + bytes(30), gzip.compress(b"a text")):
        assert sniff(other) == ""


@pytest.mark.parametrize(
    ("name", "form", "fits"),
    [
        ("a.PNG", "png", True), ("a.jpeg", "jpeg", True), ("a.nii.gz", "nifti", True), ("a.gz", "nifti", False),
        ("a", "png", False), ("a.jpg", "png", False), ("a", "dicom", True), ("1.2.840.5", "dicom", True),
        ("a.dcm", "dicom", True), ("a.nii", "dicom", False), ("a.ima", "dicom", True),
    ],
)  # fmt: skip
def test_suffixes(name: str, form: str, fits: bool) -> None:
    assert suffix_fits(name, form) is fits


@pytest.mark.parametrize(
    ("head", "form", "expected"),
    [
        (b"ObjectType = Image\nElementDataFile = LOCAL\n", "mha", False),
        (b"ObjectType = Image\nElementDataFile =LIST\na.raw\n", "mha", True),
        (b"ObjectType = Image\nElementDataFile = LOCAL.raw\n", "mha", True),
        (b"NRRD0004\nsizes: 2 2\ndatafile: ../a\n", "nrrd", True),
        (b"NRRD0004\nsizes: 2 2\n\n", "nrrd", False),
        (b"ElementDataFile = a", "png", False),
    ],
)
def test_pixels_in_another_file(head: bytes, form: str, expected: bool) -> None:
    assert is_detached(head, form) is expected
