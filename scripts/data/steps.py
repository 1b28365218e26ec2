"""Running commands one after another or side by side, each timed, logged, and skipped when it is already done.

A step is done when its marker says so under the same key: a digest of its command, of the files it reads and of the
steps before it. Another option gives another key, so that the step and all that follow run again.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

from fesf.scripts.data.files import make_private_folder, to_json, write_atomic

POLL_SECONDS = 0.2
TAIL_BYTES = 65536

_ERROR = re.compile(r"^(?:[\w.]*(?:Error|Exception|Interrupt|Warning)\b|error:|\S+: error:)")


@dataclass(frozen=True)
class Step:
    """One command.

    Args:
        name: short name, of the marker and the log.
        title: what the user reads.
        command: program and arguments.
        after: names of the steps that must be done before.
        inputs: files whose content counts: another content, another run.
        environment: variables on top of the caller's.
    """

    name: str
    title: str
    command: tuple[str, ...]
    after: tuple[str, ...] = ()
    inputs: tuple[Path, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The command as a user would type it."""
        words = ["python" if word == sys.executable else quote(word) for word in self.command]
        return " ".join([*(f"{name}={value}" for name, value in self.environment.items()), *words])


def quote(word: str) -> str:
    """A word as a shell takes it; in double quotes where that reads better.

    >>> print(quote("run/store"), quote("[64, 64]"), quote("['a.json','b.json']"), quote("it's $5"))
    run/store '[64, 64]' "['a.json','b.json']" 'it'"'"'s $5'
    """
    return f'"{word}"' if "'" in word and not set(word) & set('"$`\\!\n') else shlex.quote(word)


class StepError(RuntimeError):
    """A step failed; the text holds its title, the last error line of its log, and the log's path."""


def error_line(log: str | Path) -> str:
    """The last line of a log that looks like an error, else the last line that is not empty."""
    with open(log, "rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
        tail = file.read().decode("utf-8", "replace")
    lines = [line.strip() for line in tail.replace("\r", "\n").splitlines() if line.strip()]
    errors = [line for line in lines if _ERROR.match(line)]
    return (errors or lines or ["no output"])[-1]


class Runner:
    """Runs steps and remembers which are done.

    Args:
        folder: where markers (``steps/``) and logs (``logs/``) go; both are made private, commands name the hospital's
            files.
        jobs: how many steps may run at once.
        stream: where progress goes.
    """

    def __init__(self, folder: str | Path, jobs: int = 1, stream: TextIO | None = None) -> None:
        self.markers = make_private_folder(Path(folder) / "steps")
        self.logs = make_private_folder(Path(folder) / "logs")
        self.jobs = jobs
        self.stream = stream or sys.stderr
        self._keys: dict[str, str] = {}
        self._shown = 0

    def run(self, steps: Sequence[Step]) -> None:
        """Run what is not done yet, each step once the steps it comes after are.

        Args:
            steps: each names only earlier ones in ``after``, of this call or of an earlier one.

        Raises:
            StepError: when a step fails; steps that run beside it are stopped.
        """
        waiting = list(steps)
        running: dict[str, tuple[Step, subprocess.Popen[bytes], float]] = {}
        try:
            while waiting or running:
                for step in self._ready(waiting, running):
                    waiting.remove(step)
                    self._keys[step.name] = self._key(step)
                    done = self.done(step)
                    if done is not None:
                        self._say(f"  {step.title}: done before, {done['seconds']:.0f} s")
                    else:
                        running[step.name] = (step, self._start(step), time.monotonic())
                for name in [name for name, (_, process, _) in running.items() if process.poll() is not None]:
                    step, process, start = running.pop(name)
                    self._finish(step, process.returncode, time.monotonic() - start)
                if running:
                    self._progress(running)
                    time.sleep(POLL_SECONDS)
        finally:
            for _, process, _ in running.values():
                process.terminate()
            for _, process, _ in running.values():
                process.wait()

    def done(self, step: Step) -> dict[str, Any] | None:
        """The step's marker, if it is of this key."""
        try:
            marker: dict[str, Any] = json.loads((self.markers / f"{step.name}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return marker if marker.get("key") == self._key(step) else None

    def _ready(self, waiting: Sequence[Step], running: Mapping[str, Any]) -> Iterator[Step]:
        pending = {step.name for step in waiting} | set(running)
        for step in list(waiting):
            if len(running) < self.jobs and not pending & set(step.after):
                yield step
                if step.name not in running:  # it was done before
                    pending.discard(step.name)

    def _key(self, step: Step) -> str:
        inputs = [hashlib.sha256(path.read_bytes()).hexdigest() for path in step.inputs]
        before = [self._keys[name] for name in step.after]
        document = [version("fesf"), step.command[1:], dict(step.environment), inputs, before]
        return hashlib.sha256(json.dumps(document).encode()).hexdigest()

    def _log(self, step: Step) -> Path:
        return self.logs / f"{step.name}.log"

    def _start(self, step: Step) -> subprocess.Popen[bytes]:
        (self.markers / f"{step.name}.json").unlink(missing_ok=True)
        self._say(f"  {step.title} ...")
        with open(self._log(step), "wb") as log:
            log.write(f"$ {step.text}\n".encode())
            log.flush()
            return subprocess.Popen(
                step.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **step.environment},
            )

    def _finish(self, step: Step, status: int, seconds: float) -> None:
        if status != 0:
            raise StepError(f"{step.title} failed: {error_line(self._log(step))}\nLog: {self._log(step)}")
        marker = {"key": self._keys[step.name], "seconds": round(seconds, 1), "title": step.title, "command": step.text}
        write_atomic(self.markers / f"{step.name}.json", to_json(marker))
        self._say(f"  {step.title}: {seconds:.0f} s")

    def _progress(self, running: Mapping[str, tuple[Step, Any, float]]) -> None:
        if self.stream.isatty():
            now = time.monotonic()
            parts = [f"{step.title} {now - start:.0f} s" for step, _, start in running.values()]
            line = ("  " + ", ".join(parts))[:100]
            self.stream.write("\r" + line.ljust(self._shown))
            self.stream.flush()
            self._shown = len(line)

    def _say(self, text: str) -> None:
        if self._shown:
            self.stream.write("\r" + " " * self._shown + "\r")
            self._shown = 0
        print(text, file=self.stream, flush=True)


def read_markers(folder: str | Path, names: Sequence[str]) -> list[dict[str, Any]]:
    """Markers of the named steps that are done: title, command and seconds, in the order of ``names``."""
    paths = [Path(folder) / "steps" / f"{name}.json" for name in names]
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.is_file()]
