"""The client's side of a cluster with made-up workers: what it does when they die, disagree or are gone."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import dask
import pytest
from distributed import KilledWorker

from fesf.scripts.data.cohort import CohortError, CohortRow
from fesf.scripts.data.phase import PhaseCheck
from fesf.scripts.engines import cluster
from fesf.scripts.engines.cluster import ClusterEngine, ClusterError, batches, choose_engine
from fesf.scripts.engines.cluster_worker import Answer, Result
from fesf.scripts.engines.sealed import Seal

SEAL = Seal(b"s" * 32, "run")
ROWS = [CohortRow(number, f"{number}.png", "yes", "Anna Schmidt", "study") for number in range(2, 12)]


class Future:
    """Is done at once, with what a worker's function made of its rows."""

    def __init__(self, outcome: Any) -> None:
        self.outcome = outcome
        failed = isinstance(outcome, BaseException)
        self.status = "cancelled" if isinstance(outcome, KeyError) else "error" if failed else "finished"

    def add_done_callback(self, function: Callable[[Any], None]) -> None:
        function(self)

    def exception(self) -> Any:
        return self.outcome

    def result(self) -> Any:
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome


class Client:
    """A cluster whose workers do ``work`` with the rows of a task."""

    status = "running"

    def __init__(self, work: Callable[[Sequence[CohortRow]], Any], workers: Sequence[int] = (2,)) -> None:
        self.work, self.counts, self.tasks = work, list(workers), []  # type: ignore[var-annotated]

    def scheduler_info(self) -> dict[str, Any]:
        count = self.counts.pop(0) if len(self.counts) > 1 else self.counts[0]
        return {"workers": {str(number): {"status": self.status} for number in range(count)}}

    def wait_for_workers(self, count: int, timeout: float) -> None:
        assert (count, timeout) == (1, cluster.PATIENCE)
        if self.counts == [0]:
            raise TimeoutError

    def submit(self, function: Any, run: str, number: int, sealed: bytes, key: str, pure: bool) -> Future:
        assert (function.__name__, run, key, pure) == ("hide_task", "run", f"fesf-hide-run-{number}", False)
        rows = pickle.loads(SEAL.open(sealed, f"task {number}"))
        self.tasks.append(rows)
        made = self.work(rows)
        return Future(SEAL.close(pickle.dumps(made), f"answer {number}") if isinstance(made, Answer) else made)


class Release:
    """Takes what it is given."""

    def __init__(self, on_bad_row: str = "quarantine", size: tuple[int, ...] = (64, 64)) -> None:
        self.pending, self.recipe = ROWS, SimpleNamespace(spatial_size=size)
        self.added: list[tuple[Any, ...]] = []
        self.excluded: list[tuple[int, str]] = []
        self.on_bad_row = on_bad_row

    def add(self, row: CohortRow, *rest: Any) -> None:
        self.added.append((row, *rest))

    def exclude(self, row: CohortRow, reason: str) -> None:
        if self.on_bad_row == "stop":
            raise CohortError(reason)
        self.excluded.append((row.row, reason))


def good(rows: Sequence[CohortRow]) -> Answer:
    return Answer([Result(row.row, b"%d" % row.row, 0.5, PhaseCheck(1.0, 0.0)) for row in rows])


def work(client: Client, release: Release) -> None:
    cluster._Tasks(client, "run", SEAL, release).work()  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "TASK_IMAGES", 2)


def test_every_row_is_handed_out_bare_and_taken_in_whole() -> None:
    client, release = Client(good), Release()
    work(client, release)
    assert [len(rows) for rows in client.tasks] == [2] * 5
    sent = [row for rows in client.tasks for row in rows]
    assert [(row.row, row.image) for row in sent] == [(row.row, row.image) for row in ROWS]
    assert {(row.label, row.patient, row.study) for row in sent} == {("", "", "")}
    assert release.added == [(row, b"%d" % row.row, 0.5, PhaseCheck(1.0, 0.0)) for row in ROWS]


def test_workers_that_stay_paused_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(good)
    client.status = "paused"
    monkeypatch.setattr(Future, "add_done_callback", lambda *_: None)  # no task is ever done
    monkeypatch.setattr(cluster, "PATIENCE", 0.5)
    with pytest.raises(ClusterError, match=r"are all paused.*Start dask worker with a higher --memory-limit.*is kept"):
        work(client, Release())


def test_only_some_tasks_are_out() -> None:
    client, release = Client(good, [1]), Release()
    ahead: list[int] = []
    release.add = lambda row, *_: ahead.append(len(client.tasks))  # type: ignore[method-assign]
    work(client, release)
    assert ahead[0] == cluster.AHEAD
    assert ahead[2] == cluster.AHEAD + 1


