"""The command on privacy: which jobs it runs, what it writes, and what it says of a failure."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from fesf.scripts import privacy
from fesf.scripts.audit.public_audit import Audited
from fesf.scripts.audit.public_frontier import POINTS, Bound, OfFrontier, Tried
from fesf.scripts.data.grid import Job, Source
from fesf.scripts.data.records import Records
from tests.scripts.audit.test_frontier import found, setting
from tests.scripts.audit.test_privacy_page import audit, result


def done(job: Job) -> dict[str, Any]:
    """What a job of the demo found: settings get better and riskier with alpha and beta."""
    if isinstance(job, Tried):
        risk = (job.alpha + job.beta) / 2
        own = setting(job.alpha, 0.6 + risk / 10, risk, 4 * risk)
        return own | {"stage": job.stage, "beta": job.beta}
    if isinstance(job, Bound):
        return {"auc": {"test": found(0.9)}}
    return audit(0.1, nearest=result(0.7))


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """The jobs that were run; the demo's audits find something."""
    found: list[Job] = []

    def run_jobs(jobs: list[Job], workers: int, finished: Any, on_record: Any) -> list[str]:
        found.extend(job for job in jobs if isinstance(job, Source) or not on_record(job))
        assert workers == 2
        assert all(on_record(job) for job in jobs if isinstance(job, Source))  # made where an audit needs it
        for job in jobs:
            if isinstance(job, Audited | OfFrontier) and job.source.name == "demo":
                job.folder.mkdir(parents=True)
                (job.source.folder / "done.json").write_text(json.dumps({"key": job.source.key}))
                (job.folder / "done.json").write_text(
                    json.dumps(done(job) | {"key": job.key, "commit": "abc", "machine": "M"})
                )
                finished(job)
        return []

    monkeypatch.setattr(privacy, "run_jobs", run_jobs)
    return found


def test_the_first_fold_of_each_set_is_hidden_and_both_stores_are_attacked(
    ran: list[Job], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("cxr_nih1000", "mri_cheng430"):
        (tmp_path / "data" / name).mkdir(parents=True)
    out = tmp_path / "out"
    asked = ["--shared", str(tmp_path), "--work", str(tmp_path / "run"), "--out", str(out)]
    assert privacy.main(asked) == 0
    sources = [job for job in ran if isinstance(job, Source)]
    assert [(source.name, source.run) for source in sources] == [(name, 0) for name in privacy.NAMES]
    assert [job.title for job in ran if isinstance(job, Audited)] == [
        f"{name}/0/audit/{arm}" for name in privacy.NAMES for arm in ("ihm", "full")
    ]
    assert sum(isinstance(job, Tried) for job in ran) == 3 * len(POINTS)
    document = json.loads((out / "privacy.json").read_text())
    assert document["command"] == "python -m fesf.scripts.privacy"
    assert list(document["sets"]) == ["demo"]  # the others were not done
    assert "key" not in document["sets"]["demo"]["ihm"]
    page = (out / "privacy.md").read_text()
    assert "| nearest | 0.02 |" in page
    assert list(document["frontier"]) == ["demo"]
    assert document["frontier"]["demo"]["recommended"] == "synthetic, alpha 0.1, beta 0.25"  # 0.175 + 0.1 within 0.3
    assert "Recommended: synthetic, alpha 0.1, beta 0.25; on test patients it holds the limits." in page
    assert "| plaintext |  | 0.90 [0.80, 1.00] |" in page
    assert (out / "frontier.png").read_bytes().startswith(b"\x89PNG")
    lines = list(csv.DictReader(io.StringIO((out / "frontier.csv").read_text())))
    assert [line["set"] for line in lines] == ["demo"] * len(POINTS)
    assert "Wrote" in capsys.readouterr().out


def test_another_machine_goes_on_from_the_records(ran: list[Job], tmp_path: Path) -> None:
    for name in ("cxr_nih1000", "mri_cheng430"):
        (tmp_path / "data" / name).mkdir(parents=True)
    out = tmp_path / "out"
    asked = ["--shared", str(tmp_path), "--out", str(out)]
    assert privacy.main([*asked, "--work", str(tmp_path / "first")]) == 0
    kept = {path.relative_to(out).as_posix() for path in (out / "audits").rglob("*.json")}
    assert {name for name in kept if "frontier" not in name} == {
        f"audits/demo/0/audit/{arm}.json" for arm in ("full", "ihm")
    }
    assert len(kept) == 2 + len(POINTS) + 1
    assert "audits/demo/0/frontier/surrogate-0.25-0.5.json" in kept
    page = (out / "privacy.md").read_text()
    ran.clear()
    shutil.rmtree(tmp_path / "first")
    assert privacy.main([*asked, "--work", str(tmp_path / "second")]) == 0
    assert "demo/0/audit/ihm" not in {job.title for job in ran}
    assert "demo/0/frontier/synthetic-0.1-0.5" not in {job.title for job in ran}
    assert "mri_cheng430/0/audit/ihm" in {job.title for job in ran}
    assert (out / "privacy.md").read_text() == page


def test_a_part_names_itself(ran: list[Job], tmp_path: Path) -> None:
    asked: list[Any] = ["--work", str(tmp_path / "run"), "--out", str(tmp_path), "--sets", "demo", "--quick"]
    assert privacy.main(asked) == 0
    assert not any(job.whole for job in ran if isinstance(job, Audited))
    assert not any(isinstance(job, OfFrontier) for job in ran)
    assert "Not measured in this run." in (tmp_path / "privacy.md").read_text()
    command = json.loads((tmp_path / "privacy.json").read_text())["command"]
    assert command == "python -m fesf.scripts.privacy --sets demo --quick"
    assert not (tmp_path / "audits").exists()  # of the full attacks alone


def test_a_set_with_a_setting_missing_has_no_frontier(
    ran: list[Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    asked = ["--work", str(tmp_path / "run"), "--out", str(out), "--sets", "demo"]
    assert privacy.main(asked) == 0
    (out / "audits/demo/0/frontier/plaintext.json").unlink()
    (tmp_path / "run/demo/0/frontier/settings/plaintext/done.json").unlink()
    jobs = privacy.plan(tmp_path, tmp_path / "run", ["demo"], True)
    assert privacy.frontiers(jobs, Records(out / "audits")) == {}
    capsys.readouterr()
    monkeypatch.setattr(privacy, "run_jobs", lambda *given: [])
    assert privacy.main(asked) == 0
    assert capsys.readouterr().err == "demo has no frontier on the page: not all of its settings are done.\n"
    assert "Not measured in this run." in (out / "privacy.md").read_text()


def test_failures_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(privacy, "run_jobs", lambda *given: ["demo/0/source: it broke"])
    asked = ["--work", str(tmp_path / "run"), "--out", str(tmp_path / "out")]
    assert privacy.main([*asked, "--sets", "demo"]) == 1
    assert capsys.readouterr().err == "error: demo/0/source: it broke\n"
    assert not (tmp_path / "out").exists()
    assert privacy.main([*asked, "--shared", str(tmp_path)]) == 2
    assert "is not a folder: point --shared at the folder that holds data/cxr_nih1000" in capsys.readouterr().err
