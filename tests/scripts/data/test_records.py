"""Records of jobs: what they keep, when they count, and how small they are."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fesf.scripts.data.grid import CNN, DEMO, Cell, Job, Source
from fesf.scripts.data.records import Records
from fesf.scripts.data.studies import OtherLambda, SecondPass, SweepPoint

from ..conftest import ROWS, leave


@pytest.fixture
def jobs(tmp_path: Path) -> list[Job]:
    source = Source(DEMO, 0, "", str(tmp_path / "work"))
    made: list[Job] = [source, Cell(source, CNN, "plaintext"), Cell(source, CNN, "full"), OtherLambda(source, 0.0)]
    made += [SecondPass(source, 0.25, 1.0), SweepPoint(source, 0.1, 0.5)]
    for number, job in enumerate(made):
        leave(job, np.random.default_rng(number).uniform(size=len(ROWS)).round(6).tolist())
    return made


def test_a_record_gives_back_what_the_job_left(jobs: list[Job], tmp_path: Path) -> None:
    records = Records(tmp_path / "records")
    for job in jobs:
        assert not records.has(job)
        mine = records.get(job)  # from the work folder
        records.keep(job)
        elsewhere = (
            replace(job, root="moved")
            if isinstance(job, Source)
            else replace(job, source=replace(job.source, root="moved"))
        )  # type: ignore[call-arg, attr-defined]
        assert records.has(elsewhere)
        kept = records.get(elsewhere)
        assert mine is not None
        assert kept is not None
        assert kept.done == mine.done == job.done
        if mine.outcome is None:
            assert kept.outcome is None
            with pytest.raises(ValueError, match="This job predicts nothing"):
                _ = kept.predicted
            continue
        assert (kept.predicted.rows, kept.predicted.groups) == (mine.predicted.rows, mine.predicted.groups)
        assert kept.predicted.commit == mine.predicted.commit == job.done["commit"]
        for name in ("labels", "probabilities", "decisions"):
            assert np.array_equal(getattr(kept.predicted, name), getattr(mine.predicted, name))
        assert kept.predicted.metrics() == mine.predicted.metrics()
    names = {str(path.relative_to(tmp_path / "records")) for path in (tmp_path / "records").rglob("*.json")}
    assert names == {f"{job.title}.json" for job in jobs}
    assert "demo/0/second_pass/0.25/1.0.json" in names


def test_other_settings_and_jobs_that_are_not_done_have_no_record(jobs: list[Job], tmp_path: Path) -> None:
    records = Records(tmp_path / "records")
    job = jobs[1]
    records.keep(job)
    path = tmp_path / "records" / f"{job.title}.json"
    text = path.read_text()
    path.write_text(text.replace(job.key, "0" * 64))
    (job.folder / "done.json").unlink()
    assert not records.has(job)
    assert records.get(job) is None
    path.write_text(text)
    assert records.get(job) is not None


def test_a_record_is_written_again_when_the_job_was(jobs: list[Job], tmp_path: Path) -> None:
    records = Records(tmp_path / "records")
    job = jobs[2]
    records.keep(job)
    path = tmp_path / "records" / f"{job.title}.json"
    before = path.stat().st_ino
    records.keep(job)
    assert path.stat().st_ino == before  # not touched
    leave(job, commit="another")
    records.keep(job)
    assert json.loads(path.read_text())["done"]["commit"] == "another"
    assert path.stat().st_mode & 0o777 == 0o644


def test_without_a_folder_nothing_is_kept(jobs: list[Job], tmp_path: Path) -> None:
    none = Records()
    none.keep(jobs[0])
    assert not none.has(jobs[0])
    assert not list(tmp_path.glob("records"))
