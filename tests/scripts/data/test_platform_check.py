"""Steps, processes and the page that checks against real platforms share."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from fesf.scripts.data.platform_check import PlatformCheck, write_page

COMMAND = "python -m fesf.scripts.check_nothing --out docs"


class Check(PlatformCheck):
    passed = True

    def run(self) -> dict[str, Any]:
        def step() -> str:
            status, said = self._python("-c", "import os; print(os.environ['OMP_NUM_THREADS'], os.environ['X'])", X="7")
            assert status == 0
            self.checks["said"] = self.passed
            return said

        return {"said": self._timed("asking", step)}


class Broken(PlatformCheck):
    def run(self) -> dict[str, Any]:
        self._run("training", self.work / "none.json", self.work)
        return {}


@pytest.mark.parametrize("passed", [True, False])
def test_the_page(
    passed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Check, "passed", passed)
    folders = []

    def make(work: Path) -> Check:
        folders.append(work)
        return Check(work)

    assert write_page(make, tmp_path / "page.json", COMMAND, ("pytest",)) == (0 if passed else 1)
    found = json.loads((tmp_path / "page.json").read_text())
    assert found["command"] == COMMAND
    assert found["software"]["pytest"] == pytest.__version__
    assert found["said"] == "1 7\n"
    assert found["checks"] == {"said": passed}
    assert set(found["seconds"]) == {"asking", "all"}
    assert capsys.readouterr() == (("ok   said\n" if passed else "FAIL said\n"), "asking ...\n")
    assert not folders[0].exists()


def test_a_step_that_fails_is_one_line_and_no_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert write_page(Broken, tmp_path / "page.json", COMMAND, ()) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: training ended with 1: ")
    assert not (tmp_path / "page.json").exists()


def test_processes_run_this_python(tmp_path: Path) -> None:
    assert Check(tmp_path)._python("-c", "import sys; print(sys.executable)") == (0, f"{sys.executable}\n")
