"""Running all integrations: what fails, what is skipped and by which name, and that every target is there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fesf.scripts import integration
from fesf.scripts.integration import TARGETS, Outcome, judge, main, run_target

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("status", "output", "expected"),
    [
        (0, "skipped: nothing, says a log\n", ("ok", "")),
        (2, "a\nskipped: Orthanc not installed\nmake: *** [x] Error 3\n", ("skipped", "Orthanc not installed")),
        (
            2,
            "ERROR: No matching distribution found for monailabel==0.8.5\nmake: *** Error 1\n",
            ("skipped", "its environment cannot be installed: No matching distribution found for monailabel==0.8.5"),
        ),
        (2, "ok   this\nFAIL that\n\nmake: *** [mlflow] Error 1\n", ("FAILED", "FAIL that")),
        (2, "error: x\nmake[1]: *** [mlflow] Error 1\nmake[1]: Leaving directory 'y'\n", ("FAILED", "error: x")),
        (1, "", ("FAILED", "status 1")),
    ],
)
def test_how_a_target_ended(status: int, output: str, expected: tuple[str, str]) -> None:
    assert judge(status, output) == expected


def test_a_target_is_run_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    code = "import sys; print('working', sys.argv[1:]); print('skipped: the thing', file=sys.stderr); sys.exit(3)"
    outcome = run_target("target", [sys.executable, "-c", code])
    assert (outcome.target, outcome.status, outcome.reason) == ("target", "skipped", "the thing")
    assert outcome.seconds > 0
    assert "working ['target', 'ARGS=']\n" in capsys.readouterr().out
    assert str(Outcome("label", "ok", "", 61.2)) == "ok      label           61 s"


def test_all_are_run_and_a_failure_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = {"deploy": ("FAILED", "FAIL x"), "gateway": ("skipped", "Orthanc")}
    monkeypatch.setattr(integration, "run_target", lambda target: Outcome(target, *found.get(target, ("ok", "")), 1.0))
    monkeypatch.chdir(ROOT)
    assert main([]) == 1
    assert capsys.readouterr().out.splitlines()[-len(TARGETS) :] == [
        "ok      bundles          1 s",
        "ok      mlflow           1 s",
        "skipped gateway          1 s  Orthanc",
        "FAILED  deploy           1 s  FAIL x",
        "ok      label            1 s",
        "ok      federated        1 s",
    ]
    assert main(["mlflow", "gateway"]) == 0


def test_mistakes_get_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["pacs"]) == 2
    assert capsys.readouterr().err.startswith("error: pacs: choose from bundles, mlflow, ")
    monkeypatch.chdir(tmp_path)
    assert main([]) == 2
    assert capsys.readouterr().err == "error: there is no Makefile here: run it from the root of the clone.\n"


def test_the_makefile_has_every_target() -> None:
    text = (ROOT / "Makefile").read_text()
    assert [target for target in TARGETS if f"\n{target}: " not in text] == []
