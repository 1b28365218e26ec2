"""The check, with a stand-in for NVFLARE's simulator; `make federated` runs it with the real one."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from fesf.scripts.check_federated import FederatedCheck, main
from fesf.scripts.federated.job import GLOBAL_MODEL
from tests.scripts.federated.fake_nvflare import simulate

WORDS = ["--patients", "40", "--rounds", "2", "--local-epochs", "1"]


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Path], None]], None]:
    """Put the stand-in where the command would start NVFLARE's; then do something to its workspace."""

    def install(after: Callable[[Path], None]) -> None:
        def execute(self: FederatedCheck, command: Sequence[str], log: Any) -> int:
            job, workspace = Path(command[2]), Path(command[4])
            assert command[1:] == ["simulator", str(job), "-w", str(workspace), "-n", "2", "-t", "2"]
            taken = simulate(job, workspace)
            log.write(b"Contribution ACCEPTED by the aggregator\n" * taken)
            after(workspace)
            return 0

        monkeypatch.setattr(FederatedCheck, "_execute", execute)

    return install


def test_both_ways_agree(simulator: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    simulator(lambda workspace: None)
    assert main(["--out", str(tmp_path), *WORDS]) == 0
    found = json.loads((tmp_path / "federated.json").read_text())
    assert found["command"].endswith("--sets demo --patients 40 --rounds 2 --local-epochs 1")
    demo = found["sets"]["demo"]
    assert len(found["checks"]) == 6
    assert all(found["checks"].values())
    assert demo["largest_difference"]["weights"] < 1e-6
    assert demo["sent"]["parts_taken"] == 4
    assert demo["sent"]["tensors"] == 77
    assert demo["searched"]["hits_at_a_site"] == ["config_fed_client.json"]
    assert found["software"]["nvflare"]
    assert set(found["seconds"]) == {f"demo: {step}" for step in ("hiding", "in this process", "nvflare simulator")} | {
        "all"
    }
    assert "FAIL" not in capsys.readouterr().out


def test_other_weights_and_a_leak_are_seen(
    simulator: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def spoil(workspace: Path) -> None:
        state = torch.load(workspace / GLOBAL_MODEL, weights_only=True)
        state["model"]["fc.bias"] += torch.tensor([1e-3, -1e-3])
        torch.save(state, workspace / GLOBAL_MODEL)
        store = workspace.parent / "site-2" / "store" / "images"
        (workspace / "server" / "log.txt").write_text(f"read {next(store.iterdir()).stem}")

    simulator(spoil)
    assert main(["--out", str(tmp_path), *WORDS]) == 1
    failed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("FAIL")]
    assert failed == [
        "FAIL demo: the last global weights agree",
        "FAIL demo: so do the predictions on the test images",
        "FAIL demo: nothing of a store on the server",
    ]
    assert json.loads((tmp_path / "federated.json").read_text())["sets"]["demo"]["searched"]["hits"] == ["log.txt"]


def test_a_simulator_that_fails_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def execute(self: FederatedCheck, command: Sequence[str], log: Any) -> int:
        log.write(b"no such module")
        return 3

    monkeypatch.setattr(FederatedCheck, "_execute", execute)
    assert main(["--out", str(tmp_path), "--patients", "40", "--rounds", "1", "--local-epochs", "1"]) == 1
    assert "error: nvflare simulator ended with 3: no such module" in capsys.readouterr().err
    assert not (tmp_path / "federated.json").exists()


def test_a_set_that_is_not_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--out", str(tmp_path), "--sets", "mri_cheng430", "--shared", str(tmp_path)]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: ")
