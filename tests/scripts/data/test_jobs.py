"""Running jobs side by side: order, failures, logs. Processes are real where they matter, else a pool works here."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from fesf.scripts.data import jobs as module
from fesf.scripts.data.grid import Job
from fesf.scripts.data.jobs import logged, run_job, run_jobs


@dataclass(frozen=True)
class Fake(Job):
    """Writes the jobs that it found done; "fail", "die" or "drift" when it runs.

    Args:
        root: folder of all.
        name: its own.
        needs: what it waits for.
        end: how it ends.
    """

    root: Path
    name: str
    needs: tuple[Fake, ...] = ()
    end: str = "well"
    configs: tuple[str, ...] = field(default=("hide",), init=False)  # type: ignore[assignment]

    title = property(lambda self: f"set/0/{self.name}")  # type: ignore[assignment]
    folder = property(lambda self: self.root / self.name)  # type: ignore[assignment]
    settings = property(lambda self: [self.name, (self.root / "version").exists()])  # type: ignore[assignment]
    after = property(lambda self: self.needs)  # type: ignore[assignment]

    def work(self) -> dict[str, Any]:
        print(f"{self.name} at work", flush=True)
        if self.end == "fail":
            raise ValueError("bad luck")
        if self.end == "die":
            os._exit(9)
        if self.end == "drift":
            (self.root / "version").touch()
        done = sorted(path.parent.name for path in self.root.glob("*/done.json"))
        return {"process": os.getpid(), "threads": torch.get_num_threads(), "done": done}


@pytest.fixture(autouse=True)
def threads(monkeypatch: pytest.MonkeyPatch) -> Any:
    """run_jobs and run_job set them: given back at the end."""
    monkeypatch.setenv("OMP_NUM_THREADS", os.environ["OMP_NUM_THREADS"])
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


class Here:
    """A pool that works in this process, at once, and remembers what it was asked."""

    asked: list[str]

    def __init__(self, workers: int, **_: Any) -> None: ...

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *_: object) -> None: ...

    def submit(self, work: Callable[[Job], None], job: Job) -> Future[None]:
        self.asked.append(job.title)
        future: Future[None] = Future()
        try:
            work(job)
            future.set_result(None)
        except Exception as error:
            future.set_exception(error)
        return future


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Titles of the jobs that were started."""
    Here.asked = []
    monkeypatch.setattr(module, "ProcessPoolExecutor", Here)
    return Here.asked


def test_processes_run_side_by_side_after_their_needs_with_logs(tmp_path: Path) -> None:
    """One pool of two: a then (b fails, so c is not started); d needs nothing."""
    a = Fake(tmp_path, "a")
    b = Fake(tmp_path, "b", (a,), "fail")
    c, d = Fake(tmp_path, "c", (b,)), Fake(tmp_path, "d")
    e = Fake(tmp_path, "e", (a, d))
    finished: list[Job] = []
    failed = run_jobs([a, b, c, d, e], 2, finished.append)
    log = tmp_path / "b" / "log.txt"
    assert sorted(failed) == [
        f"set/0/b: ValueError: bad luck (see {log})",
        "set/0/c: not started, what it needs failed",
    ]
    assert set(finished) == {a, d, e}
    assert [job.is_done for job in (a, b, c, d, e)] == [True, False, False, True, True]
    assert {"a", "d"} <= set(e.done["done"])
    assert a.done["process"] != os.getpid()
    assert a.done["threads"] == 1
    assert (tmp_path / "a" / "log.txt").read_text() == "a at work\n"
    assert log.read_text().startswith("b at work\nTraceback")
    assert not (tmp_path / "c").exists()
    assert os.environ["OMP_NUM_THREADS"] == "1"  # what spawned processes read


def test_what_is_on_record_is_done_only_where_something_needs_it(tmp_path: Path, here: list[str]) -> None:
    a, b = Fake(tmp_path, "a"), Fake(tmp_path, "b")
    c, d = Fake(tmp_path, "c", (a,)), Fake(tmp_path, "d", (b,))
    finished: list[Job] = []
    on_record = {a, b, d}
    assert run_jobs([a, b, c, d], 2, finished.append, on_record.__contains__) == []
    assert here == ["set/0/a", "set/0/c"]
    assert finished == [a, c]
    assert run_jobs([a, b, c, d], 2, finished.append, lambda job: True) == []
    assert here == ["set/0/a", "set/0/c"]


def test_a_worker_that_dies_is_reported(tmp_path: Path) -> None:
    dying = Fake(tmp_path, "dying", (), "die")
    lines = run_jobs([dying, Fake(tmp_path, "after", (dying,)), Fake(tmp_path, "other")], 1)
    assert len(lines) == 3
    assert lines[0].startswith("set/0/dying: BrokenProcessPool: A process in the process pool was terminated")
    assert lines[1] == "set/0/after: not started, what it needs failed"
    assert lines[2].startswith("set/0/other: BrokenProcessPool: ")


