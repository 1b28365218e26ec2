"""The command: it runs until it is told to stop, once a spool, and says in one line what is wrong."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from fesf.scripts.data.loopback import free_port
from fesf.scripts.gateway.__main__ import BUSY, main
from tests.scripts.gateway.made import make_hospital


@pytest.fixture
def config(tmp_path: Path) -> Path:
    listen, returns = ({"ae_title": title, "port": free_port()} for title in ("GW", "BACK"))
    return make_hospital(tmp_path / "hospital", listen=listen, returns=returns)


@pytest.fixture(autouse=True)
def keep_the_threads_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)


def test_it_runs_and_ends(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stop = threading.Event()
    stop.set()
    assert main(["--config", str(config)], stop) == 0
    capsys.readouterr()
    assert main(["--config", str(config), "--status"]) == 0
    assert json.loads(capsys.readouterr().out) == {"counts": {}, "failed": {}, "states": {}, "times": []}


def test_one_gateway_a_spool(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from fesf.scripts.data.lock import locked

    (config.parent / "spool").mkdir(mode=0o700)
    with locked(config.parent / "spool"):
        assert main(["--config", str(config)], threading.Event()) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"error: {BUSY}"


@pytest.mark.parametrize(
    ("name", "said"),
    [("none.json", "cannot be read as JSON"), ("gateway.json", "holds no state")],
)
def test_mistakes_are_one_line(config: Path, capsys: pytest.CaptureFixture[str], name: str, said: str) -> None:
    assert main(["--config", str(config.with_name(name)), "--status"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert said in error
    assert error.count("\n") == 1


def test_no_secret_is_an_error_before_anything_listens(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (config.parent / "secret").chmod(0o644)
    assert main(["--config", str(config)], threading.Event()) == 2
    assert "can be read by other users" in capsys.readouterr().err


@pytest.mark.parametrize("told", [True, False])
def test_readers_that_end_by_the_same_signal_are_no_error(
    config: Path, monkeypatch: pytest.MonkeyPatch, told: bool
) -> None:
    """A terminal's Ctrl-C goes to the whole group: the processes that read end before the gateway does."""
    from fesf.scripts.gateway import run

    stop = threading.Event()

    def start(self: object) -> None:
        if told:
            stop.set()
        raise EOFError("unexpected EOF")

    monkeypatch.setattr(run.Gateway, "start", start)
    if told:
        assert main(["--config", str(config)], stop) == 0
    else:
        with pytest.raises(EOFError):
            main(["--config", str(config)], stop)
