"""DICOM files, frames and series: against what was written, and against ITK's reader (GDCM) on real files."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import shutil
import struct
import time
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import itk
import numpy as np
import pytest
import torch
from monai.data import ITKReader, MetaTensor

from fesf.scripts.compare_readers import compare, compare_folders, main, table
from fesf.transforms import load_image
from fesf.transforms.dicom import DicomError
from fesf.transforms.dicom_reader import (
    check_volume,
    is_dicom,
    quiet,
    read_dicom,
    read_header,
    read_series,
    series_files,
    sort_slices,
)
from tests.transforms.dicom_files import SHIPPED, make_dicom, make_series

LOSSY = ("JPEG Baseline (Process 1)", "JPEG Extended (Process 2 and 4)")


def volume(slices: int = 4) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 4096, (slices, 5, 6)).astype(np.uint16)


def assert_agrees(folder: Path, least: int) -> set[str]:
    rows = [row for row in compare_folders([folder]) if row.difference is not None]
    assert len(rows) >= least
    for row in rows:
        if row.pixels == "PALETTE COLOR":  # ITK cuts 16-bit entries to 8 bits
            assert row.difference <= 1, row
        elif row.syntax in LOSSY:  # decoders may round the inverse transform and the colours apart
            assert row.difference <= 2, row
        else:
            assert row.share <= 1e-7, row
    return {row.syntax for row in rows}


def test_real_files_as_itk_reads_them(shared_data: Path) -> None:
    syntaxes = assert_agrees(shared_data / "dicom_pydicom_data", 22)
    assert {"RLE Lossless", "JPEG-LS Lossless Image Compression", "Explicit VR Big Endian"} <= syntaxes


def test_pydicoms_files_as_itk_reads_them() -> None:
    syntaxes = assert_agrees(SHIPPED, 70)
    assert {
        "Deflated Explicit VR Little Endian",
        "JPEG Baseline (Process 1)",
        "JPEG 2000 Image Compression",
    } <= syntaxes
    assert {"JPEG-LS Lossy (Near-Lossless) Image Compression", "Implicit VR Little Endian", *LOSSY} <= syntaxes


def test_the_comparison_sees_a_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_dicom(tmp_path / "a", volume(1)[0])
    assert compare(tmp_path / "a").difference == 0
    monkeypatch.setattr("fesf.scripts.compare_readers.load_image", lambda *_, **__: load_image(tmp_path / "a") * 0)
    assert compare(tmp_path / "a").difference == volume(1).max()


def test_command_writes_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    for name in ("MR_small_RLE.dcm", "JPEG-lossy.dcm", "test-SR.dcm", "README.txt"):
        shutil.copy(SHIPPED / name, tmp_path / "in")
    assert main([str(tmp_path / "in"), "--out", str(tmp_path / "table.md")]) == 0
    text = (tmp_path / "table.md").read_text()
    assert re.search(r"Written by `.*compare_readers FOLDER\.\.\. --out FILE` at commit .*pydicom 3.*, itk 5", text)
    assert str(tmp_path) not in text
    assert "| MR_small_RLE.dcm | RLE Lossless | MONOCHROME2 | 16 signed | 1 | 0 | 0 |" in text
    assert "| JPEG-lossy.dcm | JPEG Extended (Process 2 and 4) | MONOCHROME2 | 12 | 1 | - | ours cannot" in text
    assert "test-SR" not in text
    assert "Compared 1 of 2 files; the largest difference is 0 %" in capsys.readouterr().out
    (tmp_path / "empty").mkdir()
    assert main([str(tmp_path / "empty"), "--out", str(tmp_path / "table.md")]) == 2
    assert "no DICOM image" in capsys.readouterr().err
    assert table([]).startswith("| file |")


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small.dcm", "693_J2KI.dcm"])
def test_affine_is_that_of_monais_reader(name: str) -> None:
    reader = ITKReader()
    _, meta = reader.get_data(reader.read(SHIPPED / name))
    ours = read_dicom(SHIPPED / name).affine.numpy()
    theirs = np.asarray(meta["affine"])
    np.testing.assert_allclose(ours[:3, :2], theirs[:3, :2], atol=1e-5)
    np.testing.assert_allclose(ours[:3, 3], theirs[:3, 3], atol=1e-4)


def test_unit_interval_by_bits_not_by_content(tmp_path: Path) -> None:
    stored = np.array([[0, 100], [2000, 4095]], dtype=np.uint16)
    make_dicom(tmp_path / "a", stored, BitsStored=12, HighBit=11, RescaleSlope=2, RescaleIntercept=-1024)
    image = load_image(tmp_path / "a")
    assert image.shape == (1, 2, 2, 1)
    np.testing.assert_allclose(image[0, ..., 0].numpy().T, stored / 4095, atol=1e-7)
    np.testing.assert_allclose(load_image(tmp_path / "a", scale=False)[0, ..., 0].numpy().T, stored * 2.0 - 1024)
    assert type(image) is MetaTensor
    assert set(map(str, image.meta)) == {"affine", "space"}


def test_values_are_rounded_once_from_double_precision(tmp_path: Path) -> None:
    stored = np.random.default_rng(0).integers(0, 4096, (2, 37, 41)).astype(np.uint16)
    scale = {"RescaleSlope": 0.3, "RescaleIntercept": -10.1}
    window = {"WindowCenter": 611.3, "WindowWidth": 1003.7}
    make_dicom(tmp_path / "a", stored, BitsStored=12, HighBit=11, **scale, **window)
    values = stored.astype(np.float64).transpose(2, 1, 0) * 0.3 + -10.1
    shown = np.clip((values - (611.3 - 0.5)) / (1003.7 - 1) + 0.5, 0, 1)
    low, high = 0 * 0.3 + -10.1, 4095 * 0.3 + -10.1
    for options, expected in (
        ({"window": True}, shown),
        ({"scale": False}, values),
        ({}, (values - low) / (high - low)),
    ):
        image = load_image(tmp_path / "a", **options)
        assert np.array_equal(image[0].numpy(), expected.astype(np.float32))
        assert image.is_contiguous()


def test_padding_is_black_or_what_is_asked(tmp_path: Path) -> None:
    stored = np.array([[-2000, 0], [100, 50]], dtype=np.int16)
    make_dicom(tmp_path / "a", stored, PixelPaddingValue=-2000, RescaleIntercept=-24, RescaleSlope=1)
    values = load_image(tmp_path / "a", scale=False)[0, ..., 0].numpy().T
    assert values.tolist() == [[-32768 - 24, -24], [76, 26]]
    assert load_image(tmp_path / "a")[0, 0, 0, 0] == 0
    marked = load_image(tmp_path / "a", scale=False, padding=np.nan)[0, ..., 0].numpy().T
    assert np.isnan(marked).tolist() == [[True, False], [False, False]]


def test_window_of_the_file_alone(tmp_path: Path) -> None:
    make_dicom(tmp_path / "a", volume(1)[0], WindowCenter=2048, WindowWidth=1001)
    shown = load_image(tmp_path / "a", window=True)[0, ..., 0].numpy().T
    np.testing.assert_allclose(shown, np.clip((volume(1)[0] - 2047.5) / 1000 + 0.5, 0, 1), atol=1e-6)
    make_dicom(tmp_path / "b", volume(1)[0])
    with pytest.raises(DicomError, match="has no window"):
        load_image(tmp_path / "b", window=True)


def test_frames_one_by_one_and_all(tmp_path: Path) -> None:
    make_dicom(tmp_path / "a", volume(3))
    np.testing.assert_allclose(load_image(tmp_path / "a", scale=False)[0].numpy(), volume(3).transpose(2, 1, 0))
    one = load_image(tmp_path / "a", scale=False, frame=1)
    assert one.shape == (1, 6, 5, 1)
    np.testing.assert_allclose(one[0, ..., 0].numpy(), volume(3)[1].T)
    for frame in (3, -1):
        with pytest.raises(IndexError, match="3 frame"):
            load_image(tmp_path / "a", frame=frame)


def test_series_is_sorted_by_position(tmp_path: Path) -> None:
    make_series(tmp_path / "s", volume())
    image = load_image(tmp_path / "s", scale=False)  # a folder
    np.testing.assert_allclose(image[0].numpy(), volume().transpose(2, 1, 0))
    expected = np.diag([-0.75, -0.5, 2.0, 1.0])
    expected[:3, 3] = [-1, -2, 0]
    np.testing.assert_allclose(image.affine.numpy(), expected)
    np.testing.assert_allclose(load_image(tmp_path / "s", scale=False, frame=2)[0, ..., 0].numpy(), volume()[2].T)


def test_series_as_itk_reads_it(tmp_path: Path) -> None:
    paths = make_series(tmp_path / "s", volume())
    names = itk.GDCMSeriesFileNames.New(Directory=str(tmp_path / "s")).GetFileNames("1.2.3.1.1")
    assert list(names) == [str(path) for path in paths]
    theirs = itk.array_from_image(itk.imread(list(names)))
    np.testing.assert_allclose(read_series(paths, scale=False)[0].numpy(), theirs.T)


def test_list_file_names_the_slices(tmp_path: Path) -> None:
    paths = make_series(tmp_path / "dicom", volume())
    (tmp_path / "lists").mkdir()
    listed = tmp_path / "lists" / "one.series.json"
    listed.write_text(json.dumps({"files": [f"../dicom/{path.name}" for path in paths[:3]]}))
    assert series_files(listed) == [str(path) for path in paths[:3]]
    np.testing.assert_allclose(load_image(listed, scale=False)[0].numpy(), volume()[:3].transpose(2, 1, 0))
    listed.write_text('{"images": []}')
    with pytest.raises(DicomError, match="list file of a series cannot be read"):
        load_image(listed)
    listed.write_text('{"files": []}')
    with pytest.raises(DicomError, match="has no files"):
        load_image(listed)


def test_instance_number_where_positions_are_missing(tmp_path: Path) -> None:
    paths = make_series(tmp_path / "s", volume(), ImagePositionPatient=None)
    headers = [read_header(path) for path in paths]
    assert sort_slices(headers) == [3, 2, 1, 0]
    assert check_volume(headers) is None


def test_what_is_no_volume(tmp_path: Path) -> None:
    paths = make_series(tmp_path / "s", volume())
    with pytest.raises(DicomError, match="irregular-slices"):
        read_series([paths[0], paths[1], paths[3]])
    make_dicom(tmp_path / "s" / "scout", np.zeros((9, 9), np.uint16))
    with pytest.raises(DicomError, match="mixed-slices"):
        read_series([*paths, tmp_path / "s" / "scout"])
    other = make_series(tmp_path / "o", volume(1), SeriesInstanceUID="1.2.3.9")
    with pytest.raises(DicomError, match="several series"):
        read_series([*paths, *other])
    turned = make_series(tmp_path / "t", volume(1), ImageOrientationPatient=[0, 1, 0, 1, 0, 0])
    assert check_volume([read_header(path) for path in (paths[0], turned[0])]) == "mixed-slices"


def test_series_of_different_slopes_keeps_one_scale(tmp_path: Path) -> None:
    first = make_series(tmp_path / "s", volume(2)[:1], RescaleSlope=1, RescaleIntercept=0)
    place = {"ImagePositionPatient": [1, 2, 2], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "PixelSpacing": [1, 1]}
    make_dicom(tmp_path / "s" / "b", volume(2)[1], RescaleSlope=3, RescaleIntercept=0, **place)
    image = read_series([*first, tmp_path / "s" / "b"])[0].numpy()
    expected = np.stack([volume(2)[0], 3.0 * volume(2)[1]]) / (3 * 65535)
    np.testing.assert_allclose(image, expected.transpose(2, 1, 0), atol=1e-7)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: shutil.copy(SHIPPED / "MR_truncated.dcm", p), r"cannot be decoded \(ValueError\)"),
        (lambda p: shutil.copy(SHIPPED / "badVR.dcm", p), "NumberOfFrames is no number"),
        (lambda p: shutil.copy(SHIPPED / "test-SR.dcm", p), "cannot be decoded"),
        (lambda p: make_dicom(p, volume(2), NumberOfFrames=-1), "NumberOfFrames is no whole number"),
        (lambda p: p.write_bytes(bytes(128) + b"DICM" + b"\xff" * 40), "cannot be"),
    ],
)
def test_bad_files_are_refused_without_their_values(tmp_path: Path, make: Callable, message: str) -> None:
    path = tmp_path / "Anna-Schmidt"
    make(path)
    with pytest.raises(DicomError, match=message) as caught:
        load_image(path)
    assert "Schmidt" not in str(caught.value)


def test_a_decoder_that_panics_is_an_error_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pylibjpeg-rle is written in Rust, whose panics are no Exception: they ended whoever read the file."""

    class PanicException(BaseException):
        pass

    def panic(*_: object, **__: object) -> Iterator[np.ndarray]:
        raise PanicException
        yield

    def stop(*_: object, **__: object) -> Iterator[np.ndarray]:
        raise KeyboardInterrupt
        yield

    make_dicom(tmp_path / "a", volume(2))
    monkeypatch.setattr("pydicom.pixels.iter_pixels", panic)
    with pytest.raises(DicomError, match=r"its pixels cannot be decoded \(PanicException\)"):
        load_image(tmp_path / "a")
    monkeypatch.setattr("pydicom.pixels.iter_pixels", stop)
    with pytest.raises(KeyboardInterrupt):
        load_image(tmp_path / "a")


