"""What the check compares and how it ends; `make deploy` runs it against the real SDK."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from fesf.scripts import check_deploy
from fesf.scripts.check_deploy import DeployCheck, forged, largest_difference, main, other_meta
from fesf.scripts.data.demo_export import EXPORT
from fesf.scripts.deploy.classifier import classify
from fesf.scripts.deploy.results import write_results
from fesf.scripts.deploy.surrogates import SurrogateError, find_surrogates
from fesf.scripts.make_demo import make_demo
from tests.scripts.deploy.conftest import bundle, identity, surrogate, surrogates
from tests.transforms.dicom_files import make_dicom

__all__ = ["bundle", "surrogates"]  # fixtures


@pytest.fixture
def check(tmp_path: Path, surrogates: Path, bundle: Path) -> DeployCheck:
    """A check whose store, bundle and eager predictions are there; the app is its three steps in this process."""

    class InProcess(DeployCheck):
        def _start(self, source: Path, name: str) -> tuple[int, str, Path]:
            out = self.work / "out" / name
            try:
                write_results(classify(self.model, find_surrogates(source)), out)
            except SurrogateError as error:
                return 2, f"loading\nerror: {error}\n", out
            return 0, "Written: ...", out

    (tmp_path / "work").mkdir()
    made = InProcess(tmp_path / "work")
    shutil.copytree(surrogates, made.images)
    made.model = bundle
    eager = made.analyst / "eager"
    eager.mkdir(parents=True)
    (eager / "predictions.csv").write_bytes(classify(bundle, find_surrogates(surrogates)).table())
    return made


def failed(check: DeployCheck) -> list[str]:
    return [name for name, passed in check.checks.items() if not passed]


def test_the_app_is_compared_with_the_eager_predictions(check: DeployCheck) -> None:
    found = check._app()
    assert (failed(check), len(check.checks)) == ([], 4)
    assert found["came_back"]["rows"] == found["came_back"]["objects"] == 6
    assert found["largest_difference"] == 0
    assert found["same_bytes_as_inference"] is True


@pytest.mark.parametrize(
    ("column", "value", "names"),
    [
        ("p_ill", "+2e-6", ["probabilities"]),
        ("decision", "well", ["decisions"]),
        ("id", identity(9), ["a row a surrogate", "probabilities"]),
    ],
)
def test_a_difference_from_the_eager_predictions_is_seen(
    column: str, value: str, names: list[str], check: DeployCheck
) -> None:
    path = check.analyst / "eager" / "predictions.csv"
    rows = list(csv.DictReader(path.read_text().splitlines()))
    row = next(row for row in rows if row["decision"] == "ill")
    row[column] = str(float(row[column]) + float(value)) if value.startswith("+") else value
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(buffer.getvalue())
    check._app()
    assert len(failed(check)) == len(names)
    assert all(any(name.startswith(start) for start in names) for name in failed(check))


def test_what_a_receiver_stored(check: DeployCheck) -> None:
    check._app()
    assert check._received() == {}
    assert failed(check) == []
    stored = pydicom.dcmread(check.work / "received" / "study 0" / "IM0000")
    assert stored.file_meta.ImplementationVersionName == "A RECEIVER"


def test_what_is_no_surrogate_is_refused(check: DeployCheck, tmp_path: Path) -> None:
    check.demo = make_demo(tmp_path / "demo", 4, 32, export=True).parent
    assert (check.demo / EXPORT).is_dir()
    said = check._refused()["refused"]
    assert (failed(check), len(check.checks)) == ([], 2)
    assert "SOP class" in said["a patient's DICOM image"]
    assert "other values" in said["a surrogate with one element changed"]


def test_an_app_that_takes_anything_is_seen(
    check: DeployCheck, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check.demo = make_demo(tmp_path / "demo", 4, 32, export=True).parent
    monkeypatch.setattr(check, "_start", lambda source, name: (0, "Written: ...", check.work / name))
    check._refused()
    assert len(failed(check)) == 2


@pytest.mark.parametrize("works", [False, True])
def test_the_sdks_own_operators(works: bool, check: DeployCheck, monkeypatch: pytest.MonkeyPatch) -> None:
    """As measured; and were they repaired, the check would say so."""
    check._app()

    def python(*words: str) -> tuple[int, str]:
        *_, folder, _, way = words
        if way == "dicom" and not works:
            return 0, 'a line of the SDK\n{"error": "TypeError: no affine"}\n'
        decisions = [check.decisions[item["id"]] for item in find_surrogates(folder)]
        found = [
            {"result": [decision] if works else ["well", "well"], "probabilities": [0.6, 0.4]} for decision in decisions
        ]
        return 0, json.dumps({"found": found})

    monkeypatch.setattr(check, "_python", python)
    stock = check._stock()["stock"]
    assert len(stock["inference"]) == len(stock["ours"]) == 6
    assert set(stock["ours"]) == {"well", "ill"}
    assert len(failed(check)) == (2 if works else 0)


def test_other_meta_changes_nothing_but_what_a_receiver_writes() -> None:
    content = other_meta(surrogate(0), identity(0))
    ours, theirs = pydicom.dcmread(io.BytesIO(surrogate(0))), pydicom.dcmread(io.BytesIO(content))
    assert ours == theirs
    assert ours.file_meta != theirs.file_meta
    assert theirs.preamble == b"II*\0" + bytes(124)


def test_a_forged_image_is_a_patients_still(tmp_path: Path) -> None:
    patient = make_dicom(tmp_path / "patient.dcm", np.zeros((14, 18), np.uint16))
    dataset = pydicom.dcmread(io.BytesIO(forged((tmp_path / "patient.dcm").read_bytes())))
    assert dataset.SOPClassUID == dataset.file_meta.MediaStorageSOPClassUID == "1.2.840.10008.5.1.4.1.1.7"
    assert dataset.pixel_array.tolist() == patient.pixel_array.tolist()
    assert dataset.SOPInstanceUID == patient.SOPInstanceUID


def test_tables_of_other_rows_differ_endlessly() -> None:
    row = {"id": "a", "p_x": "0.25", "p_y": "0.75", "decision": "y"}
    assert largest_difference({"a": row}, {"a": row | {"p_x": "0.5"}}) == 0.25
    assert largest_difference({"a": row}, {"b": row}) == float("inf")
    assert largest_difference({"a": row}, {"a": {"id": "a", "p_x": "0.25", "decision": "x"}}) == float("inf")


def test_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(self: DeployCheck) -> dict[str, Any]:
        self.checks["same"] = self.patients == 12
        return {}

    monkeypatch.setattr(check_deploy.DeployCheck, "run", run)
    assert main(["--out", str(tmp_path), "--patients", "12"]) == 0
    found = json.loads((tmp_path / "deploy.json").read_text())
    assert found["command"] == "python -m fesf.scripts.check_deploy --out docs --patients 12 --epochs 10"
    assert found["checks"] == {"same": True}
    assert set(found["software"]) > {"monai-deploy-app-sdk", "holoscan-cu13", "nvidia-cuda-runtime"}
