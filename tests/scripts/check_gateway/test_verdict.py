"""The check's own judgement: a report on the wrong patient, twice, or with other numbers is seen; so is a leak."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fesf.scripts.canaries.files import Export, smooth
from fesf.scripts.check_gateway.analyst import predict
from fesf.scripts.check_gateway.studies import Pictures, Study, make_studies
from fesf.scripts.check_gateway.verdict import judge_reports, numbers, search
from fesf.scripts.data.cohort import LoadImageCohortd
from fesf.scripts.data.store import encode_image
from fesf.scripts.gateway.hospital import load_pipeline
from tests.scripts.gateway.made import CLASSES, SIZE, make_hospital


@dataclass
class Run:
    work: Path
    export: Export
    studies: list[Study]
    reports: list[dict[str, Any]]

    def judge(self, reports: list[dict[str, Any]] | None = None) -> set[str]:
        """Names of the checks that failed."""
        given = self.reports if reports is None else reports
        checks, _ = judge_reports(given, self.studies, self.work, CLASSES)
        return {name for name, passed in checks.items() if not passed}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Two studies that went well."""
    hospital = make_hospital(tmp_path / "hospital").parent
    (hospital / "release").mkdir()
    (hospital / "hosts").rename(hospital / "release" / "hosts")
    paths = []
    for number in range(2):
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(np.rint(smooth(number, (48, 40)) * 255).astype(np.uint8)).save(paths[-1])
    export, studies = make_studies(Pictures("made", [], [], paths, CLASSES), hospital / "studies", 2)
    objects = tmp_path / "analyst" / "objects"
    objects.mkdir(parents=True)
    recipe, _, network = load_pipeline(hospital / "kept", hospital / "release" / "hosts")
    reports = []
    for number, study in enumerate(studies):
        plain = LoadImageCohortd("image", SIZE).prepare(str(study.path)).as_tensor()[None]
        content = encode_image(network(plain)[0].numpy(), recipe.encoding, None, f"{number:032x}")
        (objects / f"{number}.dcm").write_bytes(content)
        said = predict(content, CLASSES).probabilities
        items = [{"MeasuredValueSequence": [{"NumericValue": str(value)}]} for value in said]
        reports.append(
            {
                "StudyInstanceUID": study.study,
                "PatientID": study.patient_id,
                "PatientName": study.patient_name,
                "AccessionNumber": study.accession,
                "VerificationFlag": "UNVERIFIED",
                "ContentSequence": items,
            }
        )
    (hospital / "gateway.log").write_text("listening")
    (hospital / "spool").mkdir()
    return Run(tmp_path, export, studies, reports)


def test_what_went_well_passes(run: Run) -> None:
    assert run.judge() == set()


RIGHT, SAYS = "every report is on the right patient", "every report says what the model says of that image"


def test_each_wrong_is_seen(run: Run) -> None:
    swapped = deepcopy(run.reports)
    for name in ("PatientID", "PatientName", "AccessionNumber"):
        swapped[0][name], swapped[1][name] = swapped[1][name], swapped[0][name]
    assert run.judge(swapped) == {RIGHT}
    swapped = deepcopy(run.reports)
    swapped[0]["ContentSequence"], swapped[1]["ContentSequence"] = (one["ContentSequence"] for one in swapped[::-1])
    assert run.judge(swapped) == {SAYS}
    verified = deepcopy(run.reports)
    verified[0]["VerificationFlag"] = "VERIFIED"
    assert run.judge(verified) == {"every report is unverified"}
    assert "no study has two" in run.judge([*run.reports, run.reports[0]])
    assert "2 of 2 studies have a report" in run.judge(run.reports[:1])
    assert "2 of 2 studies have a report" in run.judge([run.reports[0], run.reports[1] | {"StudyInstanceUID": "1.2"}])
    next((run.work / "analyst" / "objects").iterdir()).unlink()
    assert run.judge() == {"the analyst got one surrogate a study"}


def test_numbers_are_found_at_any_depth() -> None:
    assert numbers({"NumericValue": "1", "A": [{"B": [{"NumericValue": "0.5"}]}, {"NumericValue": "2"}]}) == [1, 0.5, 2]


def test_a_leak_anywhere_is_seen(run: Run) -> None:
    checks, found = search(run.export, run.studies[0], run.work)
    assert all(checks.values())
    assert found["analyst"]["files"] == 2
    places = {
        "analyst/analyst.log": "nothing of a patient in any byte that reached the analyst",
        "analyst/wire.bin": "nothing of a patient in any byte that reached the analyst",
        "hospital/gateway.log": "nothing of a patient in the gateway's log",
        "hospital/spool/state.sqlite": "nothing of a patient in the clear in the spool",
    }
    for place, name in places.items():
        path = run.work / place
        before = path.read_bytes() if path.is_file() else None
        path.write_text(f"took {run.studies[1].accession}")
        checks, _ = search(run.export, run.studies[0], run.work)
        assert {one for one, passed in checks.items() if not passed} == {name}
        path.unlink()
        if before is not None:
            path.write_bytes(before)
