"""The studies: real pixels, every text a marker, one patient each; hosts, release and studies share nobody."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from fesf.scripts.check_gateway.studies import COHORT, HOSTS, SET, choose_pictures, make_studies, write_cohort


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A public set of 40 patients, two images each, of two labels."""
    folder = tmp_path / "shared" / "data" / SET
    folder.mkdir(parents=True)
    rng, rows = np.random.default_rng(0), []
    for number in range(80):
        Image.fromarray(rng.integers(0, 255, (20, 24), np.uint8)).save(folder / f"{number}.png")
        rows.append({"file": f"{number}.png", "label": "ab"[number // 2 % 2], "patient_id": f"p{number // 2}"})
    with open(folder / "labels.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, ["file", "label", "patient_id"])
        writer.writeheader()
        writer.writerows(rows)
    return tmp_path / "shared"


def test_hosts_release_and_studies_share_no_image(shared: Path, tmp_path: Path) -> None:
    pictures = choose_pictures(shared, tmp_path, 20)
    assert (pictures.source, pictures.class_names) == (SET, ("a", "b"))
    assert (len(pictures.hosts), len(pictures.cohort), len(pictures.studies)) == (HOSTS, COHORT, 20)
    patients = [{int(path.stem) // 2 for path in paths} for paths in (pictures.hosts, pictures.studies)]
    assert patients[0].isdisjoint(patients[1])
    assert not {path for path, _ in pictures.cohort} & {*pictures.studies, *pictures.hosts}
    with pytest.raises(ValueError, match="--studies 1000"):
        choose_pictures(shared, tmp_path, 1000)


def test_without_the_set_it_is_the_demo(tmp_path: Path) -> None:
    assert choose_pictures(tmp_path / "none", tmp_path, 3).source == "demo"


def test_a_study_is_its_picture_and_its_markers(shared: Path, tmp_path: Path) -> None:
    pictures = choose_pictures(shared, tmp_path, 4)
    export, studies = make_studies(pictures, tmp_path / "studies", 6)
    assert len({study.study for study in studies}) == len({study.patient_id for study in studies}) == 6
    texts = {marker.text for marker in export.mint.made}
    for number, study in enumerate(studies):
        content = study.path.read_bytes()
        header = pydicom.dcmread(io.BytesIO(content))
        assert np.array_equal(header.pixel_array, np.asarray(Image.open(pictures.studies[number % 4])))
        assert (header.PatientID, header.AccessionNumber) == (study.patient_id, study.accession)
        assert study.patient_id in texts
        assert study.study.rpartition(".")[2] in texts
        for name in ("StudyDate", "PatientBirthDate", "ReferringPhysicianName", "StudyDescription", "StationName"):
            assert str(header[name].value) in texts


def test_the_release_is_of_other_patients(shared: Path, tmp_path: Path) -> None:
    pictures = choose_pictures(shared, tmp_path, 4)
    table = write_cohort(pictures, tmp_path / "release")
    rows = list(csv.DictReader(io.StringIO(table.read_text())))
    assert len(rows) == COHORT
    assert {row["label"] for row in rows} == {"a", "b"}
    assert len(list((tmp_path / "release" / "hosts").iterdir())) == HOSTS
