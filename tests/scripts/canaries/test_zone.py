"""Commands in a zone: its user, host and folders, logging at DEBUG, all warnings, faults, and the status."""

from __future__ import annotations

import io
import json
import logging
import os
import platform
import socket
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from fesf.scripts.canaries import zone as canary_zone
from fesf.scripts.canaries.zone import Zone, obey, serve

SAYS = """
import getpass, logging, os, socket, sys, tempfile, warnings
logging.getLogger("any").debug("a debug line")
warnings.warn("a warning")
print(getpass.getuser(), socket.gethostname(), tempfile.gettempdir(), os.path.expanduser("~"), os.getcwd(), sys.argv[1])
for _ in range(2 * (sys.argv[1] == "kill")):
    open("new", "w").close()
    os.replace("new", "old")
sys.exit(int(sys.argv[2]))
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "says.py").write_text(SAYS)
    paths = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'code'}{os.pathsep}{paths}")
    monkeypatch.syspath_prepend(tmp_path / "code")
    return "says"


def test_a_zone_runs_commands(tmp_path: Path, module: str) -> None:
    place, logs = tmp_path / "zone", tmp_path / "logs"
    zone = Zone(place, logs, "QZUSER", "QZHOST", ["json"])
    try:
        assert [zone.run(f"run{n}", module, "said", n) for n in (0, 3)] == [0, 3]
        assert zone.run("missing", "no_such_module") == 1
        assert zone.run("killed", module, "kill", 0, fault="killed") == -9
    finally:
        zone.close()
    said = (logs / "run3.log").read_text()
    assert f"QZUSER QZHOST {place}/tmp {place}/home {place}/work said" in said
    assert "DEBUG:any:a debug line" in said
    assert "UserWarning: a warning" in said
    assert "No module named no_such_module" in (logs / "missing.log").read_text()
    assert (logs / "run3.log").stat().st_mode & 0o777 == 0o600


def test_a_zone_that_ended_is_noticed(tmp_path: Path) -> None:
    zone = Zone(tmp_path / "zone", tmp_path / "logs", "user", "host", ["no_such_module"])
    with pytest.raises(RuntimeError, match=r"The zone's process ended: see .*zone.log"):
        zone.run("run", "says")
    zone.close()
    assert "No module named 'no_such_module'" in (tmp_path / "logs" / "zone.log").read_text()


@pytest.fixture
def _own_streams(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a zone changes of its process, put back."""
    kept, folder, root = [os.dup(stream) for stream in range(3)], os.getcwd(), logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    monkeypatch.setattr(socket, "gethostname", socket.gethostname)
    monkeypatch.setattr(platform, "node", platform.node)
    monkeypatch.setattr(sys, "argv", sys.argv[:])
    with warnings.catch_warnings():
        yield
    for stream, copy in enumerate(kept):
        os.dup2(copy, stream)
        os.close(copy)
    os.chdir(folder)
    root.setLevel(level)
    root.handlers[:] = handlers


@pytest.mark.usefixtures("_own_streams")
def test_obey(tmp_path: Path, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put_in: list[str] = []
    monkeypatch.setitem(canary_zone.FAULTS, "any", lambda: put_in.append("any"))
    request = {"argv": [module, "said", "0"], "log": str(tmp_path / "log"), "fault": "any", "folder": str(tmp_path)}
    with pytest.warns(UserWarning, match="a warning"), pytest.raises(SystemExit):
        obey(request)
    assert put_in == ["any"]
    assert os.getcwd() == str(tmp_path)


@pytest.mark.usefixtures("_own_streams")
def test_serve_answers_in_the_parent_and_returns_in_the_child(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    forks = iter([4711, 0])
    monkeypatch.setattr(os, "fork", lambda: next(forks))
    monkeypatch.setattr(os, "waitpid", lambda *_: (4711, 9))
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"a": 1}\n{"a": 2}\n'))
    answers = os.open(tmp_path / "answers", os.O_RDWR | os.O_CREAT)
    os.dup2(answers, 1)
    os.close(answers)
    assert serve("QZHOST", ["json"]) == {"a": 2}
    assert socket.gethostname() == platform.node() == "QZHOST"
    assert json.loads((tmp_path / "answers").read_text()) == -9
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert serve("QZHOST", []) is None
