"""The soak's sources: sound, with markers, the same ones each time."""

from __future__ import annotations

import gzip
import io
import json
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from PIL import Image

from fesf.scripts.data.cohort import read_cohort
from fesf.scripts.data.verify import verify_store
from fesf.scripts.soak.sources import COHORT_IMAGES, LARGEST, MARKER, Source, collect, made_store, picture
from fesf.transforms.dicom_reader import quiet


@pytest.fixture(scope="module")
def sources() -> dict[str, Source]:
    return collect()


def test_there_are_many_and_they_are_the_same_each_time(sources: dict[str, Source]) -> None:
    assert {name: source.digest for name, source in collect().items()} == {n: s.digest for n, s in sources.items()}
    kinds = [source.kind for source in sources.values()]
    assert {kind: kinds.count(kind) > least for kind, least in (("dicom", 80), ("nifti", 4), ("png", 5))} == {
        "dicom": True, "nifti": True, "png": True,
    }  # fmt: skip
    assert {"cohort", "manifest", "dataset"} < set(kinds)
    assert all(len(source.content) < 2 * LARGEST for source in sources.values())


def test_markers_are_planted(sources: dict[str, Source]) -> None:
    planted = 0
    for source in sources.values():
        content = gzip.decompress(source.content) if source.suffix == ".nii.gz" else source.content
        planted += MARKER.encode() in content
        if source.kind == "png":
            assert MARKER in Image.open(io.BytesIO(content)).text
    assert planted >= len(sources) - 10  # odd files of pydicom's are left as they are
    with quiet():
        header = pydicom.dcmread(io.BytesIO(sources["pydicom/CT_small.dcm"].content))
        assert (str(header.PatientName), header.PatientID, header[0x00080020].value) == (MARKER, MARKER, MARKER)
    np.testing.assert_array_equal(header.pixel_array, pydicom.dcmread(_shipped() / "CT_small.dcm").pixel_array)
    assert nib.Nifti1Image.from_bytes(sources["made/2d.nii"].content).header["descrip"] == MARKER.encode()


def _shipped() -> Path:
    return Path(os.path.dirname(pydicom.__file__)) / "data" / "test_files"


def test_a_folder_of_real_files(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.png").write_bytes(picture(3))
    (tmp_path / "set" / "large.png").write_bytes(picture(3) + bytes(LARGEST))
    (tmp_path / "set" / "notes.txt").write_text("none")
    with gzip.open(tmp_path / "set" / "scan.v2.nii.gz", "wb") as file:
        file.write(nib.Nifti1Image(np.ones((2, 2, 2), np.float32), np.eye(4)).to_bytes())
    with open(tmp_path / "set" / "other.nii", "wb") as second:
        second.write(nib.Nifti2Image(np.ones((2, 2, 2), np.float32), np.eye(4)).to_bytes())
    found = {name: source for name, source in collect(tmp_path).items() if name.startswith("shared/")}
    assert {name: source.suffix for name, source in found.items()} == {
        "shared/set/a.png": ".png", "shared/set/other.nii": ".nii", "shared/set/scan.v2.nii.gz": ".nii.gz",
    }  # fmt: skip
    assert nib.Nifti1Image.from_bytes(gzip.decompress(found["shared/set/scan.v2.nii.gz"].content)).shape == (2, 2, 2)


def test_made_documents_are_sound(sources: dict[str, Source], tmp_path: Path) -> None:
    for name in ("cohort.csv", "short.csv", "crlf.csv"):
        (tmp_path / name).write_bytes(sources[f"made/{name}"].content)
        assert [row.image for row in read_cohort(tmp_path / name).rows] == list(COHORT_IMAGES)
    for encoding in ("png", "nifti"):
        for name, content in made_store(encoding).items():
            (tmp_path / encoding / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / encoding / name).write_bytes(content)
        for path in [*(tmp_path / encoding).rglob("*"), tmp_path / encoding]:
            os.utime(path, (0, 0))
        assert verify_store(tmp_path / encoding) == []
        assert json.loads(sources[f"made/{encoding}/manifest.json"].content)["encoding"]["type"] == encoding
