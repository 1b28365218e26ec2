"""Running jobs side by side, each once those before it are done, with their output in files."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from fesf.scripts.data.grid import Job
from fesf.scripts.data.steps import error_line

LOG = "log.txt"


def run_job(job: Job) -> None:
    """Do one job on one thread; what it prints goes to ``log.txt`` in its folder."""
    torch.set_num_threads(1)
    job.folder.mkdir(parents=True, exist_ok=True)
    with logged(job.folder / LOG):
        job.execute()


def run_jobs(
    jobs: Sequence[Job],
    workers: int,
    finished: Callable[[Any], None] = lambda job: None,
    on_record: Callable[[Any], bool] = lambda job: False,
) -> list[str]:
    """Do what is missing, in order as far as their needs allow.

    Args:
        jobs: each after those that it waits for.
        workers: how many at once.
        finished: called in this process with every job that is done here, those done before too.
        on_record: whether a job that is not done here need not be; it is done all the same where another needs it.

    Returns:
        A line for each job that failed or could not start.
    """
    os.environ["OMP_NUM_THREADS"] = "1"  # two processes with two threads each take several times longer
    missing = [job for job in jobs if not job.is_done]
    wanted = {job for job in missing if not on_record(job)}
    wanted |= {before for job in wanted for before in job.after}
    waiting, failed = [job for job in missing if job in wanted], []
    for job in (job for job in jobs if job not in missing):
        finished(job)
    bad: set[Job] = set()
    with (
        ProcessPoolExecutor(workers, mp_context=get_context("spawn"), max_tasks_per_child=8) as pool,
        tqdm(total=len(waiting), desc="Jobs") as bar,
    ):
        running: dict[Future[None], Job] = {}
        while waiting or running:
            for job in list(waiting):
                if bad.intersection(job.after):
                    waiting.remove(job)
                    bad.add(job)
                    failed.append(f"{job.title}: not started, what it needs failed")
                    bar.update()
                elif len(running) < workers and all(before.is_done for before in job.after):
                    waiting.remove(job)
                    running[_submit(pool, job)] = job
            if waiting and not running:  # nothing can start any more
                failed += [f"{job.title}: not started, what it needs is not done" for job in waiting]
                break
            done = wait(running, return_when=FIRST_COMPLETED).done
            for future in [future for future in running if future in done]:  # in the order that they were started
                job, error = running.pop(future), future.exception()
                bar.update()
                if error is None and job.is_done:
                    finished(job)
                else:
                    bad.add(job)
                    failed.append(_failure(job, error))
    return failed


def _submit(pool: ProcessPoolExecutor, job: Job) -> Future[None]:
    try:
        return pool.submit(run_job, job)
    except BrokenProcessPool as error:  # a process was killed: the rest fails, tables are written all the same
        future: Future[None] = Future()
        future.set_exception(error)
        return future


def _failure(job: Job, error: BaseException | None) -> str:
    log = job.folder / LOG
    if error is None:
        return f"{job.title}: a config changed while it ran, run the command again"
    if isinstance(error, BrokenProcessPool) or not log.is_file():
        return f"{job.title}: {type(error).__name__}: {error}"  # killed, for want of memory perhaps
    return f"{job.title}: {error_line(log)} (see {log})"


@contextlib.contextmanager
def logged(path: Path) -> Iterator[None]:
    """Send what this process prints, its libraries included, to a file; an error's text goes there too."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    with open(path, "w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        try:
            yield
        except Exception:
            traceback.print_exc()
            raise
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(kept[0], 1)
            os.dup2(kept[1], 2)
            os.close(kept[0])
            os.close(kept[1])
