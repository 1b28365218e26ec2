"""Synthetic radiographs: without loss in every syntax, about as compressible as real ones, and nobody's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import UID

from fesf.scripts.data.cohort import LoadImageCohortd, read_cohort
from fesf.scripts.data.keys import load_secret, refuse_demo_secret
from fesf.scripts.data.radiographs import (
    SIDES,
    SYNTAXES,
    draw_radiograph,
    make_link_cohort,
    make_radiographs,
    write_radiograph,
)

UIDS = {
    "jpeg-2000": "1.2.840.10008.1.2.4.90",
    "jpeg-lossless": "1.2.840.10008.1.2.4.70",
    "rle": "1.2.840.10008.1.2.5",
    "uncompressed": "1.2.840.10008.1.2.1",
}


def test_sides_are_those_of_a_days_load() -> None:
    assert all(2000 <= side <= 3000 for pair in SIDES for side in pair)
    assert set(SYNTAXES) == set(UIDS)


def test_a_seed_is_a_person_in_12_bits() -> None:
    film = draw_radiograph(1, (90, 70))
    assert (film.shape, film.dtype) == ((90, 70), np.uint16)
    assert film.max() <= 4095
    assert np.ptp(film) > 2000
    assert np.array_equal(film, draw_radiograph(1, (90, 70)))
    assert abs(np.corrcoef(film.ravel(), draw_radiograph(2, (90, 70)).ravel())[0, 1]) < 0.98


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_every_syntax_keeps_every_pixel(tmp_path: Path, syntax: str) -> None:
    film = draw_radiograph(3, (400, 300))
    write_radiograph(tmp_path / "a.dcm", film, syntax, 7)
    file = pydicom.dcmread(tmp_path / "a.dcm")
    assert file.file_meta.TransferSyntaxUID == UID(UIDS[syntax])
    assert np.array_equal(file.pixel_array, film)
    assert (file.BitsStored, file.WindowCenter, file.WindowWidth) == (12, 2000, 4000)
    assert file.SOPInstanceUID == file.file_meta.MediaStorageSOPInstanceUID == "1.2.3.7.1.1"
    assert "PatientName" not in file
    share = (tmp_path / "a.dcm").stat().st_size / film.nbytes
    assert share == pytest.approx(1, abs=0.01) if syntax == "uncompressed" else 0.3 < share < 0.75


def test_full_size_shrinks_as_real_ones_do(tmp_path: Path) -> None:
    film = draw_radiograph(0, SIDES[0])
    write_radiograph(tmp_path / "a.dcm", film, "jpeg-2000")
    assert (tmp_path / "a.dcm").stat().st_size / film.nbytes == pytest.approx(0.4, abs=0.03)


def test_another_syntax_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^syntax='jpeg-ls': choose jpeg-2000, jpeg-lossless, rle, uncompressed\.$"):
        write_radiograph(tmp_path / "a.dcm", np.zeros((8, 8), np.uint16), "jpeg-ls")


def test_cohort_names_a_few_files_again_and_again(tmp_path: Path) -> None:
    files = make_radiographs(tmp_path / "files", "uncompressed", ((40, 50), (60, 30)))
    assert [pydicom.dcmread(path).pixel_array.shape for path in files] == [(40, 50), (60, 30)]
    table = make_link_cohort(tmp_path / "cohort", files, 7, 32)
    cohort = read_cohort(table)
    assert len(cohort.rows) == 7
    assert [row.patient for row in cohort.rows] == ["P0", "P0", "P0", "P1", "P1", "P1", "P2"]
    for number, row in enumerate(cohort.rows):
        content = (cohort.folder / row.image).read_bytes()
        assert content == files[number % 2].read_bytes()
    loader = LoadImageCohortd("image", (32, 32), "window")
    assert loader(cohort.item(cohort.rows[0]))["image"].shape == (1, 32, 32)
    assert refuse_demo_secret(load_secret(tmp_path / "cohort" / "secret"), table) == "demo"
    assert len(list((tmp_path / "cohort" / "hosts").iterdir())) == 8
