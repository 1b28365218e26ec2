"""A folder becomes a cohort: rows that can be read and hidden, everything else set aside with one reason."""

from __future__ import annotations

import csv
import gzip
import io
import os
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import itk
import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from fesf.scripts import make_cohort as module
from fesf.scripts.data.cohort import LoadImageCohortd, read_cohort
from fesf.scripts.data.inspection import Finding
from fesf.scripts.data.quarantine import REASONS
from fesf.scripts.make_cohort import main, make_cohort
from fesf.transforms.dicom_reader import quiet
from tests.transforms.dicom_files import SHIPPED, make_dicom, make_series


def pixels(seed: int, shape: tuple[int, ...] = (12, 10)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4096, shape).astype(np.uint16)


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def reasons(folder: Path) -> dict[str, str]:
    return {row["file"]: row["reason"] for row in rows(folder / "quarantine.csv")}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two patients: a series of four slices, and a study of a single slice and three frames."""
    folder = tmp_path / "SCHMIDT export"
    make_series(folder / "one", pixels(0, (4, 12, 10)))
    other = {"PatientID": "MÜLLER-2", "StudyInstanceUID": "1.2.3.2"}
    make_dicom(folder / "two.dcm", pixels(1), SeriesInstanceUID="1.2.3.2.1", **other)
    make_dicom(folder / "frames", pixels(2, (3, 12, 10)), SeriesInstanceUID="1.2.3.2.2", **other)
    return folder


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


BY_PATIENT = "patient,label,sex\nSCHMIDT-1,sick,F\nMÜLLER-2,well,M\nNOBODY,well,M\n"


def test_slices_frames_and_order(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = write(tmp_path / "labels.csv", BY_PATIENT)
    out = tmp_path / "cohort.csv"
    assert main([str(source), "--labels", str(labels), "--out", str(out), "--rows", "slice"]) == 0
    table = rows(out)
    assert list(table[0]) == ["image", "label", "patient", "study", "series", "frame", "sex"]
    first = [row for row in table if row["patient"] == "SCHMIDT-1"]
    assert [Path(row["image"]).name for row in first] == ["IM0004", "IM0003", "IM0002", "IM0001"]  # by position
    assert {(row["label"], row["study"], row["series"], row["frame"], row["sex"]) for row in first} == {
        ("sick", "1.2.3.1", "1.2.3.1.1", "", "F")
    }
    second = [(Path(row["image"]).name, row["frame"]) for row in table if row["patient"] == "MÜLLER-2"]
    assert second == [("two.dcm", ""), ("frames", "0"), ("frames", "1"), ("frames", "2")]
    assert out.stat().st_mode & 0o777 == (tmp_path / "quarantine.csv").stat().st_mode & 0o777 == 0o600
    cohort = read_cohort(out)
    load = LoadImageCohortd("image", (10, 12), intensity_range=(0, 4095))
    for row in cohort.rows:
        assert load(cohort.item(row))["image"].shape == (1, 10, 12)
    frame = next(row for row in cohort.rows if row.frame == 2)
    np.testing.assert_allclose(
        load(cohort.item(frame))["image"][0].numpy().T, pixels(2, (3, 12, 10))[2] / 4095, atol=1e-6
    )
    text = "".join(capsys.readouterr())
    assert "8 rows: 2 patients, 2 studies, 3 series." in text
    assert "1 rows of the labels have no image: 4 (the header is row 1)." in text
    for name in ("SCHMIDT", "LLER", "1.2.3", "IM000", str(tmp_path)):
        assert name not in text


def test_volumes(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "cohort.csv"
    assert main([str(source), "--out", str(out), "--rows", "volume", "--quiet"]) == 3
    assert reasons(tmp_path) == {"two.dcm": "not-a-volume"}
    cohort = read_cohort(out)
    assert [(row.patient, row.frame) for row in cohort.rows] == [("MÜLLER-2", None), ("SCHMIDT-1", None)]
    listed = tmp_path / cohort.rows[1].image
    assert listed.parent.name == "cohort-volumes"
    assert listed.stat().st_mode & 0o777 == 0o600
    load = LoadImageCohortd("image", (10, 12, 4), intensity_range=(0, 4095))
    loaded = load(cohort.item(cohort.rows[1]))["image"]
    expected = pixels(0, (4, 12, 10)).transpose(2, 1, 0)[::-1, ::-1]  # LPS to RAS
    np.testing.assert_allclose(loaded[0].numpy(), expected / 4095, atol=1e-6)
    before = out.read_bytes()
    main([str(source), "--out", str(out), "--rows", "volume", "--quiet"])  # again: the same bytes, lists not walked
    assert out.read_bytes() == before


def test_files_are_rows(source: Path, tmp_path: Path) -> None:
    intake, _ = make_cohort(source, tmp_path / "cohort.csv")
    assert len(intake.rows) == 6
    assert {row["frame"] for row in rows(tmp_path / "cohort.csv")} == {""}


@pytest.mark.parametrize(
    ("table", "labelled"),
    [
        ("file,label\none/IM0001,sick\n./two.dcm,well\n", ["IM0001", "two.dcm"]),
        ("series,label\n1.2.3.2.1,well\n1.2.3.2.2,sick\n", ["two.dcm", "frames"]),
        ("study,label\n1.2.3.1,sick\n", ["IM0004", "IM0003", "IM0002", "IM0001"]),
    ],
)
def test_labels_join_by_the_tables_own_key(source: Path, tmp_path: Path, table: str, labelled: list[str]) -> None:
    labels = write(tmp_path / "labels.csv", table)
    intake, joined = make_cohort(source, tmp_path / "cohort.csv", labels)
    assert joined is not None
    assert joined.unused() == []
    assert sorted(Path(row["image"]).name for row in intake.rows) == sorted(labelled)
    assert set(reasons(tmp_path).values()) == {"no-label"}
    kept, _ = make_cohort(source, tmp_path / "cohort.csv", labels, keep_unlabelled=True)
    assert sum(row["label"] == "" for row in kept.rows) == 6 - len(labelled)


def test_other_formats_and_whose_they_are(tmp_path: Path) -> None:
    folder = tmp_path / "source"
    for name in ("P1", "P2"):
        (folder / name).mkdir(parents=True)
    eight = (pixels(3) // 16).astype(np.uint8)
    Image.fromarray(eight).save(folder / "P1" / "a.png")
    Image.fromarray((pixels(4) // 16).astype(np.uint8)).save(folder / "P1" / "b.JPG")
    Image.fromarray(pixels(5)).save(folder / "P1" / "c.tif")
    nib.save(nib.Nifti1Image(pixels(6, (6, 7, 3)).astype(np.int16), np.eye(4)), folder / "P2" / "d.nii.gz")
    nib.save(nib.Nifti2Image(pixels(7, (6, 7)).astype(np.float32), np.eye(4)), folder / "P2" / "e.nii")
    itk.imwrite(itk.image_from_array(pixels(8, (2, 6, 7))), str(folder / "P2" / "f.mha"), compression=True)
    itk.imwrite(itk.image_from_array(pixels(9)), str(folder / "P2" / "g.nrrd"))
    intake, _ = make_cohort(folder, tmp_path / "cohort.csv", rows="slice", patient_from_folder=True)
    assert intake.asides == []
    got = {(row["patient"], Path(row["image"]).name, row["frame"]) for row in intake.rows}
    assert got == {("P1", "a.png", ""), ("P1", "b.JPG", ""), ("P1", "c.tif", ""), ("P2", "e.nii", "")} | {
        ("P2", "g.nrrd", ""), ("P2", "f.mha", "0"), ("P2", "f.mha", "1")
    } | {("P2", "d.nii.gz", str(frame)) for frame in range(3)}  # fmt: skip
    cohort = read_cohort(tmp_path / "cohort.csv")
    load = LoadImageCohortd("image", (6, 7), intensity_range=(0, 4096))
    assert all(load(cohort.item(row))["image"].shape == (1, 6, 7) for row in cohort.rows)
    labels = write(tmp_path / "labels.csv", "file,label,patient\nP1/a.png,x,Q1\n")
    named, _ = make_cohort(folder, tmp_path / "cohort.csv", labels)
    assert [row["patient"] for row in named.rows] == ["Q1"]
    assert set(reasons(tmp_path).values()) == {"no-patient"}


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, rows_of_zeros: int) -> bytes:
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0))
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(bytes(2 * width + 1)) for _ in range(rows_of_zeros)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + head + png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")


def nifti(path: Path, shape: tuple[int, ...], megabytes: int = 0) -> None:
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape(shape)
    header["vox_offset"] = 352
    header["magic"] = b"n+1"
    with gzip.open(path, "wb", 1) if path.suffix == ".gz" else open(path, "wb") as file:
        file.write(header.binaryblock + bytes(4))
        for _ in range(megabytes):
            file.write(bytes(2**20))


def deflated_bomb(path: Path) -> None:
    """A private element of zeros that a megabyte inflates to."""
    made = make_dicom(path, pixels(0))
    made.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    made.add_new(0x00091001, "OB", bytes(600 * 2**20))
    made.save_as(path, enforce_file_format=True)


def encapsulated_bomb(path: Path, syntax: str, frame: bytes, side: int) -> None:
    """A compressed frame of zeros of some hundred kilobytes."""
    made = make_dicom(path, pixels(0).astype(np.uint8), Rows=side, Columns=side)
    made.file_meta.TransferSyntaxUID = syntax
    made.PixelData = encapsulate([frame])
    made["PixelData"].VR = "OB"
    made["PixelData"].is_undefined_length = True
    made.save_as(path, enforce_file_format=True)


def jpeg2000_bomb(path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("L", (7000, 7000)).save(buffer, format="JPEG2000", no_jp2=True)
    encapsulated_bomb(path, JPEG2000Lossless, buffer.getvalue(), 7000)


def control_character(path: Path) -> None:
    make_dicom(path, pixels(0), StudyInstanceUID="1.2.77")
    path.write_bytes(path.read_bytes().replace(b"1.2.77", b"1.2\x0177"))


def rle_bomb(path: Path) -> None:
    zeros = b"\x81\0" * (10240 * 10240 // 128)  # each pair stands for 128 zeros
    encapsulated_bomb(path, RLELossless, struct.pack("<16I", 1, 64, *[0] * 14) + zeros, 10240)


def shipped(name: str) -> Callable[[Path], object]:
    return lambda path: shutil.copy(SHIPPED / name, path)


def report(path: Path) -> None:
    made = make_dicom(path, pixels(0), SOPClassUID="1.2.840.10008.5.1.4.1.1.104.1")
    del made.PixelData
    made.save_as(path)


def without_pixels(path: Path) -> None:
    made = make_dicom(path, pixels(0))
    del made.PixelData
    made.save_as(path)


def dicomdir(path: Path, *names: str) -> None:
    made = make_dicom(path, pixels(0))
    record = Dataset()
    record.DirectoryRecordType = "IMAGE"
    with quiet():
        record.ReferencedFileID = list(names)
        made.DirectoryRecordSequence = [record]
        made.save_as(path)


def cut(name: str, share: float) -> Callable[[Path], object]:
    content = (SHIPPED / name).read_bytes()
    return lambda path: path.write_bytes(content[: int(len(content) * share)])


def cut_png(path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(pixels(0, (64, 64))).save(buffer, format="PNG")
    path.write_bytes(buffer.getvalue()[:2000])


BAD: dict[str, tuple[str, Callable[[Path], object]]] = {
    "empty.dcm": ("empty", lambda p: p.write_bytes(b"")),
    "notes.txt": ("unknown-format", lambda p: p.write_text("Anna Schmidt")),
    "text.dcm": ("unknown-format", lambda p: p.write_text("Anna Schmidt " * 20)),
    "text.png": ("wrong-suffix", lambda p: p.write_text("Anna Schmidt")),
    "jpeg.png": ("wrong-suffix", lambda p: Image.new("L", (8, 8)).save(p, format="JPEG")),
    "dicom.png": ("wrong-suffix", lambda p: make_dicom(p, pixels(0))),
    "sr.dcm": ("not-an-image", shipped("test-SR.dcm")),
    "pdf.dcm": ("not-an-image", report),
    "bare.dcm": ("no-pixels", without_pixels),
    "short.dcm": ("truncated", shipped("MR_truncated.dcm")),
    "short-header.dcm": ("truncated", cut("CT_small.dcm", 0.008)),
    "short-rle.dcm": ("truncated", cut("MR_small_RLE.dcm", 0.7)),
    "short.png": ("truncated", cut_png),
    "absurd.dcm": ("too-large", lambda p: make_dicom(p, pixels(0), Rows=65535, Columns=65535)),
    "control.dcm": ("bad-header", control_character),
    "zero.dcm": ("bad-header", lambda p: make_dicom(p, pixels(0), Rows=0)),
    "absurd.png": ("too-large", lambda p: p.write_bytes(png(65535, 65535, 1))),
    "absurd.nii": ("too-large", lambda p: nifti(p, (32000, 32000, 2))),
    "short.nii": ("truncated", lambda p: nifti(p, (100, 100, 2))),
    "bomb.png": ("too-large", lambda p: p.write_bytes(png(11000, 11000, 11000))),
    "bomb.nii.gz": ("too-large", lambda p: nifti(p, (11000, 11000, 1), 240)),
    "bomb.dcm": ("too-large", deflated_bomb),
    "bomb-jpeg2000.dcm": ("too-large", jpeg2000_bomb),
    "bomb-rle.dcm": ("too-large", rle_bomb),
    "four.nii": ("too-many-axes", lambda p: nib.save(nib.Nifti1Image(pixels(0, (3, 4, 5, 2)), np.eye(4)), p)),
    "nan.nii": ("not-finite", lambda p: nib.save(nib.Nifti1Image(np.full((4, 4), np.nan, "f4"), np.eye(4)), p)),
    "flat.dcm": ("constant", lambda p: make_dicom(p, pixels(0) * 0 + 7)),
    "detached.mha": ("detached-data", lambda p: p.write_text("ObjectType = Image\nElementDataFile = ../x.raw\n")),
    "detached.nrrd": ("detached-data", lambda p: p.write_text("NRRD0004\ntype: short\ndata file: /etc/passwd\n")),
    "new\nline.dcm": ("bad-name", lambda p: make_dicom(p, pixels(0))),
    os.fsdecode(b"latin-\xfc.dcm"): ("bad-name", lambda p: make_dicom(p, pixels(0))),
    "out.dcm": ("outside-source", lambda p: p.symlink_to(SHIPPED / "CT_small.dcm")),
    "folder-out": ("outside-source", lambda p: p.symlink_to(SHIPPED)),
    "broken.dcm": ("unreadable", lambda p: p.symlink_to(p.with_name("nowhere"))),
    "pipe.dcm": ("not-a-file", lambda p: os.mkfifo(p)),
    "DICOMDIR": ("outside-source", lambda p: dicomdir(p, "..", "..", "SECRET")),
    "DICOMDIR2": ("bad-dicomdir", lambda p: dicomdir(p, "NOT", "THERE")),
    "z-copy.dcm": ("duplicate-instance", lambda p: shutil.copy(p.with_name("good.dcm"), p)),
    "other-uid.dcm": (
        "duplicate-pixels",
        lambda p: make_dicom(p, pixels(99), SOPInstanceUID="1.2.9", StudyInstanceUID="1.2.6", PatientID="Z"),
    ),
    "clash-1.dcm": ("instance-conflict", lambda p: make_dicom(p, pixels(1), SOPInstanceUID="1.2.7")),
    "clash-2.dcm": ("instance-conflict", lambda p: make_dicom(p, pixels(2), SOPInstanceUID="1.2.7")),
    "anonymous.dcm": ("no-patient", lambda p: make_dicom(p, pixels(3), PatientID="")),
    "two-1.dcm": ("study-of-two-patients", lambda p: make_dicom(p, pixels(4), StudyInstanceUID="1.2.5", PatientID="A")),
    "two-2.dcm": ("study-of-two-patients", lambda p: make_dicom(p, pixels(5), StudyInstanceUID="1.2.5", PatientID="B")),
}


def test_bad_files_are_set_aside_with_one_reason_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "Anna Schmidt"
    folder.mkdir()
    make_dicom(folder / "good.dcm", pixels(99), SOPInstanceUID="1.2.8")
    for name, (_, make) in BAD.items():
        make(folder / name)
    out = tmp_path / "cohort.csv"
    assert main([str(folder), "--out", str(out), "--memory", "400"]) == 3
    got = reasons(tmp_path)
    expected = {name.replace("\n", "\\n").replace("\udcfc", "\\udcfc"): reason for name, (reason, _) in BAD.items()}
    assert got == expected
    assert [Path(row["image"]).name for row in rows(out)] == ["good.dcm"]
    text = "".join(capsys.readouterr())
    assert f"{len(BAD)} set aside" in text
    for reason in set(expected.values()):
        assert f"{list(expected.values()).count(reason):7d}  {reason}\n" in text + "\n"
    for word in ("Schmidt", "SCHMIDT", "1.2.", ".dcm", "Traceback", str(tmp_path)):
        assert word not in text
    assert set(expected.values()) < set(REASONS)


SC = "1.2.840.10008.5.1.4.1.1.7"


def test_signs_of_text_are_set_aside_unless_allowed_by_name(tmp_path: Path, capsys) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    make_dicom(folder / "a", pixels(0))
    make_dicom(folder / "b", pixels(1), BurnedInAnnotation="YES")
    make_dicom(folder / "c", pixels(2), SOPClassUID=SC)
    make_dicom(folder / "d", pixels(3), SOPClassUID=SC, BurnedInAnnotation="YES", ConversionType="SD")
    for name in ("examples_palette.dcm", "examples_rgb_color.dcm"):  # ultrasound with and without a declared region
        shutil.copy(SHIPPED / name, folder / name)
    out = ["--out", str(tmp_path / "cohort.csv"), "--patient-from-folder"]
    assert main([str(folder), *out]) == 3
    expected = {"b": "burned-in-text", "c": "secondary-capture", "d": "burned-in-text"}
    expected |= {"examples_rgb_color.dcm": "ultrasound-without-region"}
    assert reasons(tmp_path) == expected
    assert "      2  burned-in-text\n" in capsys.readouterr().out
    assert main([str(folder), *out, "--allow", "burned-in-text, secondary-capture,ultrasound-without-region"]) == 3
    assert reasons(tmp_path) == {"d": "scanned-document"}
    assert main([str(folder), *out, "--allow", "scans"]) == 2
    assert "allow 'scans': choose from burned-in-text, secondary-capture, scanned-document" in capsys.readouterr().err


def test_a_file_that_hangs_or_kills_costs_only_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fesf.scripts.data.inspection import Finding
    from fesf.scripts.data.inspector import Inspector

    make_dicom(tmp_path / "a", pixels(0))
    root = str(tmp_path)
    with Inspector(seconds=30) as inspector:
        assert inspector.inspect(str(tmp_path / "a"), root).reason == ""
        worker = inspector._worker.pid
        os.kill(worker, 9)
        assert inspector.inspect(str(tmp_path / "a"), root) == Finding("decoder-died")
        inspector.seconds = 0.0
        assert inspector.inspect(str(tmp_path / "a"), root) == Finding("too-slow")
        inspector.seconds = 30
        again = inspector.inspect(str(tmp_path / "a"), root)
        assert (again.reason, again.patient) == ("", "SCHMIDT-1")
        assert inspector._worker.pid != worker


def test_series_that_are_no_volumes(tmp_path: Path) -> None:
    folder = tmp_path / "source"
    make_series(folder / "gap", pixels(0, (4, 6, 6)))[1].unlink()
    make_series(folder / "mixed", pixels(1, (3, 6, 6)), SeriesInstanceUID="1.2.3.1.2")
    make_dicom(folder / "mixed" / "scout", pixels(2, (9, 9)), SeriesInstanceUID="1.2.3.1.2")
    make_series(folder / "good", pixels(3, (3, 6, 6)), SeriesInstanceUID="1.2.3.1.3")
    copies = np.concatenate([pixels(4, (1, 6, 6))] * 2 + [np.zeros((1, 6, 6), np.uint16)])
    make_series(folder / "repeated", copies, SeriesInstanceUID="1.2.3.1.4")  # equal and constant slices are fine here
    labels = write(tmp_path / "labels.csv", "file,label\ngood/IM0001,a\ngood/IM0002,b\nrepeated/IM0001,a\n")
    make_cohort(folder, tmp_path / "cohort.csv", labels, rows="volume")
    got = reasons(tmp_path)
    assert {name.split("/")[0]: reason for name, reason in got.items()} == {
        "gap": "irregular-slices", "mixed": "mixed-slices", "good": "label-conflict",
    }  # fmt: skip
    assert len(got) == 3 + 4 + 3
    assert [row["series"] for row in rows(tmp_path / "cohort.csv")] == ["1.2.3.1.4"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("name,label\n", "needs label and one of file, series, study, patient"),
        ("patient,class\n", "needs label and one of"),
        ("patient,label\nA,x\nA,y\n", "Rows 2 and 3 of the labels differ on one patient"),
        ("patient,label\n,x\n", "Row 2 of the labels has no patient"),
        ("patient,label\nA,x,y\n", "Row 2 of the labels has more cells"),
    ],
)
def test_bad_labels_are_refused_by_row(source: Path, tmp_path: Path, capsys, table: str, message: str) -> None:
    labels = write(tmp_path / "labels.csv", table)
    assert main([str(source), "--labels", str(labels), "--out", str(tmp_path / "c.csv")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "c.csv").exists()


def test_refused_places(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none"), "--out", str(tmp_path / "c.csv")]) == 2
    assert main([str(source), "--out", str(tmp_path / "none" / "c.csv")]) == 2
    write(tmp_path / "quarantine.csv", "row,reason\n")
    assert main([str(source), "--out", str(tmp_path / "c.csv")]) == 2
    errors = capsys.readouterr().err
    assert "quarantine.csv of a release" in errors
    assert "SCHMIDT" not in errors
    (tmp_path / "quarantine.csv").unlink()
    (tmp_path / "nothing").mkdir()
    assert main([str(tmp_path / "nothing"), "--out", str(tmp_path / "c.csv")]) == 2
    assert "No image of SOURCE can be used" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([str(source), "--out", str(tmp_path / "c.csv"), "--memory", "1"])


def test_split_by_the_labels_must_keep_patients_together(source: Path, tmp_path: Path) -> None:
    labels = write(tmp_path / "labels.csv", "series,label,split\n1.2.3.2.1,x,test\n1.2.3.2.2,x,training\n")
    with pytest.raises(ValueError, match="one patient in two splits"):
        make_cohort(source, tmp_path / "cohort.csv", labels)
    assert not (tmp_path / "cohort.csv").exists()
    assert not list(tmp_path.glob(".*"))


def test_an_interrupted_run_goes_on(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    opened: list[str] = []

    class Stopping(module.Inspector):
        def inspect(self, path: str, root: str) -> Finding:
            if len(opened) == 4:
                raise KeyboardInterrupt
            opened.append(path)
            return super().inspect(path, root)

    asked = [str(source), "--out", str(tmp_path / "c.csv"), "--quiet"]
    with monkeypatch.context() as patch:
        patch.setattr(module, "Inspector", Stopping)
        assert main(asked) == 130
    message = "Interrupted: the cohort was not written. What was read is kept: run the same command again.\n"
    assert capsys.readouterr().err == message
    assert not (tmp_path / "c.csv").exists()
    left = tmp_path / "c.csv.unfinished"
    assert left.stat().st_mode & 0o777 == 0o600
    first = opened.copy()
    opened.clear()

    class Counting(module.Inspector):
        def inspect(self, path: str, root: str) -> Finding:
            opened.append(path)
            return super().inspect(path, root)

    os.utime(first[0])  # changed since: it is read again
    monkeypatch.setattr(module, "Inspector", Counting)
    assert main(asked) == 0
    assert len(first) == 4
    assert sorted([*first[1:], *opened]) == sorted(str(path) for path in source.rglob("*") if path.is_file())
    assert first[0] in opened
    assert not left.exists()
    resumed = (tmp_path / "c.csv").read_bytes()
    assert main([str(source), "--out", str(tmp_path / "d.csv"), "--quiet"]) == 0
    assert resumed == (tmp_path / "d.csv").read_bytes()


def test_command_line_process(source: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fesf.scripts.make_cohort", str(source), "--out", "c.csv", "--workers", "2"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "6 rows: 2 patients" in done.stdout
    assert "100%" in done.stderr
