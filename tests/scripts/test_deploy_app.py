"""The app's command line, with the three steps in a row for the SDK's part, which `make deploy` runs."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from fesf.scripts import deploy_app
from fesf.scripts.deploy.classifier import classify
from fesf.scripts.deploy.results import write_results
from fesf.scripts.deploy.surrogates import find_surrogates
from fesf.scripts.deploy_app import main
from tests.scripts.deploy.conftest import bundle, surrogates

__all__ = ["bundle", "surrogates"]  # fixtures


class Steps:
    """Reads, classifies and writes as the operators do."""

    def __init__(self, words: list[str]) -> None:
        self.words, self.faults = words, list[Exception]()

    def run(self) -> None:
        folders = dict(zip(self.words[::2], self.words[1::2], strict=True))
        assert folders["-l"] == "ERROR"
        try:
            write_results(classify(folders["-m"], find_surrogates(folders["-i"])), folders["-o"])
        except Exception as error:
            self.faults.append(error)


class Silent(Steps):
    """Ends without a result or an error."""

    def run(self) -> None:
        pass


def stand_in(app: type[Steps], monkeypatch: pytest.MonkeyPatch) -> None:
    made = ModuleType("fesf.scripts.deploy.app")
    made.SurrogateClassifier = app  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "fesf.scripts.deploy.app", made)
    monkeypatch.setattr(deploy_app, "prepare", lambda: None)


def words(source: Path, out: Path, model: Path) -> list[str]:
    return ["-i", str(source), "-o", str(out), "-m", str(model)]


def test_surrogates_in_predictions_out(
    surrogates: Path,
    bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stand_in(Steps, monkeypatch)
    out = tmp_path / "some" / "out"
    assert main(words(surrogates, out, bundle)) == 0
    assert len((out / "predictions.csv").read_text().splitlines()) == 7
    assert len(list((out / "objects").iterdir())) == 6
    assert capsys.readouterr().out.startswith("Written: ")
    assert main(words(surrogates, out, bundle)) == 2
    assert "earlier run" in capsys.readouterr().err


def test_folders_come_from_the_containers_variables(
    surrogates: Path,
    bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stand_in(Steps, monkeypatch)
    for name, path in (("INPUT", surrogates), ("OUTPUT", tmp_path / "out"), ("MODEL", bundle)):
        monkeypatch.setenv(f"HOLOSCAN_{name}_PATH", str(path))
    assert main([]) == 0
    assert (tmp_path / "out" / "predictions.csv").is_file()


def test_an_operators_error_is_one_line(
    surrogates: Path,
    bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stand_in(Steps, monkeypatch)
    (surrogates / "zz SCHMIDT.dcm").write_bytes(b"SCHMIDT")
    assert main(words(surrogates, tmp_path / "out", bundle)) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: File 7 of 7 (by name) is no surrogate: ")
    assert error.count("\n") == 1
    assert "SCHMIDT" not in error
    assert list((tmp_path / "out").iterdir()) == []


def test_an_app_without_result_is_no_success(
    surrogates: Path,
    bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stand_in(Silent, monkeypatch)
    assert main(words(surrogates, tmp_path / "out", bundle)) == 2
    assert "ended without a result" in capsys.readouterr().err


def test_what_cannot_be_used(
    surrogates: Path,
    bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(words(surrogates, tmp_path / "out", bundle)) == 2
    assert "needs monai-deploy-app-sdk" in capsys.readouterr().err  # which the main environment does not have
    stand_in(Steps, monkeypatch)
    for source, model, reason in (
        (tmp_path / "none", bundle, "The input is no folder"),
        (surrogates, tmp_path, "no configs/inference.json"),
    ):
        assert main(words(source, tmp_path / "out", model)) == 2
        assert reason in capsys.readouterr().err
