"""Hiding on more than one machine: the hide workflow's engine on a Dask cluster that is already there.

Workers read the images themselves, at the same paths, and answer with surrogates; this process alone writes them, with
the release's lock and journal, so that a run that was cut off goes on here or there and ends in the same bytes. Needs
the extra ``cluster``.
"""

from __future__ import annotations

import copy
import os
import pickle
import queue
import secrets
import time
from asyncio import CancelledError
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from monai.engines import SupervisedEvaluator
from tqdm import tqdm

from fesf.scripts.data.cohort import CohortError, CohortRow
from fesf.scripts.data.keys import load_secret
from fesf.scripts.engines.cluster_address import check_scheduler
from fesf.scripts.engines.sealed import Seal
from fesf.scripts.engines.surrogate_writer import SurrogateWriter

if TYPE_CHECKING:
    from distributed import Client, Future

TASK_IMAGES, TASK_PIXELS = 16, 2**22
"""At most so many images make a task, and fewer where they hold more pixels: what a dead worker costs."""
AHEAD = 3
"""Tasks handed out for each worker: one runs, the others wait there; this process holds no more answers."""
PATIENCE = 60.0
"""Seconds to wait for a worker when none is there, or when all are paused."""
KEPT = "what is finished is kept, run the same command again."
TLS_HELP = (
    "set DASK_DISTRIBUTED__COMM__TLS__CA_FILE, DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT and"
    " DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY to this hospital's own certificates"
)


class ClusterError(ValueError):
    """The cluster cannot be used, or was lost; what is finished is kept."""


def choose_engine(
    scheduler: str | None, evaluator: SupervisedEvaluator, writer: SurrogateWriter
) -> SupervisedEvaluator | ClusterEngine:
    """The engine that hides: the evaluator in this process, or its work on a cluster.

    Args:
        scheduler: address of a Dask scheduler; None for this process.
        evaluator: engine over a :class:`~fesf.scripts.data.cohort.CohortDataset`.
        writer: its writer.

    Raises:
        ValueError: when the address may not be used, or ``distributed`` is not installed.
    """
    return evaluator if scheduler is None else ClusterEngine(scheduler, evaluator, writer)


class ClusterEngine:
    """Hides the release's pending rows on a cluster; see :func:`choose_engine`."""

    def __init__(self, scheduler: str, evaluator: SupervisedEvaluator, writer: SurrogateWriter) -> None:
        self.scheduler = check_scheduler(scheduler)
        try:
            import distributed  # noqa: F401
        except ImportError:
            raise ValueError("scheduler needs Dask: pip install 'fesf[cluster]', or leave it null.") from None
        self.evaluator, self.writer, self.release = evaluator, writer, writer.release

    def run(self) -> None:
        """Hide; results come in any order.

        Raises:
            ClusterError: when scheduler or workers cannot be reached or must not be used.
            CohortError: as the writer and the release raise.
        """
        from fesf.scripts.engines.cluster_worker import HidePlugin, plugin_name

        run = secrets.token_hex(16)
        seal = Seal(load_secret(self.release.secret_file), run)
        with self._connected() as client:
            with _plain("was lost", KEPT):
                client.register_plugin(HidePlugin(run, seal.close(self._job(), "job")))
            try:
                _Tasks(client, run, seal, self.release).work()
            finally:
                with suppress(Exception):  # a scheduler that is gone has no plugin either
                    client.unregister_worker_plugin(plugin_name(run))

    @contextmanager
    def _connected(self) -> Iterator[Client]:
        from distributed import Client, Security

        with _plain("cannot be reached", f"start it, correct the address, or, for tls://, {TLS_HELP}."):
            security = Security()
            if self.scheduler.startswith("tls") and security.get_connection_args("client")["ssl_context"] is None:
                raise ClusterError(f"scheduler is tls:// and this process has no certificates: {TLS_HELP}.")
            client = Client(self.scheduler, security=security, set_as_default=False)
        with client:
            yield client

    def _job(self) -> bytes:
        """What workers need, pickled; nothing of it is a row."""
        from fesf.scripts.engines.cluster_worker import Job

        loader: Any = self.evaluator.data_loader
        dataset, writer = copy.copy(loader.dataset), copy.copy(self.writer)
        dataset.data, dataset.folder = [], Path(os.path.abspath(dataset.folder))
        writer.release = None  # type: ignore[assignment]  # each task has its own
        network = copy.deepcopy(self.evaluator.network).cpu()
        device = str(self.evaluator.state.device)
        recipe = self.release.recipe
        try:
            return pickle.dumps(
                Job(
                    dataset,
                    network,
                    self.evaluator.inferer,
                    writer,
                    recipe,
                    device,
                    self.release.dry_run,
                    recipe.software,
                )
            )
        except Exception as error:
            raise ClusterError(
                f"A component of hide.json cannot be sent to workers ({type(error).__name__}): leave scheduler null, or"
                " undo the override."
            ) from None


