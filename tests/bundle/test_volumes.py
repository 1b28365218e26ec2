"""The whole pipeline in 3D on real brain MRI: hide, enhance, hide again, train, evaluate. A smoke test, no result."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from fesf.scripts.data.store import load_datalist

from .tiny import run

SIZE = [24, 24, 12]
CPU = "$torch.device('cpu')"


@pytest.fixture(scope="module")
def folder(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two time points of five patients as a cohort; noisy scans of two of them with axes exchanged as hosts."""
    source = shared_data / "mri3d_brain_tumor_progression"
    place = tmp_path_factory.mktemp("volumes")
    rows = []
    for patient in sorted(path.name for path in source.iterdir() if path.is_dir()):
        for label in ("Pre", "Post"):
            image = os.path.abspath(source / patient / f"{label}_Scan_T1.nii.gz")
            split = {"04": "validation", "05": "test"}.get(patient, "training")
            rows.append({"image": image, "label": label, "patient": patient, "split": split})
    with open(place / "cohort.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, ["image", "label", "patient", "split"])
        writer.writeheader()
        writer.writerows(rows)
    (place / "hosts").mkdir()
    rng = np.random.default_rng(0)
    for number in range(8):
        scan = np.asarray(nib.load(rows[number % 4]["image"]).dataobj, dtype=float).swapaxes(0, 1)[:: (-1) ** number]
        scan = scan * rng.uniform(0.5, 1.0) + rng.normal(0, 0.1 * scan.std(), scan.shape)
        nib.save(nib.Nifti1Image(scan.clip(0).astype(np.float32), np.eye(4)), place / "hosts" / f"{number}.nii.gz")
    (place / "secret").write_text("0123456789abcdef" * 4)
    (place / "secret").chmod(0o600)
    return place


def test_hide_enhance_hide_train_and_evaluate(folder: Path) -> None:
    with open(folder / "cohort.csv", newline="") as file:
        top = max(float(np.asarray(nib.load(line["image"]).dataobj).max()) for line in csv.DictReader(file))
    images = {"cohort": str(folder / "cohort.csv"), "hosts_dir": str(folder / "hosts"), "image_size": SIZE}
    images |= {"intensity_range": [0.0, top], "hospital_dir": str(folder / "hospital"), "device": CPU}
    training = {"epochs": 2, "iterations": 10, "batch_size": 2, "averaging": 0.2, "learning_rate": 0.003}
    training["content_weight"] = 2.0  # with 20, so short a training ends in images that hide refuses
    run("enhance.json", **images, **training)
    kept = json.loads((folder / "hospital" / "iqem" / "distance.json").read_text())
    assert kept["val_step"] > 1e-3

    generator = str(folder / "hospital" / "iqem" / "generator.pt")
    hidden = {"secret_file": str(folder / "secret"), "store_dir": str(folder / "store"), "generator_file": generator}
    run("hide.json", kind="infer", **images, **hidden)
    release = json.loads((folder / "hospital" / "release.json").read_text())
    assert (release["stage"], release["images"]) == ("surrogate", 10)
    assert release["phase_check"]["lowest_coherence"] > 0.7
    items = load_datalist(folder / "store", "training")
    assert len(items) == 6
    assert nib.load(items[0]["image"]).shape == tuple(SIZE)

    place = {"dataset_dir": str(folder / "store"), "ckpt_dir": str(folder / "models"), "spatial_dims": 3}
    place |= {"output_dir": str(folder / "eval"), "batch_size": 2}
    run("train.json", "networks/resnet18.json", **place)
    run("train.json", "evaluate.json", "networks/resnet18.json", bootstrap=10, **place)
    metrics = json.loads((folder / "eval" / "metrics.json").read_text())
    assert metrics["n_images"] == 2