@pytest.mark.parametrize(
    ("size", "limit", "length"),
    [((64, 64), 16, 16), ((512, 512), 16, 16), ((1024, 1024), 16, 4), ((256, 256, 256), 16, 1)],
)
def test_a_task_holds_fewer_large_images(
    size: tuple[int, ...], limit: int, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "TASK_IMAGES", limit)
    rows = ROWS * 4
    made = batches(rows, size)
    assert [row for batch in made for row in batch] == rows
    assert len(made[0]) == length


def test_a_row_that_kills_its_workers_is_found_and_set_aside() -> None:
    def deadly(rows: Sequence[CohortRow]) -> Any:
        return KilledWorker("key", None, 3) if 7 in [row.row for row in rows] else good(rows)  # type: ignore[arg-type]

    client, release = Client(deadly), Release()
    work(client, release)
    assert [len(rows) for rows in client.tasks] == [2, 2, 2, 2, 2, 1, 1]
    assert sorted(row.row for row, *_ in release.added) == [2, 3, 4, 5, 6, 8, 9, 10, 11]
    reason = "Row 7 of the cohort: each worker that read its image was killed, perhaps for its memory."
    assert release.excluded == [(7, reason)]
    with pytest.raises(CohortError, match=r"^Row 7 of the cohort: each worker"):
        work(Client(deadly), Release("stop"))


def test_reasons_and_stops_come_after_what_was_done() -> None:
    def some(rows: Sequence[CohortRow]) -> Answer:
        if rows[0].row != 4:
            return good(rows)
        return Answer([*good(rows[:1]).results, Result(5, reason="Row 5 of the cohort: bad.")], stop="Row 6: stop.")

    release = Release()
    with pytest.raises(CohortError, match=r"^Row 6: stop\.$"):
        work(Client(some), release)
    assert [row.row for row, *_ in release.added] == [2, 3, 4]
    assert release.excluded == [(5, "Row 5 of the cohort: bad.")]


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        ("A worker has no secret", "^A worker has no secret$"),
        (Answer(refusal="A worker may write"), "^A worker may write$"),
        (ModuleNotFoundError("fesf"), r"^The cluster could not run a task \(ModuleNotFoundError\): install the same"),
        (KeyError("gone"), r"^The scheduler was lost \(KeyError\): what is finished is kept, run the same command"),
    ],
)
def test_one_clear_line(outcome: Any, message: str) -> None:
    release = Release()
    with pytest.raises(ClusterError, match=message):
        work(Client(lambda _: outcome), release)
    assert release.added == []


def test_an_answer_of_somebody_else_is_not_taken() -> None:
    client = Client(lambda rows: Seal(b"t" * 32, "run").close(pickle.dumps(good(rows)), "answer 0"))
    with pytest.raises(ValueError, match="another secret"):
        work(client, Release())


def test_no_worker_at_all() -> None:
    with pytest.raises(ClusterError, match=r"^The scheduler has no worker \(TimeoutError\): start dask worker"):
        work(Client(good, [0]), Release())


def test_workers_that_come_late() -> None:
    release = Release()
    work(Client(good, [0, 2]), release)
    assert len(release.added) == len(ROWS)


def test_one_process_needs_no_dask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    engine: Any = SimpleNamespace()
    writer: Any = SimpleNamespace(release=Release())
    assert choose_engine(None, engine, writer) is engine
    with pytest.raises(ValueError, match=r"^scheduler needs Dask: pip install 'fesf\[cluster\]', or leave it null\.$"):
        choose_engine("tcp://127.0.0.1:1", engine, writer)
    with pytest.raises(ValueError, match="give tls://host:port"):
        choose_engine("tcp://10.0.0.7:1", engine, writer)


def connect(address: str) -> None:
    writer: Any = SimpleNamespace(release=Release())
    with ClusterEngine(address, SimpleNamespace(), writer)._connected():  # type: ignore[arg-type]
        pass


def test_tls_without_certificates() -> None:
    with pytest.raises(ClusterError, match=r"^scheduler is tls:// and this process has no certificates: set DASK_DIS"):
        connect("tls://127.0.0.1:1")


def test_tls_with_files_that_are_not_there() -> None:
    names = ("ca-file", "client.cert", "client.key")
    with (
        dask.config.set({f"distributed.comm.tls.{name}": "nowhere.pem" for name in names}),
        pytest.raises(ClusterError, match=r"^The scheduler cannot be reached \(FileNotFoundError\)") as caught,
    ):
        connect("tls://127.0.0.1:1")
    assert "nowhere" not in str(caught.value)


def test_no_scheduler() -> None:
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "200ms"}),
        pytest.raises(ClusterError, match=r"^The scheduler cannot be reached \(OSError\): start it"),
    ):
        connect("tcp://127.0.0.1:1")