class _Tasks:
    """The pending rows as tasks, some of them out at a time."""

    def __init__(self, client: Client, run: str, seal: Seal, release: Any) -> None:
        self.client, self.run, self.seal, self.release = client, run, seal, release
        self.rows = {row.row: row for row in release.pending}
        self.waiting = deque(batches(release.pending, release.recipe.spatial_size))
        self.out: dict[Future, tuple[int, Sequence[CohortRow]]] = {}
        self.done: queue.SimpleQueue[Future] = queue.SimpleQueue()
        self.count, self.workers, self.asked = 0, 0, 0.0
        self.active = time.monotonic()

    def work(self) -> None:
        """Hand out and take in until nothing is left."""
        with tqdm(total=len(self.rows), desc="Hiding", mininterval=1.0) as progress:
            while self.waiting or self.out:
                self._count_workers()
                while self.waiting and len(self.out) < AHEAD * max(1, self.workers):
                    self._submit(self.waiting.popleft())
                try:
                    future = self.done.get(timeout=1.0)
                except queue.Empty:
                    continue
                progress.update(self._take(future))

    def _count_workers(self) -> None:
        """Look how many there are, now and then; give up when there is none, or none at work, for long."""
        started = time.monotonic()
        if started - self.asked < 1.0:
            return
        with _plain("was lost", KEPT):
            workers = self.client.scheduler_info()["workers"].values()
        self.workers, self.asked = len(workers), started
        if not workers or any(worker["status"] != "paused" for worker in workers):
            self.active = started
        if started - self.active > PATIENCE:
            raise ClusterError(
                "The scheduler's workers are all paused: they hold too much of their memory limit. Start dask worker"
                f" with a higher --memory-limit; {KEPT}"
            )
        if not self.workers:
            with _plain("has no worker", f"start dask worker; {KEPT}"):
                self.client.wait_for_workers(1, timeout=PATIENCE)

    def _submit(self, rows: Sequence[CohortRow]) -> None:
        from fesf.scripts.engines.cluster_worker import hide_task

        number = self.count
        self.count += 1
        bare = [replace(row, label="", patient="", study="", split="") for row in rows]
        sealed = self.seal.close(pickle.dumps(bare), f"task {number}")
        with _plain("was lost", KEPT):
            future = self.client.submit(
                hide_task, self.run, number, sealed, key=f"fesf-hide-{self.run}-{number}", pure=False
            )
        self.out[future] = (number, rows)
        future.add_done_callback(self.done.put)

    def _take(self, future: Future) -> int:
        """Take one answer in; returns how many rows it settled."""
        from distributed import KilledWorker

        from fesf.scripts.engines.cluster_worker import Answer

        number, rows = self.out.pop(future)
        with _plain("was lost", KEPT):
            failure = future.exception() if future.status == "error" else None
            sealed = "" if failure is not None else future.result()
        if isinstance(failure, KilledWorker):
            return self._killed(rows)
        if failure is not None:
            raise ClusterError(
                f"The cluster could not run a task ({type(failure).__name__}): install the same fesf where"
                " scheduler and the workers run."
            )
        if isinstance(sealed, str):
            raise ClusterError(sealed)
        answer: Answer = pickle.loads(self.seal.open(sealed, f"answer {number}"))  # authentic, or it would not open
        if answer.refusal:
            raise ClusterError(answer.refusal)
        for result in answer.results:
            row = self.rows[result.row]
            if result.check is None:
                self.release.exclude(row, result.reason)
            else:
                self.release.add(row, result.content, result.clipped, result.check)
        if answer.stop:
            raise CohortError(answer.stop)
        return len(answer.results)

    def _killed(self, rows: Sequence[CohortRow]) -> int:
        """Workers died of a task again and again: look for the row that did it."""
        if len(rows) > 1:
            self.waiting.extend([row] for row in rows)
            return 0
        reason = f"Row {rows[0].row} of the cohort: each worker that read its image was killed, perhaps for its memory."
        self.release.exclude(rows[0], reason)
        return 1


def batches(rows: Sequence[CohortRow], spatial_size: Sequence[int]) -> list[Sequence[CohortRow]]:
    """Rows in groups of a task, in their order; see :data:`TASK_IMAGES`."""
    length = max(1, min(TASK_IMAGES, TASK_PIXELS // int(np.prod(spatial_size))))
    return [rows[start : start + length] for start in range(0, len(rows), length)]


@contextmanager
def _plain(what: str, cure: str) -> Iterator[None]:
    """Turn what Dask and the network raise into one line."""
    try:
        yield
    except ClusterError:
        raise
    except (Exception, CancelledError) as error:
        raise ClusterError(f"The scheduler {what} ({type(error).__name__}): {cure}") from None
