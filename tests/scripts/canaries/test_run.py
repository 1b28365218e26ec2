"""The course of all stages, with zones that only pretend: order, zones, what comes back, what each failure is given."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import pytest

from fesf.scripts.canaries import run as canary_run
from fesf.scripts.canaries.failures import KILLED
from fesf.scripts.canaries.run import Course, StageError

ID = "a" * 32


class Pretended:
    """A zone that leaves what the next stage reads, and ends as the stage should."""

    wrong: dict[str, int] = {}  # noqa: RUF012  (a test sets it)
    calls: list[tuple[str, tuple[str, ...], str]] = []  # noqa: RUF012

    def __init__(self, folder: Path, logs: Path, *_: Any) -> None:
        self.root = folder.parent

    def run(self, name: str, *command: object, fault: str = "") -> int:
        words = tuple(map(str, command))
        self.calls.append((name, words, fault))
        if name == "make_cohort":
            (self.root / "cohort.csv").write_text(
                "image,label,patient\nexport/a,absent,SCHMIDT\nexport/b,present,MEIER\n"
            )
        if name == "hide":
            hospital, store = self.root / "hospital", self.root / "store"
            (store / "images").mkdir(parents=True)
            hospital.mkdir()
            (store / "manifest.json").write_text("{}")
            (store / "images" / f"{ID}.png").write_bytes(b"\x89PNG")
            (hospital / "quarantine.csv").write_text("row,reason\n2,Row 2 of the cohort\n")
            (hospital / "splits.csv").write_text("patient,split\nSCHMIDT,training\nMEIER,test\n")
            linkage = [f"{ID},2,SCHMIDT,1.2,absent,training", f"{'b' * 32},3,MEIER,1.3,present,test"]
            (hospital / "linkage.csv").write_text("\n".join(["id,row,patient,study,label,split", *linkage, ""]))
        if name == "release":
            with tarfile.open(words[words.index("--archive") + 1], "w") as archive:
                archive.add(words[1], "store")
        if name == "train":
            for part in ("models", "eval"):
                (self.root / "model" / part).mkdir(parents=True)
        if name == "infer":
            (self.root / "inference").mkdir()
            (self.root / "inference" / "predictions.csv").write_text(f"id,p_a,p_b,decision\n{ID},0.5,0.5,a\n")
        if name in self.wrong:
            return self.wrong[name]
        if name.endswith("-killed") and "worker" not in name:
            return KILLED
        if name in ("make_cohort", "make_cohort-memory"):
            return 3
        if name in ("hide-dicom", "hide-mask-text"):
            return 0
        one = name.startswith(("hide-", "enhance-", "train-", "evaluate-", "infer-", "release-altered"))
        return 0 if "-" not in name or name == "hide-quarantine" else 1 if one else 2

    def close(self) -> None:
        self.calls.append(("closed", (), ""))


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Course:
    monkeypatch.setattr(Pretended, "calls", [])
    monkeypatch.setattr(Pretended, "wrong", {})
    monkeypatch.setattr(canary_run, "Zone", Pretended)
    monkeypatch.setattr(canary_run, "find_spec", lambda _: "installed")
    said: list[str] = []
    made = Course(tmp_path, 21, say=said.append)
    made.said = said  # type: ignore[attr-defined]
    return made


def test_all_stages_and_a_failure_of_each(course: Course) -> None:
    course.go()
    assert course.unexpected == []
    names = [stage.name for stage in course.stages]
    assert names[:16] == [
        "make_cohort", "make_key", "enhance", "hide", "hide-dicom", "hide-mask-text", "verify_store", "release",
        "verify_store", "train", "evaluate", "infer",
        "link", "train_plaintext", "evaluate_plaintext", "report",
    ]  # fmt: skip
    assert {name.split("-")[0] for name in names[16:]} == {
        "make_cohort", "enhance", "hide", "release", "train", "evaluate", "infer", "link", "report",
    }  # fmt: skip
    assert all(stage.fault for stage in course.stages[16:])
    assert {stage.zone for stage in course.stages if stage.name in ("train", "evaluate", "infer")} == {"analyst"}
    assert Pretended.calls[-2:] == [("closed", (), "")] * 2
    assert course.said[0] == "make_cohort: 3"  # type: ignore[attr-defined]


def test_debug_logging_and_faults_are_asked_for(course: Course) -> None:
    course.go()
    bundles = [words for _, words, _ in Pretended.calls if words and words[0] == "monai.bundle"]
    assert bundles
    for words in bundles:
        config = Path(words[words.index("--logging_file") + 1]).read_text()
        assert "level=DEBUG" in config
        assert "INFO" not in config
    faults = {name: fault for name, _, fault in Pretended.calls if fault}
    assert faults["hide-quoting"] == "quoting"
    assert faults["train-killed"] == "killed"
    assert "link-unknown" not in faults  # its inputs are the fault


def test_faulty_inputs(course: Course) -> None:
    course.go()
    assert "SCHMIDT" not in (course.root / "usable.csv").read_text()
    shifted = (course.root / "shifted-frame.csv").read_text().splitlines()
    assert shifted == ["image,label,patient,frame", "export/a,absent,SCHMIDT,", "export/b,present,MEIER,MEIER"]
    assert "MEIER,2" not in (course.root / "failed" / "linkage-id.csv").read_text().splitlines()[1]
    assert (course.root / "failed" / "linkage-id.csv").read_text().splitlines()[2].startswith("MEIER,3,MEIER")
    assert (course.root / "failed" / "predictions.csv").read_text().splitlines()[1].startswith("0" * 32)
    assert (course.root / "altered" / "images" / f"{ID}.png").read_bytes() == b"\x89PNF"
    labels = (course.root / "failed" / "labels.csv").read_text(encoding="utf-8").splitlines()
    assert labels[1].replace(",absent,", ",present,") == labels[-1]


def test_ways_of_hiding_whose_package_is_missing_are_left_out(course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canary_run, "find_spec", lambda _: None)
    course.go()
    assert not {"hide-dicom", "hide-mask-text"} & {stage.name for stage in course.stages}


def test_quick(course: Course) -> None:
    course.go(quick=True)
    assert [stage.name for stage in course.stages] == [
        "make_cohort", "hide", "train", "evaluate", "infer", "hide-quoting",
    ]  # fmt: skip
    assert (course.analyst / "got" / "manifest.json").is_file()


def test_a_stage_that_fails_by_itself_ends_the_course(course: Course) -> None:
    Pretended.wrong = {"enhance": 1}
    with pytest.raises(StageError, match=r"enhance ended with 1, not with 0: see logs/hospital/enhance.log"):
        course.go()
    assert Pretended.calls[-1] == ("closed", (), "")


def test_a_fault_without_a_failure_is_reported(course: Course) -> None:
    Pretended.wrong = {"train-nan": 0, "release-altered": 0}
    course.go()
    assert course.unexpected == [
        "release-altered ended with 0, not with 1",
        "train-nan ended with 0, not with a failure",
    ]
