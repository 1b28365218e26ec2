"""What the check writes and how it ends; `make gateway` and CI run it against a real Orthanc."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fesf.scripts.check_gateway import __main__ as command
from fesf.scripts.check_gateway.run import GatewayCheck


@pytest.mark.parametrize(("passed", "status"), [(True, 0), (False, 1)])
def test_the_page_and_the_status(
    passed: bool, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(self: GatewayCheck) -> dict[str, Any]:
        assert self.numbers == {"flow": 5, "kills": 5, "backlog": 3}
        self.checks["reports"] = passed
        return {"flow": {"studies": 5}}

    monkeypatch.setattr(GatewayCheck, "run", run)
    monkeypatch.setattr(command, "program", lambda: "Orthanc")
    monkeypatch.setattr(command, "missing", lambda: [])
    words = ["--out", str(tmp_path), "--studies", "5", "--kills", "2", "--backlog", "3"]
    assert command.main(words) == status
    found = json.loads((tmp_path / "gateway.json").read_text())
    assert found["command"] == "python -m fesf.scripts.check_gateway --out docs --studies 5 --kills 2 --backlog 3"
    assert found["checks"] == {"reports": passed}
    assert found["software"]["pynetdicom"]
    assert ("FAIL reports" in capsys.readouterr().out) is not passed


def test_a_missing_component_is_a_skip_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "program", lambda: None)
    monkeypatch.setattr(command, "missing", lambda: ["findscu"])
    assert command.main(["--out", str(tmp_path)]) == command.SKIPPED
    assert capsys.readouterr().err.startswith("skipped: Orthanc, findscu not installed")
    assert list(tmp_path.iterdir()) == []


def test_without_kills_no_study_waits_for_one(tmp_path: Path) -> None:
    assert GatewayCheck(tmp_path, tmp_path, 5, 0, 3).numbers == {"flow": 5, "kills": 0, "backlog": 3}
