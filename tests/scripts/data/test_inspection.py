"""What is found in a file, in this process: the same bad files as in test_make_cohort, and good ones."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import itk
import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from fesf.scripts.data.inspection import Finding, Unusable, inspect, order_series
from tests.scripts.test_make_cohort import BAD, dicomdir, pixels
from tests.transforms.dicom_files import SHIPPED, make_dicom, make_series

LATER = {
    *("bad-name", "constant", "duplicate-instance", "duplicate-pixels", "instance-conflict", "no-patient"),
    *("not-a-file", "study-of-two-patients"),
}
"""Reasons that more than one file, or the walk, decides."""
HERE = {
    name: case for name, case in BAD.items() if case[0] not in LATER and not name.startswith(("bomb", "out", "fold"))
}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # MONAI leaves a broken PNG open
@pytest.mark.parametrize("name", HERE)
def test_bad_files(tmp_path: Path, name: str) -> None:
    reason, make = HERE[name]
    make(tmp_path / name)
    assert inspect(str(tmp_path / name), str(tmp_path)).reason == reason


@pytest.mark.parametrize("name", ["absurd.dcm", "absurd.png", "absurd.nii"])
def test_absurd_sizes_allocate_nothing(tmp_path: Path, name: str) -> None:
    HERE[name][1](tmp_path / name)
    tracemalloc.start()
    inspect(str(tmp_path / name), str(tmp_path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6


def test_a_good_file(tmp_path: Path) -> None:
    stored = pixels(0, (3, 5, 6))
    stored[1] = 9
    make_dicom(tmp_path / "a", stored, SOPInstanceUID="1.2.4")
    found = inspect(str(tmp_path / "a"), str(tmp_path))
    names = (found.patient, found.study, found.series, found.instance)
    assert (found.reason, found.form, found.is_volume) == ("", "dicom", True)
    assert names == ("SCHMIDT-1", "1.2.3.1", "1.2.3.1.1", "1.2.4")
    assert found.constant == (False, True, False)
    make_dicom(tmp_path / "b", stored, SOPInstanceUID="1.2.5", PatientID="other")
    assert inspect(str(tmp_path / "b"), str(tmp_path)).digest == found.digest
    make_dicom(tmp_path / "c", stored.transpose(0, 2, 1), SOPInstanceUID="1.2.6")
    assert inspect(str(tmp_path / "c"), str(tmp_path)).digest != found.digest
    stored[2, 0, 0] += 1
    make_dicom(tmp_path / "d", stored)
    assert inspect(str(tmp_path / "d"), str(tmp_path)).digest != found.digest


def test_volumes_in_one_file(tmp_path: Path) -> None:
    volume = np.random.default_rng(0).normal(size=(4, 5, 3)).astype(np.float32)
    nib.save(nib.Nifti1Image(volume, np.eye(4)), tmp_path / "a.nii.gz")
    itk.imwrite(itk.image_from_array(volume.T.copy()), str(tmp_path / "a.mha"))
    first, second = (inspect(str(tmp_path / name), str(tmp_path)) for name in ("a.nii.gz", "a.mha"))
    assert first.is_volume
    assert first.constant == second.constant == (False, False, False)
    assert first.digest == second.digest
    for name, values in (("flat.png", np.full((4, 4), 7, np.uint8)), ("ramp.png", np.arange(16, dtype=np.uint8))):
        Image.fromarray(values.reshape(4, 4)).save(tmp_path / name)
        found = inspect(str(tmp_path / name), str(tmp_path))
        assert (found.is_volume, found.constant) == (False, (name == "flat.png",))


def test_dicomdirs(tmp_path: Path) -> None:
    make_dicom(tmp_path / "IMAGE", pixels(0))
    dicomdir(tmp_path / "DICOMDIR", "IMAGE")
    assert inspect(str(tmp_path / "DICOMDIR"), str(tmp_path)) == Finding("", "dicomdir")
    for folder in ("DICOMDIR", "dicomdirtests/DICOMDIR"):
        found = inspect(str(SHIPPED / "dicomdirtests" / Path(folder).name), str(SHIPPED))
        assert found.form == "dicomdir"
    (tmp_path / "link").symlink_to(SHIPPED)
    dicomdir(tmp_path / "DICOMDIR", "LINK")
    (tmp_path / "LINK").symlink_to(SHIPPED / "CT_small.dcm")
    assert inspect(str(tmp_path / "DICOMDIR"), str(tmp_path)).reason == "outside-source"


def test_order_of_a_series(tmp_path: Path) -> None:
    paths = [str(path) for path in make_series(tmp_path, np.zeros((3, 4, 4), np.uint16))]
    assert order_series([paths[2], paths[0], paths[1]]) == ([1, 2, 0], "")
    assert order_series([paths[0], paths[2], paths[2]])[1] == "irregular-slices"
    make_dicom(tmp_path / "bad", pixels(0), ImagePositionPatient=[1, 2], ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    assert order_series([paths[0], str(tmp_path / "bad")]) == ([0, 1], "bad-header")


def test_reasons_end_an_inspection() -> None:
    assert Unusable("empty").reason == "empty"
