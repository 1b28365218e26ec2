"""What checks against real platforms share: steps that are timed, workflows that are run, a page that is written."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fesf.scripts.data.files import SHARED, to_json, write_atomic
from fesf.scripts.data.provenance import provenance


class PlatformCheck:
    """A check in a folder of its own.

    Args:
        work: an empty folder.

    Attributes:
        checks: what must hold, by name.
        seconds: of each step.
        environment: of the processes that are started.
    """

    def __init__(self, work: Path) -> None:
        self.work = work.resolve()
        self.checks: dict[str, bool] = {}
        self.seconds: dict[str, float] = {}
        self.environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}

    def run(self) -> dict[str, Any]:
        """All steps; returns what the page says beside checks and seconds."""
        raise NotImplementedError

    def _timed(self, name: str, step: Callable[[], Any]) -> Any:
        print(f"{name} ...", file=sys.stderr, flush=True)
        start = time.monotonic()
        found = step()
        self.seconds[name] = round(time.monotonic() - start, 1)
        return found

    def _python(self, *words: str, cwd: Path | None = None, **environment: str) -> tuple[int, str]:
        """Run ``python`` with these words; returns its status and what it printed."""
        done = subprocess.run(
            [sys.executable, *words],
            cwd=cwd or self.work,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def _bundle(self, run_id: str, config: str | Path, cwd: Path, *words: str, **environment: str) -> tuple[int, str]:
        """A workflow of the bundle, as :meth:`_python` returns it."""
        return self._python(
            "-m", "monai.bundle", "run", run_id, "--config_file", str(config), *words, cwd=cwd, **environment
        )

    def _run(self, *arguments: Any) -> None:
        """A workflow that must end well.

        Raises:
            RuntimeError: when it does not.
        """
        status, output = self._bundle(*arguments)
        if status:
            raise RuntimeError(f"{arguments[0]} ended with {status}: {output[-2000:]}")


def write_page(make: Callable[[Path], PlatformCheck], path: Path, command: str, packages: Sequence[str]) -> int:
    """Run a check in a folder that is deleted afterwards, write its page and list its checks.

    Args:
        make: gives the check for a folder.
        path: the JSON file.
        command: that anyone can run to get it again.
        packages: distributions whose versions the page gives.

    Returns:
        0, or 1 where a step or a check failed; no page is written where a step did.
    """
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fesf-check-") as work:
        check = make(Path(work))
        try:
            found = check.run()
        except RuntimeError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    found |= {"checks": check.checks, "seconds": check.seconds | {"all": round(time.monotonic() - start, 1)}}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, to_json(provenance(command, packages) | found), SHARED)
    for name, passed in check.checks.items():
        print(f"{'ok  ' if passed else 'FAIL'} {name}")
    return 0 if all(check.checks.values()) else 1
