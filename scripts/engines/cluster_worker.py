"""What runs on a worker of a cluster: it opens a sealed task, reads the images, hides them, and seals the answer.

The same data set, network, inferer and writer as in one process do the work; a writer's release is stood in for by
:class:`Collected`. A task never raises, so that neither Dask's logs nor its tracebacks hold a path; images and other
plaintext are local to a task and never a value that Dask keeps.
"""

from __future__ import annotations

import copy
import logging
import os
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from distributed import Worker, WorkerPlugin, get_worker

from fesf.scripts.data.keys import derive_key, forbid_core_dumps, keyed_id, load_secret
from fesf.scripts.engines.cluster_address import is_private
from fesf.scripts.engines.sealed import Seal, SealError

if TYPE_CHECKING:  # the scheduler imports this module, and needs neither torch nor MONAI
    from fesf.scripts.data.cohort import CohortRow
    from fesf.scripts.data.phase import PhaseCheck
    from fesf.scripts.data.recipe import Recipe

SECRET_FILE_VARIABLE = "FESF_SECRET_FILE"
NO_SECRET = (
    f"A worker has no secret that it may read: set {SECRET_FILE_VARIABLE} (a file of mode 0600) or FESF_SECRET in the"
    " environment of dask worker."
)
OTHER_SECRET = "A worker has another secret than this process: give all the same one."
NO_SPILL = "DASK_DISTRIBUTED__WORKER__MEMORY__TARGET=false DASK_DISTRIBUTED__WORKER__MEMORY__SPILL=false"


@dataclass
class Job:
    """What a worker needs for a run, apart from the rows.

    Args:
        dataset: :class:`~fesf.scripts.data.cohort.CohortDataset` without rows, its folder absolute.
        network: makes surrogates.
        inferer: calls it.
        writer: :class:`~fesf.scripts.engines.surrogate_writer.SurrogateWriter` without a release.
        recipe: the release's recipe.
        device: name of a torch device.
        dry_run: whether nothing is written.
        software: versions that all must have, since others may round a float differently.
        refusal: why this worker cannot do it; set there.
    """

    dataset: Any
    network: Any
    inferer: Any
    writer: Any
    recipe: Recipe
    device: str
    dry_run: bool
    software: Mapping[str, str]
    refusal: str = ""


class Result(NamedTuple):
    """What became of one row: a surrogate's file with its figures, or the reason to set it aside."""

    row: int
    content: bytes = b""
    clipped: float = 0.0
    check: PhaseCheck | None = None
    reason: str = ""


class Answer(NamedTuple):
    """What a task gives back.

    Args:
        results: of the rows that came through, in their order.
        stop: text of the error that ends the run; empty for none.
        refusal: why this worker must not work; empty for none.
    """

    results: Sequence[Result] = ()
    stop: str = ""
    refusal: str = ""


class Collected:
    """Takes the writer's surrogates in a release's stead.

    Args:
        job: the run's job.
        rows: of the task.
        secret: the hospital's secret, of which ids are made.
    """

    def __init__(self, job: Job, rows: Sequence[CohortRow], secret: bytes) -> None:
        self.recipe, self.dry_run, self.pending = job.recipe, job.dry_run, rows
        self._key = derive_key(secret, job.recipe.release_id, "image")
        self.results: list[Result] = []

    def id_of(self, row: CohortRow) -> str:
        """As :meth:`fesf.scripts.data.release.Release.id_of`."""
        return keyed_id(self._key, *row.key)

    def add(self, row: CohortRow, content: bytes, clipped: float, check: PhaseCheck) -> None:
        """As :meth:`fesf.scripts.data.release.Release.add`; the release itself judges the check."""
        self.results.append(Result(row.row, content, clipped, check))

    def exclude(self, row: CohortRow, reason: str) -> None:
        """As :meth:`fesf.scripts.data.release.Release.exclude`; the release itself decides whether to stop."""
        self.results.append(Result(row.row, reason=reason))


