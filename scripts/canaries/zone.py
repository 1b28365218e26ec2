"""A zone: a process that holds the imported packages and forks a child for each command of its user on its host.

A command runs as ``python -W always -m module ...`` would, with the root logger at DEBUG, its own home and temporary
folder, and its output in a file; a fault may be put in first.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import runpy
import socket
import subprocess
import sys
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from fesf.scripts.canaries.faults import FAULTS

PLACES = {"HOME": "home", "TMPDIR": "tmp", "XDG_CACHE_HOME": "home/.cache", "MPLCONFIGDIR": "home/matplotlib"}


class Zone:
    """The parent's side.

    Args:
        folder: gets ``home``, ``tmp`` and ``work``, in which commands run.
        logs: folder of the captured outputs.
        user: name of the user.
        host: name of the host.
        modules: what to import before the first command.
    """

    def __init__(self, folder: Path, logs: Path, user: str, host: str, modules: Sequence[str]) -> None:
        self.folder, self.logs = folder, logs
        logs.mkdir(parents=True)
        for place in (*PLACES.values(), "work"):
            (folder / place).mkdir(parents=True, exist_ok=True)
        own = {name: str(folder / place) for name, place in PLACES.items()}
        own |= dict.fromkeys(("USER", "LOGNAME", "USERNAME"), user) | {"HOSTNAME": host, "FESF_TRACEBACK": "1"}
        own |= {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "always", "MLFLOW_DISABLE_TELEMETRY": "true"}
        command = [sys.executable, "-m", "fesf.scripts.canaries.zone", host, *modules]
        with open(logs / "zone.log", "wb") as log:
            self._process = subprocess.Popen(
                command, env=os.environ | own, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )

    def run(self, name: str, *command: object, fault: str = "") -> int:
        """Run ``python -m`` with a command and wait.

        Args:
            name: of the captured output.
            command: module and arguments.
            fault: a key of :data:`fesf.scripts.canaries.faults.FAULTS`.

        Returns:
            The exit status; negative for a signal.
        """
        request = {"argv": [str(word) for word in command], "log": str(self.logs / f"{name}.log"), "fault": fault}
        pipe: Any = self._process
        with suppress(BrokenPipeError):  # then there is no answer
            pipe.stdin.write(json.dumps(request | {"folder": str(self.folder / "work")}) + "\n")
            pipe.stdin.flush()
        answer = pipe.stdout.readline()
        if not answer:
            raise RuntimeError(f"The zone's process ended: see {self.logs / 'zone.log'}.")
        return int(answer)

    def close(self) -> None:
        """End the process."""
        pipe: Any = self._process
        with suppress(BrokenPipeError):
            pipe.stdin.close()
        pipe.wait()
        pipe.stdout.close()


def serve(host: str, modules: Sequence[str]) -> Mapping[str, Any] | None:
    """The zone's side: answer requests with the status of each command; a child returns with its request."""
    socket.gethostname = platform.node = lambda: host
    logging.basicConfig(level=logging.DEBUG)
    for module in modules:
        import_module(module)
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        for line in sys.stdin:
            child = os.fork()
            if child == 0:
                request: Mapping[str, Any] = json.loads(line)
                return request
            answers.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
            answers.flush()
    return None


def obey(request: Mapping[str, Any]) -> None:
    """Run a request's command in this process, its output in the request's file."""
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.chdir(request["folder"])
    logging.basicConfig(level=logging.DEBUG, force=True)
    warnings.resetwarnings()
    warnings.simplefilter("always")
    if request["fault"]:
        FAULTS[request["fault"]]()
    module, *arguments = request["argv"]
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    received = serve(sys.argv[1], sys.argv[2:])
    if received is not None:
        obey(received)