@pytest.mark.parametrize("tag", [0x00100010, 0x7FE00010])
def test_a_length_beyond_the_end_takes_no_memory(tmp_path: Path, tag: int) -> None:
    made = make_dicom(tmp_path / "a", volume(2)[0])
    if tag == 0x00100010:  # with a length of four bytes
        made.add_new(tag, "UT", "A" * 70_000)
        made.save_as(tmp_path / "a", enforce_file_format=True)
    content = bytearray((tmp_path / "a").read_bytes())
    place = content.index(struct.pack("<HH", tag >> 16, tag & 0xFFFF)) + 8
    content[place : place + 4] = struct.pack("<I", 2**31 - 2)
    (tmp_path / "a").write_bytes(content)
    tracemalloc.start()
    with contextlib.suppress(DicomError):
        load_image(tmp_path / "a")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6


def test_frames_beyond_count_are_not_listed(tmp_path: Path) -> None:
    make_dicom(tmp_path / "a", volume(2), NumberOfFrames=2_000_000_000)
    start = time.process_time()
    with pytest.raises(DicomError, match="cannot be decoded"):
        load_image(tmp_path / "a")
    assert time.process_time() - start < 5


def test_dicom_is_known_by_its_content(tmp_path: Path) -> None:
    assert is_dicom(SHIPPED / "CT_small.dcm")
    assert is_dicom(SHIPPED / "ExplVR_BigEndNoMeta.dcm")
    assert is_dicom(SHIPPED / "ExplVR_LitEndNoMeta.dcm")
    for content in (b"", b"\x89PNG\r\n\x1a\n" + bytes(200), b"a text that is none" * 20, bytes(200)):
        (tmp_path / "a").write_bytes(content)
        assert not is_dicom(tmp_path / "a")


@pytest.mark.parametrize("name", ["MR_small_implicit.dcm", "MR_small.dcm", "MR_small_bigendian.dcm"])
def test_data_sets_without_preamble_are_read(tmp_path: Path, name: str) -> None:
    content = (SHIPPED / name).read_bytes()
    meta = read_header(SHIPPED / name).file_meta
    (tmp_path / "bare").write_bytes(content[144 + meta.FileMetaInformationGroupLength :])
    assert torch.equal(load_image(tmp_path / "bare").as_tensor(), load_image(SHIPPED / name).as_tensor())


def test_warnings_and_logs_stay_silent(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with quiet():
        warnings.warn("Invalid value for VR DA: 'SCHMIDT'", stacklevel=1)
        logging.getLogger("pydicom").warning("SCHMIDT")
    assert "SCHMIDT" not in caplog.text
    assert not logging.getLogger("pydicom").disabled