def test_jobs_start_in_order_as_far_as_their_needs_allow(tmp_path: Path, here: list[str]) -> None:
    last = Fake(tmp_path, "x")
    first = Fake(tmp_path, "y", (last,))
    run_jobs([first, last, Fake(tmp_path, "z")], 1)
    assert here == ["set/0/x", "set/0/y", "set/0/z"]


def test_no_more_at_once_than_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    running: list[int] = []

    def wait(futures: dict[Future[None], Job], **_: Any) -> Any:
        running.append(len(futures))
        done = next(iter(futures))
        return type("Waited", (), {"done": {done}})

    Here.asked = []
    monkeypatch.setattr(module, "ProcessPoolExecutor", Here)
    monkeypatch.setattr(module, "wait", wait)
    assert run_jobs([Fake(tmp_path, str(number)) for number in range(5)], 3) == []
    assert running == [3, 3, 3, 2, 1]


def test_what_was_done_before_is_not_done_again_and_is_told_first(tmp_path: Path, here: list[str]) -> None:
    jobs = [Fake(tmp_path, "a"), Fake(tmp_path, "b")]
    assert run_jobs(jobs[1:], 1) == []
    finished: list[Job] = []
    assert run_jobs(jobs, 1, finished.append) == []
    assert finished == [jobs[1], jobs[0]]
    assert here == ["set/0/b", "set/0/a"]
    (tmp_path / "version").touch()  # other settings, other jobs
    assert run_jobs(jobs, 1) == []
    assert here[2:] == ["set/0/a", "set/0/b"]


def test_failures_stop_nothing_but_what_needs_them(
    tmp_path: Path, here: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    a = Fake(tmp_path, "a", (), "fail")
    b = Fake(tmp_path, "b", (a,))
    failed = run_jobs([a, b, Fake(tmp_path, "c", (b,)), Fake(tmp_path, "d")], 1)
    assert [line.split(":")[0] for line in failed] == ["set/0/a", "set/0/b", "set/0/c"]
    assert [line.split(": ", 1)[1] for line in failed[1:]] == ["not started, what it needs failed"] * 2
    assert here == ["set/0/a", "set/0/d"]

    def refuse(job: Job) -> None:
        raise PermissionError("no folder")

    monkeypatch.setattr(module, "run_job", refuse)
    assert run_jobs([Fake(tmp_path, "e")], 1) == ["set/0/e: PermissionError: no folder"]  # it has no log to read
    monkeypatch.setattr(module, "run_job", functools.partial(_break))
    assert run_jobs([Fake(tmp_path, "a")], 1) == ["set/0/a: BrokenProcessPool: gone"]  # not an older log's error


def _break(job: Job) -> None:
    raise BrokenProcessPool("gone")


def test_a_job_whose_config_changed_meanwhile_ends_the_wait_of_what_needs_it(tmp_path: Path, here: list[str]) -> None:
    drifting = Fake(tmp_path, "a", (), "drift")
    finished: list[Job] = []
    failed = run_jobs([drifting, Fake(tmp_path, "b", (drifting,))], 1, finished.append)
    assert failed == [
        "set/0/a: a config changed while it ran, run the command again",
        "set/0/b: not started, what it needs failed",
    ]
    assert finished == []


def test_a_job_whose_need_is_not_among_the_jobs_does_not_wait_for_ever(tmp_path: Path, here: list[str]) -> None:
    orphan = Fake(tmp_path, "b", (Fake(tmp_path, "a"),))
    assert run_jobs([orphan], 1) == ["set/0/b: not started, what it needs is not done"]
    assert here == []


def fail_in(log: Path) -> None:
    with logged(log):
        print("from Python")
        subprocess.run([sys.executable, "-c", "print('from a child')"], check=True)
        raise ZeroDivisionError("what went wrong")


def test_log_holds_what_the_process_and_its_children_print(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log.txt"
    with open(1, "w", closefd=False) as out, open(2, "w", closefd=False) as err:  # pytest's own write elsewhere
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        kept = [os.fstat(number).st_ino for number in (1, 2)]
        with pytest.raises(ZeroDivisionError):
            fail_in(log)
        assert [os.fstat(number).st_ino for number in (1, 2)] == kept
        text = log.read_text()
        for piece in ("from Python\n", "from a child\n", "Traceback", "ZeroDivisionError: what went wrong"):
            assert piece in text
        with logged(log):
            print("again", file=sys.stderr)
        assert log.read_text() == "again\n"  # a new run, a new log
        print("afterwards", flush=True)
        run_job(Fake(tmp_path, "one"))
        monkeypatch.undo()
    assert log.read_text() == "again\n"
    assert (tmp_path / "one" / "log.txt").read_text() == "one at work\n"
    assert Fake(tmp_path, "one").is_done
