"""What DICOM's numbers mean, against numbers worked out by hand and pydicom's own functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi, apply_windowing
from pydicom.uid import UID

from fesf.transforms.dicom import (
    DicomError,
    apply_window,
    attribute,
    grey_frame,
    has_window,
    image_affine,
    is_image,
    number,
    padding_mask,
    pixel_spacing,
    slice_position,
    stored_range,
)

RAMP = np.arange(-4, 8).reshape(3, 4)


def header(**values: Any) -> Dataset:
    made = Dataset()
    usual = {
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsStored": 12,
        "BitsAllocated": 16,
        "PixelRepresentation": 0,
    }
    for name, value in (usual | values).items():
        setattr(made, name, value)
    return made


def table(first: int, data: list[int], bits: int) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(data), first, bits])
    item.add_new("LUTData", "US", data)
    return item


def test_stored_range_follows_bits_and_sign() -> None:
    assert stored_range(header()) == (0, 4095)
    assert stored_range(header(PixelRepresentation=1)) == (-2048, 2047)
    assert stored_range(header(BitsStored=16)) == (0, 65535)


def test_rescale_gives_modality_values_and_their_limits() -> None:
    file = header(PixelRepresentation=1, RescaleSlope="2.5", RescaleIntercept="-1024")
    frame = grey_frame(RAMP, file)
    np.testing.assert_allclose(frame.values, RAMP * 2.5 - 1024)
    assert (frame.lowest, frame.highest, frame.padding) == (-2048 * 2.5 - 1024, 2047 * 2.5 - 1024, None)
    np.testing.assert_allclose(frame.values, apply_modality_lut(RAMP, file))
    falling = grey_frame(RAMP, header(PixelRepresentation=1, RescaleSlope=-1, RescaleIntercept=0))
    assert (falling.lowest, falling.highest) == (-2047, 2048)


def test_monochrome1_turns_round_within_what_the_file_can_hold() -> None:
    frame = grey_frame(np.array([[0, 1000, 4095]]), header(PhotometricInterpretation="MONOCHROME1"))
    assert frame.values.tolist() == [[4095, 3095, 0]]
    windowed = header(PhotometricInterpretation="MONOCHROME1", WindowCenter=100.5, WindowWidth=101)
    assert grey_frame(np.array([[50, 100, 150]]), windowed, window=True).values.tolist() == [[1, 0.5, 0]]


def test_modality_table_gives_its_entries() -> None:
    file = header(ModalityLUTSequence=[table(10, [0, 5, 250, 255], 8)])
    frame = grey_frame(np.array([[0, 10, 11, 13, 99]]), file)
    assert frame.values.tolist() == [[0, 0, 5, 255, 255]]
    assert (frame.lowest, frame.highest) == (0, 255)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("center", "width"), [(2.0, 5.0), (-1.5, 1.0), (3, 2.5), (0, 400)])
def test_window_is_pydicoms(function: str, center: float, width: float) -> None:
    file = header(WindowCenter=center, WindowWidth=width, VOILUTFunction=function)
    expected = apply_windowing(RAMP, file) / 4095
    np.testing.assert_allclose(apply_window(RAMP.astype(float), center, width, function), expected, atol=1e-12)
    np.testing.assert_allclose(grey_frame(RAMP, file, window=True).values, expected, atol=1e-12)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT"])
def test_window_is_the_formula_to_the_last_bit_and_leaves_its_input(function: str) -> None:
    values = np.random.default_rng(0).uniform(-2000, 3000, (40, 30))
    given = values.copy()
    middle, length = (39.5, 399.0) if function == "LINEAR" else (40.0, 400.0)
    expected = np.clip((values - middle) / length + 0.5, 0, 1)
    assert np.array_equal(apply_window(values, 40.0, 400.0, function), expected)
    assert np.array_equal(values, given)


def test_window_by_hand() -> None:
    values = np.array([-1000.0, 40 - 0.5, 240, 10])
    np.testing.assert_allclose(apply_window(values, 40, 400), [0, 0.5, 1, 0.5 - 29.5 / 399], atol=1e-12)
    with pytest.raises(DicomError, match="width that DICOM does not allow"):
        apply_window(values, 40, 0.5)
    with pytest.raises(DicomError, match="unknown VOILUTFunction"):
        apply_window(values, 40, 5, "LOG")


def test_voi_table_is_preferred_and_pydicoms() -> None:
    file = header(VOILUTSequence=[table(2, [0, 10, 200, 1023], 10)], WindowCenter=1, WindowWidth=2)
    stored = np.arange(8).reshape(2, 4)
    got = grey_frame(stored, file, window=True).values
    np.testing.assert_allclose(got, apply_voi(stored, file) / 1023)
    assert got[1].tolist() == [200 / 1023, 1, 1, 1]


def test_no_window_is_an_error_where_one_is_asked_for() -> None:
    assert not has_window(header())
    assert has_window(header(WindowCenter=1, WindowWidth=2))
    with pytest.raises(DicomError, match="has no window: choose another intensity_range"):
        grey_frame(RAMP, header(), window=True)


@pytest.mark.parametrize(
    ("values", "stored", "expected"),
    [
        ({"PixelPaddingValue": 5}, [0, 5, 6], [False, True, False]),
        ({"PixelPaddingValue": 5, "PixelPaddingRangeLimit": 6}, [4, 5, 6], [False, True, True]),
        ({"PixelPaddingValue": 6, "PixelPaddingRangeLimit": 5}, [4, 5, 6], [False, True, True]),
        ({"PixelPaddingValue": 63536, "PixelRepresentation": 1, "BitsStored": 16}, [-2000, 0], [True, False]),
        ({"PixelPaddingValue": -2000, "PixelRepresentation": 1}, [-2000, 0], [True, False]),
    ],
)
def test_padding_is_marked(values: dict[str, int], stored: list[int], expected: list[bool]) -> None:
    file = header()
    for name, value in values.items():
        file.add_new(name, "SS" if value < 0 else "US", value)
    mask = padding_mask(np.array([stored]), file)
    assert mask is not None
    assert mask.tolist() == [expected]
    assert padding_mask(np.array([stored]), header()) is None


def test_colour_becomes_luma() -> None:
    colour = np.array([[[255, 51, 102]]], dtype=np.uint8)
    luma = 0.299 * 255 + 0.587 * 51 + 0.114 * 102
    frame = grey_frame(colour, header(PhotometricInterpretation="RGB", BitsStored=8))
    assert frame.values[0, 0] == pytest.approx(luma)
    assert (frame.lowest, frame.highest) == (0, 255)
    shown = grey_frame(colour, header(PhotometricInterpretation="RGB", BitsStored=8), window=True)
    assert shown.values[0, 0] == pytest.approx(luma / 255)


def test_palette_becomes_luma_of_its_entries() -> None:
    file = header(PhotometricInterpretation="PALETTE COLOR", BitsStored=8, BitsAllocated=8)
    for name, data in (("Red", [0, 65535]), ("Green", [256, 0]), ("Blue", [0, 512])):
        setattr(file, f"{name}PaletteColorLookupTableDescriptor", [2, 0, 16])
        setattr(file, f"{name}PaletteColorLookupTableData", np.array(data, "<u2").tobytes())
    frame = grey_frame(np.array([[0, 1]], dtype=np.uint8), file)
    np.testing.assert_allclose(frame.values, [[0.587 * 256, 0.299 * 65535 + 0.114 * 512]])
    assert frame.highest == 65535


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"PhotometricInterpretation": "RGB"}, "PhotometricInterpretation does not fit"),
        ({"RescaleSlope": 0, "RescaleIntercept": 0}, "RescaleSlope is 0"),
        ({"ModalityLUTSequence": [Dataset()]}, "lookup table of the DICOM header cannot be read"),
    ],
)
def test_bad_headers_are_refused_without_their_values(values: dict[str, Any], message: str) -> None:
    with pytest.raises(DicomError, match=message):
        grey_frame(RAMP, header(**values))


def test_functional_groups_come_before_the_top_level() -> None:
    def group(macro: str, **values: Any) -> Dataset:
        inner, outer = Dataset(), Dataset()
        for name, value in values.items():
            setattr(inner, name, value)
        setattr(outer, macro, [inner])
        return outer

    file = header(RescaleSlope=1, RescaleIntercept=0)
    file.SharedFunctionalGroupsSequence = [group("PixelMeasuresSequence", PixelSpacing=[0.5, 0.25])]
    file.PerFrameFunctionalGroupsSequence = [
        group("PixelValueTransformationSequence", RescaleSlope=slope, RescaleIntercept=-slope) for slope in (2, 3)
    ]
    assert [grey_frame(np.array([[4]]), file, index).values.item() for index in (0, 1)] == [6, 9]
    assert pixel_spacing(file, 1) == (0.25, 0.5)  # x first
    assert number(file, "SliceThickness") is None
    assert attribute(file, "PatientName") is None


def test_affine_of_an_oblique_slice() -> None:
    file = header(PixelSpacing=[0.5, 2.0], SliceThickness=3, ImagePositionPatient=[10, 20, 30])
    file.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]  # rows run to posterior, columns to the feet
    normal = np.cross([0, 1, 0], [0, 0, -1])
    lps = np.eye(4)
    lps[:3] = np.stack([np.array([0, 2, 0]), np.array([0, 0, -0.5]), 3 * normal, np.array([10, 20, 30])], axis=1)
    np.testing.assert_allclose(image_affine(file), np.diag([-1, -1, 1, 1]) @ lps)
    assert slice_position(file) == pytest.approx(float(normal @ [10, 20, 30]))
    assert np.array_equal(image_affine(header()), np.eye(4))
    assert slice_position(header()) is None


def test_images_by_class() -> None:
    for name, expected in (
        ("1.2.840.10008.5.1.4.1.1.2", True),  # CT
        ("1.2.840.10008.5.1.4.1.1.1.1", True),  # digital X-ray, for presentation
        ("1.2.840.10008.5.1.4.1.1.88.11", False),  # basic text SR
        ("1.2.840.10008.5.1.4.1.1.11.1", False),  # presentation state
        ("1.2.840.10008.5.1.4.1.1.104.1", False),  # encapsulated PDF
        ("1.2.840.10008.5.1.4.1.1.66.4", False),  # segmentation
        ("1.2.3.4.5", True),
    ):
        assert is_image(header(SOPClassUID=UID(name))) is expected
