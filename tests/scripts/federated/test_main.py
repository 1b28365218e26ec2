"""The command: what it does once, writes, exports and refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fesf.scripts.federated import __main__ as command
from fesf.scripts.federated.__main__ import main
from fesf.scripts.federated.simulation import ARMS, Federation
from tests.bundle.tiny import write_store


def options(federation: Federation, out: Path) -> list[str]:
    """The options that the fixture's federation was made with."""
    words = ["--sets", "demo", "--runs", "1", "--recipe", "0.1,0.5", "0.15,0.75", "--share", "0.6", "--rounds", "2"]
    return [*words, "--local-epochs", "1", "--patients", "40", "--work", federation.root, "--out", str(out)]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Federations of the command are of the fixture's image size."""
    made = command.Federation
    monkeypatch.setattr(command, "Federation", lambda *given: made(*given, 32))


@pytest.mark.usefixtures("small")
def test_a_finished_run_is_written_up(
    federation: Federation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(options(federation, tmp_path)) == 0
    found = json.loads((tmp_path / "federated_results.json").read_text())
    assert found["command"] == (
        "python -m fesf.scripts.federated --sets demo --recipe 0.1,0.5 0.15,0.75 --share 0.6 --rounds 2"
        " --local-epochs 1 --patients 40 --runs 1"
    )
    assert federation.root not in json.dumps(found)
    (run,) = found["sets"]["demo"]["runs"]
    assert run["images"] == federation.done["images"]
    auc = {arm: float(federation.outcomes(arm)["both"].metrics()["auc"][0]) for arm in ARMS}
    assert {arm: run["arms"][arm]["both"]["auc"] for arm in ARMS} == pytest.approx(auc)
    page = (tmp_path / "federated_results.md").read_text()
    assert page in capsys.readouterr().out
    for arm in ARMS:
        assert f"| {arm} | {auc[arm]:.3f} [" in page
    assert page.count("On test images of") == 3
    assert page.count("- `demo`, test images of both hospitals: federated is ") == 3
    assert "alpha 0.1, beta 0.5 and alpha 0.15, beta 0.75" in page


def test_a_run_that_fails_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.setattr(command, "run_jobs", lambda *_: ["demo/0/federation: ValueError: no"])
    assert main(["--work", str(tmp_path / "work"), "--out", str(tmp_path), "--runs", "1"]) == 1
    assert capsys.readouterr().err == "error: demo/0/federation: ValueError: no\n"
    assert not list(tmp_path.glob("*.json"))


def test_a_job_is_exported_for_stores_that_exist(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stores = [write_store(tmp_path / name, ("a", "b", "c"), number=number) for number, name in enumerate("xy")]
    words = ["--export-job", str(tmp_path / "job"), "--store", f"clinic={stores[0]}", "--store", f"other={stores[1]}"]
    assert main([*words, "--rounds", "4", "--workspace", str(tmp_path / "ws")]) == 0
    allowed = json.loads((tmp_path / "ws" / "local" / "resources.json").read_text())["class_allow_list"]
    said = capsys.readouterr().out
    assert "2 sites, 4 rounds of 2 epochs" in said
    assert "  monai.fl.client.MonaiAlgo\n" in said
    assert [line.strip() for line in said.splitlines()[2:]] == allowed
    network = json.loads((tmp_path / "job" / "app_server" / "bundle" / "configs" / "network.json").read_text())
    assert network["num_classes"] == 3
    config = json.loads((tmp_path / "job" / "app_other" / "config" / "config_fed_client.json").read_text())
    assert config["components"][0]["args"]["train_kwargs"]["dataset_dir"] == str(stores[1])
    assert main(words) == 2
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--export-job", "job"], "--export-job needs --store"),
        (["--sets", "mri_cheng430", "--shared", "nowhere"], "is not a folder: point --shared"),
        (["--runs", "0"], "runs 0 must be at least 1"),
    ],
)
def test_mistakes_are_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line


@pytest.mark.parametrize("words", [["--recipe", "0.1", "0.2"], ["--store", "site-1"], ["--sets", "none"]])
def test_what_cannot_be_read_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(words)
    assert "error: " in capsys.readouterr().err
