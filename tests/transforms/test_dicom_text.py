"""Signs of text in DICOM headers, the declared regions of ultrasound, and overlays, which are never drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from fesf.transforms import load_image
from fesf.transforms.dicom import DicomError, Frame
from fesf.transforms.dicom_reader import quiet, read_header
from fesf.transforms.dicom_text import MARKS, declared_regions, outside_regions, text_marks
from tests.transforms.dicom_files import SHIPPED, make_dicom

CT, SC, US, MULTI_FRAME_US = (f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("2", "7", "6.1", "3.1"))


def region(*corners: Any) -> Dataset:
    made = Dataset()
    for name, corner in zip(("MinX0", "MinY0", "MaxX1", "MaxY1"), corners, strict=False):
        setattr(made, f"RegionLocation{name}", corner)
    return made


def header(*regions: Dataset, **values: Any) -> Dataset:
    made = Dataset()
    for name, value in ({"SOPClassUID": CT, "Modality": "CT", "Rows": 20, "Columns": 30} | values).items():
        setattr(made, name, value)
    if regions:
        made.SequenceOfUltrasoundRegions = Sequence(regions)
    return made


@pytest.mark.parametrize(
    ("values", "marks"),
    [
        ({}, ()),
        ({"BurnedInAnnotation": "NO"}, ()),
        ({"BurnedInAnnotation": "YES"}, ("burned-in-text",)),
        ({"BurnedInAnnotation": "YES "}, ("burned-in-text",)),
        ({"SOPClassUID": SC}, ("secondary-capture",)),
        ({"SOPClassUID": f"{SC}.4", "Modality": "OT"}, ("secondary-capture",)),
        ({"SOPClassUID": SC, "BurnedInAnnotation": "YES"}, ("burned-in-text", "secondary-capture")),
        ({"SOPClassUID": SC, "ConversionType": "SD"}, ("secondary-capture", "scanned-document")),
        ({"SOPClassUID": SC, "ConversionType": "DI"}, ("secondary-capture",)),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, ("secondary-capture",)),
        ({"ImageType": "SCREEN_SAVE"}, ("secondary-capture",)),
        ({"ImageType": ["DERIVED", "SECONDARY", "MPR"]}, ()),
        ({"ConversionType": "DF"}, ("scanned-document",)),
        ({"ConversionType": "WSD"}, ()),
        ({"Modality": "DOC"}, ("scanned-document",)),
        ({"Modality": "OT"}, ("scanned-document",)),
        ({"SOPClassUID": "1.2.840.10008.5.1.1.29"}, ("scanned-document",)),
        ({"SOPClassUID": US, "Modality": "US"}, ("ultrasound-without-region",)),
        ({"SOPClassUID": MULTI_FRAME_US, "Modality": "IVUS"}, ("ultrasound-without-region",)),
        ({"SOPClassUID": SC, "Modality": "US"}, ("secondary-capture",)),
    ],
)
def test_signs_of_text(values: dict[str, Any], marks: tuple[str, ...]) -> None:
    with quiet():
        assert text_marks(header(**values)) == marks
    assert set(marks) <= set(MARKS)


def test_a_region_inside_the_image_makes_ultrasound_usable() -> None:
    kind = {"SOPClassUID": US, "Modality": "US"}
    assert text_marks(header(region(2, 3, 10, 12), **kind)) == ()
    for beyond in (region(30, 3, 40, 12), region(2, 20, 10, 25), region(9, 9, 3, 3)):
        assert text_marks(header(beyond, **kind)) == ("ultrasound-without-region",)


def test_regions_are_cut_at_the_image() -> None:
    made = header(region(2, 3, 10, 12), region(25, 18, 99, 99), region(40, 0, 50, 9))
    assert declared_regions(made) == [(2, 3, 11, 13), (25, 18, 30, 20)]
    outside = outside_regions(made)
    assert outside is not None
    assert outside.shape == (20, 30)
    assert (~outside).sum() == 9 * 10 + 5 * 2
    assert not outside[3, 2] and not outside[12, 10] and outside[13, 10] and outside[12, 11]  # noqa: PT018
    assert outside_regions(header()) is None


def test_a_region_without_a_corner_is_an_error() -> None:
    with pytest.raises(DicomError, match="a region of the ultrasound image lacks a corner"):
        text_marks(header(region(2, 3, 10), SOPClassUID=US))


def test_only_declared_regions_are_kept(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(1, 256, (2, 20, 30)).astype(np.uint8)
    regions = Sequence([region(2, 3, 10, 12), region(20, 15, 29, 19)])
    make_dicom(tmp_path / "us", pixels, SOPClassUID=MULTI_FRAME_US, SequenceOfUltrasoundRegions=regions)
    kept = np.zeros((20, 30), dtype=bool)
    kept[3:13, 2:11] = kept[15:20, 20:30] = True
    expected = np.where(kept, pixels, 0)
    read = load_image(tmp_path / "us", scale=False, regions=True)[0].numpy()
    np.testing.assert_array_equal(read.transpose(2, 1, 0), expected)
    one = load_image(tmp_path / "us", frame=1, regions=True)[0].numpy()
    np.testing.assert_allclose(one[..., 0].T, expected[1] / 255, atol=1e-6)
    np.testing.assert_array_equal(load_image(tmp_path / "us", scale=False)[0].numpy().transpose(2, 1, 0), pixels)
    holes = load_image(tmp_path / "us", scale=False, regions=True, padding=np.nan)[0].numpy()
    np.testing.assert_array_equal(np.isnan(holes[..., 0].T), ~kept)


def test_regions_join_the_padding_and_fit_the_frame() -> None:
    frame = Frame(np.ones((2, 2)), np.array([[True, False], [False, False]]), 0, 1)
    more = np.array([[False, True], [False, False]])
    joined = frame.with_padding(more).padding
    assert joined is not None
    assert joined.tolist() == [[True, True], [False, False]]
    assert Frame(np.ones((2, 2)), None, 0, 1).with_padding(more).padding is more
    with pytest.raises(DicomError, match="another size than its header says"):
        frame.with_padding(np.ones((3, 2), dtype=bool))


def test_real_ultrasound_keeps_its_regions(shared_data: Path) -> None:
    path = shared_data / "dicom_pydicom_data" / "OBXXXX1A.dcm"
    whole, kept = (load_image(path, scale=False, regions=regions)[0, ..., 0].numpy().T for regions in (False, True))
    assert whole[:60].max() > 60000  # the head of the screen holds the name
    assert kept[:60].max() == kept[:, :120].max() == 0
    np.testing.assert_array_equal(kept[60:519, 120:], whole[60:519, 120:])
    assert text_marks(read_header(path)) == ()


REAL = {
    "CT_small.dcm": (),
    "MR_small.dcm": (),
    "examples_overlay.dcm": (),
    "examples_palette.dcm": (),
    "examples_ybr_color.dcm": (),
    "examples_rgb_color.dcm": ("ultrasound-without-region",),
    "examples_jpeg2k.dcm": ("ultrasound-without-region",),
    "ExplVR_BigEnd.dcm": ("ultrasound-without-region",),
    "GDCMJ2K_TextGBR.dcm": ("secondary-capture",),
    "JPEG2000.dcm": ("secondary-capture",),
    "SC_rgb_rle.dcm": ("secondary-capture",),
    "image_dfl.dcm": ("secondary-capture",),
}


@pytest.mark.parametrize("name", REAL)
def test_signs_in_real_files(name: str) -> None:
    assert text_marks(read_header(SHIPPED / name)) == REAL[name]


def test_overlays_are_not_drawn(tmp_path: Path) -> None:
    path = SHIPPED / "examples_overlay.dcm"
    with quiet():
        file = pydicom.dcmread(path)
        assert file.overlay_array(0x6000).any()
        removed = [tag for tag in file.keys() if 0x6000 <= tag.group <= 0x60FF]  # noqa: SIM118  (keys are tags)
        for tag in removed:
            del file[tag]
        file.save_as(tmp_path / "without")
    np.testing.assert_array_equal(load_image(path).numpy(), load_image(tmp_path / "without").numpy())


def test_overlays_in_unused_bits_are_not_drawn(tmp_path: Path) -> None:
    """Retired: bits above those stored carry the overlay, whose group has no data of its own."""
    pixels = np.random.default_rng(0).integers(0, 4096, (20, 30)).astype(np.uint16)
    stored = pixels.copy()
    stored[5:9, 3:27] |= 0x1000
    bits = {"BitsStored": 12, "HighBit": 11}
    made = make_dicom(tmp_path / "plain", pixels, **bits)
    made.PixelData = stored.tobytes()
    made.add_new(0x60000010, "US", 20)
    made.add_new(0x60000011, "US", 30)
    made.add_new(0x60000100, "US", 16)
    made.add_new(0x60000102, "US", 12)
    made.save_as(tmp_path / "overlaid", enforce_file_format=True)
    read = [load_image(tmp_path / name, scale=False).numpy() for name in ("plain", "overlaid")]
    np.testing.assert_array_equal(read[0], read[1])
    signed = make_dicom(tmp_path / "signed", (pixels.astype(np.int16) - 2048) & 0xFFF, **bits, PixelRepresentation=1)
    assert signed.PixelRepresentation == 1
    np.testing.assert_array_equal(load_image(tmp_path / "signed", scale=False)[0, ..., 0].numpy().T, pixels - 2048.0)
