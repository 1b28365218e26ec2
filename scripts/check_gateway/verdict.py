"""What the check makes of reports and of bytes: which came to whom, and what is where it must not be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmread

from fesf.scripts.canaries.files import Export
from fesf.scripts.canaries.search import Needles
from fesf.scripts.canaries.verdict import document, needles_of
from fesf.scripts.check_gateway.analyst import predict
from fesf.scripts.check_gateway.studies import Study
from fesf.scripts.data.cohort import LoadImageCohortd
from fesf.scripts.data.store import encode_image
from fesf.scripts.gateway.hospital import load_pipeline

Checks = dict[str, bool]


def judge_reports(
    reports: Sequence[dict[str, Any]], studies: Sequence[Study], work: Path, class_names: Sequence[str]
) -> tuple[Checks, dict[str, Any]]:
    """Compare every report with its study, and with what the pipeline, without the gateway, gives for that image.

    Args:
        reports: simplified tags of the PACS.
        studies: what was sent.
        work: the check's folder.
        class_names: of the predictions.
    """
    by_study = Counter(report["StudyInstanceUID"] for report in reports)
    expected = _expected(studies, work / "hospital", class_names)
    right = probabilities = unverified = 0
    for report in reports:
        if report["StudyInstanceUID"] not in expected:
            continue
        one, values = expected[report["StudyInstanceUID"]]
        patient = report["PatientID"], report["PatientName"], report["AccessionNumber"]
        right += patient == (one.patient_id, one.patient_name, one.accession)
        said = numbers(report)
        probabilities += len(said) == len(values) and bool(np.allclose(said, values, atol=1e-6))
        unverified += report["VerificationFlag"] == "UNVERIFIED"
    number = len(studies)
    objects = (work / "analyst" / "objects").iterdir()
    arrived = Counter(str(dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in objects)
    checks = {
        f"{number} of {number} studies have a report": set(by_study) == set(expected) and len(expected) == number,
        "no study has two": set(by_study.values()) == {1},
        "every report is on the right patient": right == number,
        "every report says what the model says of that image": probabilities == number,
        "every report is unverified": unverified == number,
        "the analyst got one surrogate a study": len(arrived) == number,
    }
    return checks, {
        "studies": number,
        "reports": len(reports),
        "right_patient": right,
        "right_probabilities": probabilities,
        "unverified": unverified,
        "surrogates": len(arrived),
        "surrogates_that_came_again_after_a_kill": sum(arrived.values()) - len(arrived),
    }


def _expected(
    studies: Sequence[Study], hospital: Path, class_names: Sequence[str]
) -> dict[str, tuple[Study, tuple[float, ...]]]:
    """By study: what the stand-in says of the surrogate that the pipeline makes."""
    recipe, _, network = load_pipeline(hospital / "kept", hospital / "release" / "hosts")
    load, found = LoadImageCohortd("image", recipe.spatial_size), {}
    for study in studies:
        surrogate = network(load.prepare(str(study.path)).as_tensor()[None])[0].numpy()
        content = encode_image(surrogate, recipe.encoding, None, "0" * 32)
        found[study.study] = study, predict(content, class_names).probabilities
    return found


def numbers(report: dict[str, Any]) -> list[float]:
    """The numeric values of a report, in its order."""
    found: list[float] = []
    for name, value in report.items():
        if name == "NumericValue":
            found.append(float(value))
        elif isinstance(value, list):
            for item in value:
                found += numbers(item)
    return found


def search(export: Export, one: Study, work: Path) -> tuple[Checks, dict[str, Any]]:
    """Search every byte at the analyst's, in the gateway's log and in its spool, for every marker and every pixel.

    Args:
        export: the studies' markers and pixels.
        one: a study whose name and file are planted, as the control.
        work: the check's folder.
    """
    needles, zone, hospital = Needles(needles_of(export)), work / "analyst", work / "hospital"
    found = {"analyst": document(needles.search(zone))}
    found["log"] = document(needles.search(hospital / "gateway.log"))
    found["spool"] = document(needles.search(hospital / "spool"))
    planted = zone / "planted.dcm"
    planted.write_bytes(b"before" + one.patient_name.encode() + b"after")
    named = document(needles.search(zone))["found"]
    planted.write_bytes(one.path.read_bytes())
    whole = document(needles.search(zone))["found"]
    planted.unlink()
    checks = {
        "nothing of a patient in any byte that reached the analyst": found["analyst"]["found"] == 0,
        "nothing of a patient in the gateway's log": found["log"]["found"] == 0,
        "nothing of a patient in the clear in the spool": found["spool"]["found"] == 0,
        "a planted name is found": named > 0,
        "a planted original is found": whole > named,
    }
    sizes = {"needles": len(needles), "markers": len(export.mint.made)}
    return checks, sizes | {"hits_of_planted": {"name": named, "original": whole}} | found
