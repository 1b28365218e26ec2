"""hide.json --output dicom: the store has the PNG store's pixels, and everybody who reads a store reads it."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from PIL import Image

from fesf.scripts import release, verify_store
from fesf.scripts.data import verify
from fesf.scripts.data.release_entry import manifest_sha256
from fesf.scripts.data.release_log import read_log
from fesf.scripts.data.signature import make_keys
from fesf.scripts.data.store import decode_image
from tests.bundle.test_hide import CONFIG, _keep_excepthook, contents, hide, refused  # noqa: F401
from tests.bundle.tiny import run
from tests.scripts.data.validator import dciodvfy, errors


def hide_twice(folder: Path, **overrides: str) -> tuple[Path, Path]:
    """The store as PNG and in another output."""
    other = {"store_dir": str(folder / "out" / "other"), "hospital_dir": str(folder / "hospital-other")}
    return hide(folder), hide(folder, **other, **overrides)


def test_pixels_ids_and_documents_are_those_of_the_png_store(make_cohort: Callable[..., Path]) -> None:
    folder = make_cohort()
    png, dicom = hide_twice(folder, output="dicom")
    names = sorted(path.stem for path in (png / "images").iterdir())
    assert sorted(path.name for path in (dicom / "images").iterdir()) == [f"{name}.dcm" for name in names]
    for name in names:
        file = pydicom.dcmread(dicom / "images" / f"{name}.dcm")
        np.testing.assert_array_equal(file.pixel_array, np.asarray(Image.open(png / "images" / f"{name}.png")))
        assert (file.PatientID, file.PatientIdentityRemoved, file.BitsStored) == (name, "NO", 8)
    first = dicom / "images" / f"{names[0]}.dcm"
    assert errors(dciodvfy(first)) == []
    manifests = [json.loads((store / "manifest.json").read_text()) for store in (png, dicom)]
    encoding = {"type": "dicom", "bits": 8, "patient_identity_removed": "NO"}
    assert manifests[1]["encoding"] == encoding
    assert json.loads((folder / "hospital-other" / "release.json").read_text())["encoding"] == encoding
    text = (png / "dataset.json").read_text()
    assert (dicom / "dataset.json").read_text() == text.replace(".png", ".dcm")
    assert verify_store.main([str(dicom), "--hospital", str(folder / "hospital-other"),
                              "--secret-file", str(folder / "secret")]) == 0  # fmt: skip
    assert {path.stat().st_mtime for path in dicom.rglob("*")} == {315_532_800}


def test_a_second_run_later_and_for_another_user_gives_the_same_bytes(
    make_cohort: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_cohort()
    first = contents(hide(folder, output="dicom"))
    for name in ("USER", "LOGNAME", "USERNAME"):
        monkeypatch.setenv(name, "schmidt")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.sleep(1.1)
    places = {"store_dir": str(folder / "out" / "again"), "hospital_dir": str(folder / "again")}
    assert contents(hide(folder, output="dicom", **places)) == first
    other = {"store_dir": str(folder / "out" / "r2"), "hospital_dir": str(folder / "r2"), "release_id": "r2"}
    held = [pydicom.dcmread(io.BytesIO(content)) for name, content in first.items() if name.endswith(".dcm")]
    held += [pydicom.dcmread(path) for path in (hide(folder, output="dicom", **other) / "images").iterdir()]
    assert len({file.SOPInstanceUID for file in held} | {file.StudyInstanceUID for file in held}) == 4 * 24


def test_training_evaluation_and_inference_read_it(make_cohort: Callable[..., Path]) -> None:
    folder = make_cohort()
    store = hide(folder, output="dicom", bit_depth=16)
    place = {"dataset_dir": str(store), "ckpt_dir": str(folder / "m"), "output_dir": str(folder / "e")}
    run("train.json", epochs=1, **place)
    run("train.json", "evaluate.json", epochs=1, bootstrap=10, **place)
    assert json.loads((folder / "e" / "metrics.json").read_text())["n_images"] > 0
    run("inference.json", kind="infer", **place)
    predicted = list(csv.DictReader((folder / "e" / "predictions.csv").read_text().splitlines()))
    image = store / "images" / f"{predicted[0]['id']}.dcm"
    run("inference.json", kind="infer", **(place | {"output_dir": str(folder / "one")}), image=str(image))
    one = list(csv.DictReader((folder / "one" / "predictions.csv").read_text().splitlines()))
    assert [line["id"] for line in one] == [predicted[0]["id"]]
    assert float(one[0]["p_no"]) == pytest.approx(float(predicted[0]["p_no"]), abs=1e-5)


def test_the_officer_decides_after_the_audit(
    make_cohort: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_cohort(6)
    store, hospital, new = hide(folder, output="dicom"), folder / "hospital", folder / "out" / "declared"
    make_keys(folder / "key")
    given = [str(store), "--hospital", str(hospital), "--approver", "Dr. Officer", "--to", "Clinic B"]
    given += ["--key-file", str(folder / "key"), "--archive", str(folder / "store.tar")]
    assert release.main([*given, "--without-audit", "tests", "--identity-removed", str(new)]) == 2
    assert "--identity-removed needs an audit" in capsys.readouterr().err
    assert release.main([*given, "--identity-removed", str(new)]) == 2
    assert "has no audit.json" in capsys.readouterr().err
    assert not new.exists()
    audit = {"store": manifest_sha256(store), "limits": {"rank_1": {"at_most": 0.1}}, "results": {"rank_1": 0.0}}
    (hospital / "audit.json").write_text(json.dumps(audit))
    assert release.main([*given, "--identity-removed", str(new)]) == 0
    assert not (store / "manifest.sig").exists()
    assert (new / "manifest.sig").is_file()
    assert verify.verify_store(new) == []
    assert {pydicom.dcmread(path).PatientIdentityRemoved for path in (new / "images").iterdir()} == {"YES"}
    (entry,) = read_log(hospital / "release-log.jsonl").entries
    assert (entry["patient_identity_removed"], entry["approver"]) == ("YES", "Dr. Officer")
    assert (entry["store"], entry["audited_store"]) == (manifest_sha256(new), manifest_sha256(store))
    with tarfile.open(folder / "store.tar") as archive:
        members = archive.getmembers()
        assert [m.name for m in members][3:-2] == sorted(f"store/images/{p.name}" for p in (new / "images").iterdir())
        assert {(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in members} == {(0, 0, "", "", 315_532_800)}
    # The store that says YES is not released by itself; the audited one is, once more and as it is.
    assert release.main([str(new), *given[1:], "--without-audit", "tests"]) == 2
    assert "The store says PatientIdentityRemoved YES: release the audited one" in capsys.readouterr().err
    assert release.main([*given, "--identity-removed", str(new)]) == 0
    image = next((new / "images").iterdir())
    image.write_bytes(image.read_bytes()[:-1] + b"\1")
    assert release.main([*given, "--identity-removed", str(new)]) == 1
    assert "digest-differs" in capsys.readouterr().err
    assert release.main(given) == 0
    decisions = [entry["patient_identity_removed"] for entry in read_log(hospital / "release-log.jsonl").entries]
    assert decisions == ["YES", "YES", "NO"]


def test_output_is_an_option_of_the_command(make_cohort: Callable[..., Path]) -> None:
    folder = make_cohort(6)
    ids = {"cohort": "cohort.csv", "hosts_dir": "hosts", "secret_file": "secret", "output": "dicom"}
    ids |= {"image_size": "[24,24]", "store_dir": "out/store", "hospital_dir": "hospital"}
    command = [sys.executable, "-W", "ignore", "-m", "monai.bundle", "run", "hiding", "--config_file", str(CONFIG)]
    words = [word for name, value in ids.items() for word in (f"--{name}", value)]
    done = subprocess.run([*command, *words], cwd=folder, capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stderr[-500:]
    assert len(list((folder / "out" / "store" / "images").glob("*.dcm"))) == 12


def test_two_dimensions_as_nifti(make_cohort: Callable[..., Path]) -> None:
    png, nifti = hide_twice(make_cohort(6), output="nifti")
    assert verify.verify_store(nifti) == []
    for path in (png / "images").iterdir():
        content = (nifti / "images" / f"{path.stem}.nii.gz").read_bytes()
        np.testing.assert_array_equal(
            decode_image(content, {"type": "nifti", "bits": 8})[0].numpy().T,
            np.asarray(Image.open(path), dtype=np.float32) / np.float32(255),
        )
        assert nib.load(nifti / "images" / f"{path.stem}.nii.gz").shape == (24, 24)


def test_an_output_that_does_not_fit_is_refused(make_cohort: Callable[..., Path]) -> None:
    folder = make_cohort(6)
    assert refused(folder, output="tiff") == "output='tiff': choose png or nifti or dicom."
    message = refused(folder, output="dicom", image_size=[24, 24, 8])
    assert message == "output='dicom' takes two lengths of image_size: write volumes as 'nifti'."
    assert not (folder / "out").exists()
