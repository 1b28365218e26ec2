"""Kill hide at random moments, resume it, and compare: ``python -m tests.bundle.kill_hide --kills 20``.

One process imports everything and forks a child for each attempt, which kills itself with SIGKILL: before a random file
operation in the store or the hospital's folder, or after a random time. Each attempt goes on from what the one before
left. Whenever one comes through, its store and hospital folder are compared with those of an uninterrupted run, bytes,
modes and times, and the next round begins anew.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from monai.bundle import ConfigWorkflow

from fesf.scripts.make_demo import make_demo

CONFIG = Path(__file__).parents[2] / "bundle" / "configs" / "hide.json"
EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.chmod", "os.utime", "os.truncate"}


def hide(demo: Path, root: Path, workers: int) -> None:
    """One run of hide.json into ``root/out/store`` and ``root/hospital``."""
    ids: dict[str, Any] = {"cohort": str(demo / "cohort.csv"), "hosts_dir": str(demo / "hosts")}
    ids |= {"secret_file": str(demo / "secret"), "image_size": [32, 32], "device": "$torch.device('cpu')"}
    ids |= {"store_dir": str(root / "out" / "store"), "hospital_dir": str(root / "hospital"), "num_workers": workers}
    run = ConfigWorkflow(str(CONFIG), workflow_type="infer", run_id="hiding", logging_file=False, **ids)
    run.initialize()
    run.run()
    run.finalize()


def count_operations(root: Path, act: Callable[[int], None]) -> None:
    """Call ``act`` with 1, 2, ... before each file operation of this process under ``root``."""
    number, prefix, owner = [0], str(root), os.getpid()

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in EVENTS or os.getpid() != owner or not isinstance(arguments[0], str | os.PathLike):
            return
        if os.fspath(arguments[0]).startswith(prefix):
            number[0] += 1
            act(number[0])

    sys.addaudithook(hook)


def in_child(log: Path, work: Callable[[], None]) -> int:
    """Run in a fork; its output goes to ``log``. Returns what ``os.waitpid`` says of it."""
    child = os.fork()
    if child == 0:
        with open(log, "wb") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1]


def state(root: Path) -> dict[str, tuple[bytes | None, int, int]]:
    """Content, mode and (in the store) time of everything that a run leaves."""
    found = {}
    for path in sorted([*(root / "out").rglob("*"), *(root / "hospital").rglob("*")]):
        held = path.stat()
        stored = (root / "out" / "store") in (path, *path.parents)
        content = path.read_bytes() if path.is_file() else None
        found[str(path.relative_to(root))] = (content, held.st_mode, held.st_mtime_ns if stored else 0)
    return found


def phase(root: Path) -> str:
    """How far the run was that has just been killed."""
    if (root / "out" / "store").exists():
        return "after publishing"
    if (root / "hospital" / "linkage.csv").exists():
        return "while publishing"
    if list(root.glob("out/store.partial/images/*.png")):
        return "while hiding"
    return "before the first image"


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_and_resume(work: Path, kills: int, seed: int, patients: int = 16) -> Counter[str]:
    """Do it; returns how many kills fell into each phase, and "equal": how many finished stores were compared.

    Raises:
        AssertionError: when a run fails by itself, or ends in other bytes than the uninterrupted one.
    """
    demo, whole, log = work / "demo", work / "whole", work / "log"
    make_demo(demo, patients=patients, size=32)
    counted = work / "operations"

    def uninterrupted() -> None:
        count_operations(whole, lambda number: counted.write_text(str(number)))
        hide(demo, whole, 0)

    start = time.monotonic()
    assert in_child(log, uninterrupted) == 0, log.read_text()
    duration, operations = time.monotonic() - start, int(counted.read_text())
    expected, draw, found, root = state(whole), random.Random(seed), Counter[str](), work / "killed"
    while sum(found.values()) - found["equal"] < kills or not found["equal"]:
        enough = sum(found.values()) - found["equal"] >= kills
        moment = 1 + int(
            operations * draw.random() ** 2
        )  # publishing has more operations than hiding: lean to the start
        seconds = draw.uniform(0, duration)
        by_time, workers = draw.random() < 0.3, 2 * (draw.random() < 0.1)

        def attempt(
            moment: int = moment, seconds: float = seconds, by_time: bool = by_time, workers: int = workers,
            enough: bool = enough,
        ) -> None:  # fmt: skip
            if not enough and by_time:
                timer = threading.Timer(seconds, die)
                timer.daemon = True
                timer.start()
            elif not enough:
                count_operations(root, lambda number: die() if number == moment else None)
            hide(demo, root, workers)

        status = in_child(log, attempt)
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL, log.read_text()
            found[phase(root)] += 1
            continue
        assert status == 0, log.read_text()
        assert state(root) == expected, "the store differs from an uninterrupted one"
        found["equal"] += 1
        shutil.rmtree(root)
    return found


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description="Kill hide at random moments and compare what it ends in.")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        found = kill_and_resume(Path(folder), options.kills, options.seed)
    equal = found.pop("equal")
    phases = ", ".join(f"{count} {name}" for name, count in sorted(found.items()))
    print(
        f"{sum(found.values())} kills (seed {options.seed}): {phases}. {equal} finished stores, all equal to an"
        f" uninterrupted one byte for byte. {time.monotonic() - start:.0f} s."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
