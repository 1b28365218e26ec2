"""What the check writes and how it ends; `make mlflow` and CI run it against a real server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fesf.scripts import check_mlflow
from fesf.scripts.check_mlflow import MlflowCheck, main


@pytest.mark.parametrize(("later", "status"), [(True, 0), (False, 1)])
def test_the_page_and_the_status(
    later: bool, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(self: MlflowCheck) -> dict[str, Any]:
        self.checks |= {"logged": True, "served": later}
        self.seconds["training"] = 1.0
        return {}

    monkeypatch.setattr(MlflowCheck, "run", run)
    assert main(["--out", str(tmp_path), "--patients", "12"]) == status
    found = json.loads((tmp_path / "mlflow.json").read_text())
    assert found["command"] == "python -m fesf.scripts.check_mlflow --out docs --patients 12 --epochs 2"
    assert found["checks"] == {"logged": True, "served": later}
    assert set(found["seconds"]) == {"training", "all"}
    assert found["software"]["mlflow"]
    assert ("FAIL served" in capsys.readouterr().out) is not later


def test_a_step_that_fails_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    def run(self: MlflowCheck) -> None:
        self._timed("training", lambda: self._run("training", tmp_path / "none.json", tmp_path))

    monkeypatch.setattr(MlflowCheck, "run", run)
    monkeypatch.setattr(check_mlflow.MlflowCheck, "_bundle", lambda *_: (3, "no such file"))
    assert main(["--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == "error: training ended with 3: no such file"
    assert not (tmp_path / "mlflow.json").exists()


def test_every_file_of_the_server_is_searched(tmp_path: Path) -> None:
    check = MlflowCheck(tmp_path)
    server = check.work / "server" / "artifacts"
    server.mkdir(parents=True)
    (server / "mine").write_text(f"uri: {check.work}/server/artifacts/model")
    assert check._search()["searched"] | {"for": []} == {"files": 1, "for": [], "hits": []}
    (server / "MLmodel").write_text(f"uri: {check.work}/analyst/models/model.pt")
    assert check._search()["searched"]["hits"] == ["MLmodel"]
    assert check.checks["no folder, table or patient of the hospital on the server"] is False
