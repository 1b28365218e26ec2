"""From a folder of DICOM to a store: make_cohort, then hide.json by window, range and percentiles, in 2D and 3D."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from fesf.scripts.data.cohort import LoadImageCohortd, read_cohort
from fesf.scripts.data.intensity import kept_rule
from fesf.scripts.make_cohort import make_cohort
from tests.bundle.test_hide import hide, reference
from tests.conftest import smooth, write_png
from tests.transforms.dicom_files import make_series

PATIENTS = 8


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight patients with a series of two slices each, labels by patient, three hosts, a secret."""
    with open(tmp_path / "labels.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["patient", "label"])
        for patient in range(PATIENTS):
            volume = np.rint(4000 * smooth(patient, (2, 24, 24))).astype(np.uint16)
            uids = {"StudyInstanceUID": f"1.2.{patient}", "SeriesInstanceUID": f"1.2.{patient}.1"}
            window = {"WindowCenter": 976, "WindowWidth": 2001, "RescaleIntercept": -1024, "RescaleSlope": 1}
            make_series(
                tmp_path / "export" / f"{patient}", volume, PatientID=f"Anna Schmidt {patient}", **uids, **window
            )
            table.writerow([f"Anna Schmidt {patient}", "ab"[patient % 2]])
    (tmp_path / "hosts").mkdir()
    for host in range(3):
        write_png(tmp_path / "hosts" / f"{host}.png", smooth(50 + host))
    (tmp_path / "secret").write_text("a secret for the tests, 32 bytes and more\n")
    (tmp_path / "secret").chmod(0o600)
    return tmp_path


def check_store(folder: Path, expected: dict[str, np.ndarray], host: np.ndarray) -> None:
    """Every surrogate is the plaintext, by its image and frame, hidden in the host by the formula."""
    cohort = read_cohort(folder / "cohort.csv")
    rows = {str(row.row): row for row in cohort.rows}
    linkage = list(csv.DictReader((folder / "hospital" / "linkage.csv").read_text().splitlines()))
    assert len(linkage) == len(expected) == 2 * PATIENTS
    for line in linkage:
        plain = expected[rows[line["row"]].image]
        written = np.asarray(Image.open(folder / "out" / "store" / "images" / f"{line['id']}.png")) / 255
        assert np.abs(written - np.clip(reference(plain, host, 0.1, 0.5), 0, 1)).max() <= 0.5 / 255 + 1e-5


def stored_values(folder: Path) -> dict[str, np.ndarray]:
    """Modality values of each slice by what the cohort calls it."""
    values = {}
    for patient in range(PATIENTS):
        volume = np.rint(4000 * smooth(patient, (2, 24, 24)))
        for index in range(2):
            values[f"export/{patient}/IM{2 - index:04d}"] = volume[index] - 1024
    return values


def test_by_window(folder: Path) -> None:
    make_cohort(folder / "export", folder / "cohort.csv", folder / "labels.csv", rows="slice")
    hide(folder, intensity_range="window", host="1.png")
    release = json.loads((folder / "hospital" / "release.json").read_text())
    assert release["intensity_rule"]["scale"] == "window"
    host = np.asarray(Image.open(folder / "hosts" / "1.png")) / 255
    shown = {name: np.clip((v - 975.5) / 2000 + 0.5, 0, 1) for name, v in stored_values(folder).items()}
    check_store(folder, shown, host)


def test_by_percentiles_kept_for_all_who_read_plaintexts(folder: Path) -> None:
    make_cohort(folder / "export", folder / "cohort.csv", folder / "labels.csv", rows="slice")
    rule = {"percentiles": [1, 99]}
    hide(folder, intensity_range=rule, host="1.png")
    hospital = folder / "hospital"
    splits = {r["patient"]: r["split"] for r in csv.DictReader((hospital / "splits.csv").read_text().splitlines())}
    values = stored_values(folder)
    cohort = read_cohort(folder / "cohort.csv")
    training = [values[row.image] for row in cohort.rows if splits[row.patient] == "training"]
    low, high = np.percentile(np.stack(training), [1, 99])
    scale = json.loads((hospital / "release.json").read_text())["intensity_rule"]["scale"]
    np.testing.assert_allclose(scale["range"], [low, high], rtol=1e-6)
    hosts = [np.asarray(Image.open(folder / "hosts" / f"{n}.png"), dtype=float) for n in range(3)]
    low_host, high_host = np.percentile(np.stack(hosts), [1, 99])
    host = np.clip((hosts[1] - low_host) / (high_host - low_host), 0, 1)
    check_store(folder, {name: np.clip((v - low) / (high - low), 0, 1) for name, v in values.items()}, host)
    load = LoadImageCohortd("image", (24, 24), kept_rule(rule, hospital / "splits.csv"))
    row = cohort.rows[0]
    plain = load(cohort.item(row))["image"][0].numpy().T
    np.testing.assert_allclose(plain, np.clip((values[row.image] - low) / (high - low), 0, 1), atol=1e-6)


def test_volumes_by_list_file(folder: Path) -> None:
    make_cohort(folder / "export", folder / "cohort.csv", folder / "labels.csv", rows="volume")
    (folder / "volumes").mkdir()
    for number in range(2):
        volume = nib.Nifti1Image(
            smooth(80 + number, (24, 24, 8)).astype(np.float32) * 2976 - 1024, np.diag([1, 1, 2, 1.0])
        )
        nib.save(volume, folder / "volumes" / f"{number}.nii.gz")
    store = hide(
        folder, image_size=[24, 24, 8], intensity_range=[-1024, 2976], hosts_dir=str(folder / "volumes"), alpha=0.2
    )
    images = sorted((store / "images").iterdir())
    assert len(images) == PATIENTS
    assert {nib.load(path).shape for path in images} == {(24, 24, 8)}