class HidePlugin(WorkerPlugin):
    """Brings a run's job to each worker, also to one that comes later; it is opened by the first task there.

    Args:
        run: name of the run.
        sealed: the job, pickled and sealed.
    """

    def __init__(self, run: str, sealed: bytes) -> None:
        self.name, self.sealed = plugin_name(run), sealed
        self._job: Job | None = None

    def job(self, seal: Seal) -> Job:
        """The opened job, its network on its device."""
        if self._job is None:
            import torch

            forbid_core_dumps()
            torch.set_num_threads(1)
            opened: Job = pickle.loads(seal.open(self.sealed, "job"))  # authentic, or it would not open
            opened.network = opened.network.to(torch.device(opened.device))
            opened.refusal = _other_software(opened)
            self._job = opened
        return self._job


def plugin_name(run: str) -> str:
    """Name of a run's plugin on the workers."""
    return f"fesf-hide-{run}"


def hide_task(run: str, number: int, sealed: bytes) -> bytes | str:
    """The task: hide some rows.

    Args:
        run: name of the run.
        number: of the task in the run.
        sealed: its rows, pickled and sealed.

    Returns:
        A pickled :class:`Answer`, sealed; or, where this worker cannot seal, a fixed text that says why.
    """
    try:
        secret = load_secret(os.environ.get(SECRET_FILE_VARIABLE))
    except (ValueError, OSError):
        return NO_SECRET
    seal = Seal(secret, run)
    try:
        rows = pickle.loads(seal.open(sealed, f"task {number}"))
    except SealError:
        return OTHER_SECRET
    worker = get_worker()
    try:
        refusal = unfit(worker)
        plugin: Any = worker.plugins[plugin_name(run)]
        answer = Answer(refusal=refusal) if refusal else _hide(plugin.job(seal), rows, secret)
    except Exception as error:  # its text may hold a path
        named = ", ".join(str(row.row) for row in rows)
        answer = Answer(
            stop=f"A worker failed ({type(error).__name__}) at one of the rows {named} of the cohort: hide"
            " without scheduler to see where."
        )
    return seal.close(pickle.dumps(answer), f"answer {number}")


def unfit(worker: Worker) -> str:
    """Why a worker must not hide, with the cure; empty when it may."""
    if not is_private(worker.address):
        return "A worker listens without TLS off the loopback: start dask worker with a tls:// scheduler."
    if type(worker.data) is not dict:
        return f"A worker may write its memory to disk: start dask worker with {NO_SPILL}."
    if worker.state.nthreads != 1 or os.environ.get("OMP_NUM_THREADS") != "1":
        return "A worker has several threads: start dask worker with --nthreads 1 and OMP_NUM_THREADS=1."
    return ""


def _other_software(job: Job) -> str:
    found = job.recipe.software
    other = [f"{name} {found[name]} (here {wanted})" for name, wanted in job.software.items() if found[name] != wanted]
    return f"A worker has other software: {', '.join(other)}. Install the same everywhere." if other else ""


def _hide(job: Job, rows: Sequence[CohortRow], secret: bytes) -> Answer:
    if job.refusal:
        return Answer(refusal=job.refusal)
    import torch
    from monai.data import DataLoader
    from monai.engines import SupervisedEvaluator

    from fesf.scripts.data.cohort import CohortError

    dataset, writer = copy.copy(job.dataset), copy.copy(job.writer)
    dataset.data, writer.release = rows, Collected(job, rows, secret)
    engine = SupervisedEvaluator(
        device=torch.device(job.device),
        val_data_loader=DataLoader(dataset, batch_size=1),
        network=job.network,
        inferer=job.inferer,
        decollate=False,
        val_handlers=[writer],
    )
    engine.logger.setLevel(logging.CRITICAL)  # the client says what went wrong
    try:
        engine.run()
    except CohortError as error:
        return Answer(writer.release.results, stop=str(error))
    return Answer(writer.release.results)
