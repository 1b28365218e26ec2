"""Processes that are killed and clients that are refused; `make gateway` and CI run the whole against Orthanc."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from fesf.scripts.check_gateway.orthanc import Orthanc
from fesf.scripts.check_gateway.probes import TOOLS, missing, probe
from fesf.scripts.check_gateway.processes import Process
from fesf.scripts.data.loopback import free_port


def module(folder: Path, text: str) -> Process:
    (folder / "speaks.py").write_text(text)
    return Process(["speaks"], folder / "log", folder)


def test_a_process_is_started_killed_and_started_again(tmp_path: Path) -> None:
    process = module(tmp_path, "import time\nprint('listening')\ntime.sleep(60)")
    assert process.end() == 0  # it does not run yet
    assert process.start() > 0
    assert process.end(signal.SIGKILL) == -signal.SIGKILL
    assert process.start() > 0
    assert process.end() == -signal.SIGTERM
    assert process.log.read_text() == "listening\n" * 2


def test_a_process_that_does_not_start_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"speaks did not start: .*no such thing"):
        module(tmp_path, "raise SystemExit('no such thing')").start()


def test_a_missing_client_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert missing() == list(TOOLS)


@pytest.mark.skipif(bool(missing()), reason=f"not installed: {', '.join(missing())}")
def test_nobody_listening_is_no_refusal(tmp_path: Path) -> None:
    """The control of the probes: where nothing answers, the two that must be answered fail."""
    found = probe(tmp_path / "none", ("GW", free_port()), ("BACK", free_port()))
    assert {name for name, passed in found.items() if not passed} == {
        "C-ECHO by the PACS is answered",
        "C-ECHO by the analyst is answered",
    }


def test_without_orthanc_it_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fesf.scripts.check_gateway.orthanc.program", lambda: None)
    with pytest.raises(RuntimeError, match="apt-get install orthanc"), Orthanc(tmp_path / "pacs", ("GW", 1)):
        pass
