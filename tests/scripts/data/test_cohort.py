"""Reading cohort.csv and its images: what is right is read right, what is wrong is named by its row."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import itk
import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from fesf.scripts.data import cohort as module
from fesf.scripts.data.cohort import CohortDataset, CohortError, CohortRow, LoadImageCohortd, read_cohort
from fesf.transforms import load_image
from tests.scripts.test_make_cohort import BAD
from tests.transforms.dicom_files import make_dicom


def table(folder: Path, text: str) -> Path:
    path = folder / "cohort.csv"
    path.write_text(text)
    return path


def test_rows_count_as_a_spreadsheet_shows_them(tmp_path: Path) -> None:
    path = table(tmp_path, "\ufeffimage,label,patient,frame,sex\na.png,10,P1,,F\nb.nii,9,P2,3,M\nc.png,,P2,,M\n")
    read = read_cohort(path)
    assert read.rows[1] == CohortRow(3, "b.nii", "9", "P2", frame=3)
    assert read.class_names == ["9", "10"]
    assert read.item(read.rows[0]) == {
        "image": str(tmp_path / "a.png"), "row": 2, "frame": None, "id": "row-2", "patient": "P1", "label": 1,
    }  # fmt: skip
    assert "label" not in read.item(read.rows[2])
    assert read.labels_of_patients() == {"P1": {"10": 1}, "P2": {"9": 1, "": 1}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,label\n", "header lacks patient"),
        ("image,label,patient\n", "has no rows"),
        ("image,label,patient\na.png,1,P\n,1,P\n", "Row 3 of the cohort has no image"),
        ("image,label,patient\na.png,1,\n", "Row 2 of the cohort has no patient"),
        ("image,label,patient\na.png,1,P,extra\n", "Row 2 of the cohort has more cells than the header"),
        ("image,label,patient\na.png,1,P\na.png,0,P\n", "Rows 2 and 3 of the cohort name the same image"),
        (
            "image,label,patient,split\na.png,1,P,train\n",
            "Row 2 of the cohort has an unknown split: use training, validation, test",
        ),
        (
            "image,label,patient,split\na.png,1,P,test\nb.png,1,P,training\n",
            "Rows 2 and 3 .* one patient in two splits",
        ),
        ("image,label,patient,split\na.png,1,P,test\nb.png,1,Q,\n", "Row 3 of the cohort has no split"),
        (
            'image,label,patient\na.png,1,"An\nna"\n',
            "Row 2 of the cohort has a line break or control character in patient",
        ),
        (
            "image,label,patient\na.png,1,Anna\0\n",
            "Row 2 of the cohort has a line break or control character in patient",
        ),
        (
            "image,label,patient,frame\na.png,1,P,%s\n" % ("9" * 5000),
            "Row 2 of the cohort has a frame that is no number",
        ),
        ("image,label,patient,frame\na.png,1,P,Anna\n", "Row 2 of the cohort has a frame that is no number: use 0"),
    ],
)
def test_bad_tables_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CohortError, match=message) as caught:
        read_cohort(table(tmp_path, text))
    assert "Anna" not in str(caught.value)  # a comma too many puts a patient into any column


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"image,label,patient\na.png,1,M\xfcller\n", "UnicodeDecodeError"),
        (b"image,label,patient\na.png,1," + b"9" * 200_000, "Error"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, content: bytes, kind: str) -> None:
    (tmp_path / "cohort.csv").write_bytes(content)
    with pytest.raises(CohortError, match=rf"The cohort cannot be read \({kind}\): give a CSV file in UTF-8\."):
        read_cohort(tmp_path / "cohort.csv")


@pytest.mark.parametrize("column", ["split", "frame"])
def test_a_name_in_another_column_is_not_quoted(tmp_path: Path, column: str) -> None:
    with pytest.raises(CohortError, match=r"Row 2 of the cohort .*The value is not shown") as caught:
        read_cohort(table(tmp_path, f"image,label,patient,{column}\na.png,1,Schmidt,Anna Schmidt\n"))
    assert "Schmidt" not in str(caught.value)


def test_missing_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match=r"is not a file: pass the path of a cohort.csv"):
        read_cohort(tmp_path / "none.csv")


def test_datalist_follows_the_splits(tmp_path: Path) -> None:
    path = table(tmp_path, "image,label,patient\na.png,x,P\nb.png,y,Q\nc.png,x,P\nd.png,,P\n")
    splits = tmp_path / "splits.csv"
    splits.write_text("patient,split\nP,training\nQ,test\n")
    items = module.load_datalist(path, splits, "training")
    assert [(item["row"], item["label"], item["id"]) for item in items] == [(2, 0, "row-2"), (4, 0, "row-4")]
    assert module.class_names(path) == ["x", "y"]
    with pytest.raises(CohortError, match="'validation' has no labelled image"):
        module.load_datalist(path, splits, "validation")
    with pytest.raises(ValueError, match="Unknown section 'train'"):
        module.load_datalist(path, splits, "train")
    splits.write_text("patient,split\nP,training\n")
    with pytest.raises(CohortError, match="Row 3 of the cohort is of a patient without a split"):
        module.load_datalist(path, splits, "training")


def load(path: Path, size: tuple[int, ...], frame: int | None = None, **options: object) -> MetaTensor:
    return LoadImageCohortd("image", size, **options)({"image": str(path), "row": 7, "frame": frame})["image"]


def test_png_is_scaled_by_its_dtype_and_lies_as_loadimage_has_it(tmp_path: Path) -> None:
    pixels = np.arange(12 * 8, dtype=np.uint8).reshape(12, 8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    image = load(tmp_path / "a.png", (8, 12))
    np.testing.assert_allclose(image[0].numpy(), pixels.T / 255, atol=1e-7)
    assert set(image.meta) == set(MetaTensor(torch.zeros(1)).meta)
    assert image.applied_operations == []


BOMBS = [name for name in BAD if name.startswith("bomb")]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_DATA limits on Linux alone")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # MONAI leaves a broken PNG open
@pytest.mark.parametrize("name", BOMBS)
def test_bombs_that_a_cohort_names_are_refused(tmp_path: Path, name: str) -> None:
    """make_cohort sets them aside; a table that somebody wrote by hand, or a file that changed, brings them here."""
    BAD[name][1](tmp_path / name)
    with pytest.raises(
        CohortError, match=r"Row 7 of the cohort: its image takes more than 200 MiB to read: .*raise rea"
    ):
        load(tmp_path / name, (8, 8), reading_memory=200)
    assert resource.getrlimit(resource.RLIMIT_DATA)[0] == resource.RLIM_INFINITY
    make_dicom(tmp_path / "good", np.arange(64, dtype=np.uint16).reshape(8, 8))
    assert load(tmp_path / "good", (8, 8), reading_memory=200).shape == (1, 8, 8)


def test_a_spacing_of_the_header_is_no_way_round_the_limit(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.arange(16.0).reshape(4, 4) / 16, np.diag([1e6, 1e6, 1.0, 1.0])), tmp_path / "a.nii")
    with pytest.raises(CohortError, match=r"Row 7 of the cohort: its image takes more than 200 MiB"):
        load(tmp_path / "a.nii", (8, 8), reading_memory=200, pixel_spacing=(1.0, 1.0))


def test_16_bit_png_and_intensity_range(tmp_path: Path) -> None:
    pixels = np.array([[0, 1000], [4095, 65535]], np.uint16).repeat(4, 0).repeat(4, 1)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    np.testing.assert_allclose(load(tmp_path / "a.png", (8, 8))[0].numpy(), pixels.T / 65535, atol=1e-7)
    windowed = load(tmp_path / "a.png", (8, 8), intensity_range=(1000, 4095))[0].numpy()
    np.testing.assert_allclose(windowed, np.clip((pixels.T - 1000.0) / 3095, 0, 1), atol=1e-6)


def test_colour_becomes_luma_and_size_is_averaged(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 4), dtype=np.uint8)
    Image.fromarray(pixels, "RGBA").save(tmp_path / "a.png")
    grey = (pixels[..., :3] @ np.array([0.299, 0.587, 0.114]) / 255).T
    means = grey.reshape(8, 2, 8, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(load(tmp_path / "a.png", (8, 8))[0].numpy(), means, atol=1e-6)


def test_volumes_turn_to_canonical_axes(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 200, (8, 9, 10)).astype(np.uint8)
    nib.save(nib.Nifti1Image(values, np.diag([-2.0, 1.0, 3.0, 1.0])), tmp_path / "a.nii.gz")
    image = load(tmp_path / "a.nii.gz", (8, 9, 10))
    np.testing.assert_allclose(image[0].numpy(), values[::-1] / 255, atol=1e-7)
    assert module.spacing(image) == (2.0, 1.0, 3.0)
    frame = load(tmp_path / "a.nii.gz", (8, 9), frame=4)
    np.testing.assert_allclose(frame[0].numpy(), values[..., 4] / 255, atol=1e-7)


def test_itk_formats_are_read(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 4000, (9, 10)).astype(np.uint16)
    itk.imwrite(itk.image_from_array(values), str(tmp_path / "a.mha"))
    image = load(tmp_path / "a.mha", (10, 9), intensity_range=(0, 4095))
    np.testing.assert_allclose(image[0].numpy(), values.T / 4095, atol=1e-6)


def test_dicom_is_read(shared_data: Path) -> None:
    image = load(shared_data / "dicom_pydicom_data" / "MR2_J2KR.dcm", (64, 64), intensity_range=(0, 4095))
    assert image.shape == (1, 64, 64)
    assert 0 < float(image.mean()) < 1


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (lambda p: None, {}, "its image does not exist"),
        (lambda p: p.write_bytes(b"no image"), {}, r"cannot be read \(\w+\)"),
        (lambda p: np.save(p, np.full((8, 8), np.nan, np.float32)), {}, "holds NaN or infinite"),
        (lambda p: np.save(p, np.full((8, 8), 7.5, np.float32)), {}, r"span \[7.5, 7.5\], outside \[0, 1\]"),
        (lambda p: np.save(p, np.zeros((8, 8, 8), np.float32)), {}, r"has 3 axes, image_size \[8, 8\] has 2"),
        (lambda p: np.save(p, np.zeros((8, 8, 3), np.float32)), {"frame": 3}, "frame 3 is not one of"),
    ],
)
def test_bad_images_are_named_by_row_only(tmp_path: Path, make: Callable, options: dict, message: str) -> None:
    path = tmp_path / "Anna-Schmidt.npy"
    make(path)
    with pytest.raises(CohortError, match=f"^Row 7 of the cohort: .*{message}") as caught:
        load(path, (8, 8), **options)
    assert "Schmidt" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("value", "options"), [(np.nan, {}), (np.inf, {}), (-np.inf, {}), (np.nan, {"intensity_range": (0, 1)})]
)
def test_one_pixel_without_a_number_is_enough(tmp_path: Path, value: float, options: dict) -> None:
    values = np.full((8, 8), 0.5, np.float32)
    values[3, 4] = value
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(CohortError, match="holds NaN or infinite"):
        load(tmp_path / "a.npy", (8, 8), **options)


def test_dataset_turns_bad_rows_into_items(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 51, np.uint8)).save(tmp_path / "a.png")
    rows = [CohortRow(2, "a.png", "x", "P"), CohortRow(3, "b.png", "x", "P")]
    data = CohortDataset(rows, LoadImageCohortd("image", (8, 8)), tmp_path)
    good, bad = data[0], data[1]
    assert (good["index"], good["error"], good["spacing"].tolist()) == (0, "", [1.0, 1.0])
    assert float(good["image"].mean()) == pytest.approx(0.2)
    assert bad["error"].startswith("Row 3 of the cohort: its image does not exist")
    assert bad["image"].shape == good["image"].shape


def test_pixel_spacing_resamples_then_crops_or_pads(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 200, (8, 12, 1)).astype(np.uint8)
    nib.save(nib.Nifti1Image(values, np.diag([-2.0, -1.0, 3.0, 1.0])), tmp_path / "a.nii")
    image = load(tmp_path / "a.nii", (8, 8), pixel_spacing=(4.0, 2.0))[0].numpy()  # 4 x 6 pixels
    means = values[..., 0].reshape(4, 2, 6, 2).mean(axis=(1, 3)) / 255
    np.testing.assert_allclose(image[2:6, 1:7], means, atol=1e-6)
    assert image.sum() == pytest.approx(means.sum(), rel=1e-5)  # the rest is 0
    cropped = load(tmp_path / "a.nii", (2, 6), pixel_spacing=(4.0, 2.0))[0].numpy()
    np.testing.assert_allclose(cropped, means[1:3], atol=1e-6)
    Image.fromarray(values[..., 0]).save(tmp_path / "a.png")
    with pytest.raises(CohortError, match="Row 7 of the cohort: its file gives no pixel spacing"):
        load(tmp_path / "a.png", (8, 8), pixel_spacing=(4.0, 2.0))
    for bad in ((1.0,), (0, 1), "ab", 3):
        with pytest.raises(ValueError, match=r"pixel_spacing=.*give 2 positive lengths in mm"):
            LoadImageCohortd("image", (8, 8), pixel_spacing=bad)


class LeftUpper:
    """Finds text in the left upper corner of a picture, 20 columns by 4 rows."""

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        return np.array([[0, 0, 20, 4]])


def test_text_is_covered_at_full_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TextDetector", LeftUpper)
    values = np.random.default_rng(0).integers(100, 200, (40, 60)).astype(np.uint8)
    Image.fromarray(values).save(tmp_path / "a.png")
    values[:6, :22] = 0  # two pixels of margin
    Image.fromarray(values).save(tmp_path / "b.png")
    masked = load(tmp_path / "a.png", (30, 20), mask_text="true")
    assert torch.equal(masked, load(tmp_path / "b.png", (30, 20)))
    assert not torch.equal(masked, load(tmp_path / "a.png", (30, 20)))
    with pytest.raises(ValueError, match="mask_text='maybe': choose true or false"):
        LoadImageCohortd("image", (8, 8), mask_text="maybe")


def test_declared_regions_alone_are_read(tmp_path: Path) -> None:
    stored = np.random.default_rng(0).integers(1, 255, (8, 8)).astype(np.uint8)
    region = Dataset()
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 2, 3
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = 6, 7
    make_dicom(tmp_path / "a", stored, SequenceOfUltrasoundRegions=Sequence([region]))
    expected = np.zeros((8, 8))
    expected[3:8, 2:7] = stored[3:8, 2:7] / 255
    np.testing.assert_allclose(load(tmp_path / "a", (8, 8))[0].numpy().T, expected, atol=1e-6)


def test_text_is_looked_for_beyond_the_regions_that_cut_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    class Recorder:
        def __call__(self, picture: np.ndarray) -> np.ndarray:
            seen.append(picture)
            return np.array([[4, 0, 12, 3]])

    monkeypatch.setattr(module, "TextDetector", Recorder)
    stored = np.random.default_rng(0).integers(1, 255, (16, 16)).astype(np.uint8)
    stored[0, :2] = 0, 255  # the detector's picture is stretched to 0 to 255
    region = Dataset()
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 6, 0
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = 15, 15
    make_dicom(tmp_path / "a", stored, SequenceOfUltrasoundRegions=Sequence([region]))
    masked = load(tmp_path / "a", (16, 16), mask_text=True)[0].numpy().T
    np.testing.assert_array_equal(seen[0], stored)
    expected = stored / 255
    expected[:, :6] = expected[:5, 2:14] = 0
    np.testing.assert_allclose(masked, expected, atol=1e-6)


def test_a_file_is_decoded_twice_only_where_regions_cut_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []

    def counted(*args: Any, **options: Any) -> Any:
        reads.append(options["regions"])
        return load_image(*args, **options)

    monkeypatch.setattr(module, "TextDetector", LeftUpper)
    monkeypatch.setattr(module, "load_image", counted)
    stored = np.random.default_rng(0).integers(1, 255, (16, 16)).astype(np.uint8)
    region = Dataset()
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 6, 0
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = 15, 15
    make_dicom(tmp_path / "with", stored, SequenceOfUltrasoundRegions=Sequence([region]))
    make_dicom(tmp_path / "without", stored)
    Image.fromarray(stored).save(tmp_path / "a.png")
    for name, expected in (("with", [True, False]), ("without", [True]), ("a.png", [True])):
        load(tmp_path / name, (16, 16), mask_text=True)
        assert reads == expected
        reads.clear()


def test_dicom_by_its_window(tmp_path: Path) -> None:
    stored = np.random.default_rng(0).integers(0, 2000, (8, 8)).astype(np.uint16)
    make_dicom(tmp_path / "a", stored, WindowCenter=1000, WindowWidth=501)
    image = load(tmp_path / "a", (8, 8), intensity_range="window")[0].numpy().T
    np.testing.assert_allclose(image, np.clip((stored - 999.5) / 500 + 0.5, 0, 1), atol=1e-6)
    make_dicom(tmp_path / "b", stored)
    with pytest.raises(CohortError, match=r"^Row 7 of the cohort: its DICOM header has no window: choose another"):
        load(tmp_path / "b", (8, 8), intensity_range="window")
    Image.fromarray((stored // 8).astype(np.uint8)).save(tmp_path / "a.png")  # no window: by its dtype
    png = load(tmp_path / "a.png", (8, 8), intensity_range="window")[0].numpy().T
    np.testing.assert_allclose(png, stored // 8 / 255, atol=1e-6)
