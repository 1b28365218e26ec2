"""A worker's task: what it refuses, that it never raises, and that its answers are the writer's."""

from __future__ import annotations

import pickle
import platform
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from distributed.spill import SpillBuffer
from torch import nn

from fesf.scripts.data import recipe
from fesf.scripts.data.release import Release
from fesf.scripts.engines import cluster_worker
from fesf.scripts.engines.cluster import ClusterEngine, ClusterError
from fesf.scripts.engines.cluster_worker import Answer, HidePlugin, hide_task, plugin_name
from fesf.scripts.engines.sealed import Seal
from tests.bundle.test_hide import SECRET, workflow

RUN = "0123"
SEAL = Seal(SECRET, RUN)


class Broken(nn.Module):
    """Raises what holds a path."""

    def forward(self, _: torch.Tensor) -> torch.Tensor:
        raise OSError("/data/SCHMIDT.png")


class Site:
    """A worker of a made-up cluster, with the job of a cohort."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, **overrides: Any) -> None:
        self.folder = folder
        monkeypatch.chdir(folder.parent)  # paths of the command line may be relative: the job's are not
        ids = {"cohort": f"{folder.name}/cohort.csv", "scheduler": "tcp://127.0.0.1:1"} | overrides
        parser = workflow(folder, **ids).parser
        self.engine: ClusterEngine = parser.get_parsed_content("engine")
        self.release: Release = parser.get_parsed_content("release")
        self.worker = SimpleNamespace(address="tls://10.0.0.7:1", data={}, state=SimpleNamespace(nthreads=1))
        self.worker.plugins = {plugin_name(RUN): HidePlugin(RUN, SEAL.close(self.engine._job(), "job"))}
        monkeypatch.chdir("/")
        monkeypatch.setenv("FESF_SECRET_FILE", str(folder / "secret"))
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        monkeypatch.setattr(cluster_worker, "get_worker", lambda: self.worker)

    def task(self, rows: Any = None) -> bytes | str:
        return hide_task(RUN, 3, SEAL.close(pickle.dumps(self.release.pending if rows is None else rows), "task 3"))

    def answer(self, rows: Any = None) -> Answer:
        sealed = self.task(rows)
        assert isinstance(sealed, bytes)
        return pickle.loads(SEAL.open(sealed, "answer 3"))


@pytest.fixture
def site(make_cohort: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(make_cohort(4), monkeypatch)


def test_a_task_answers_what_the_writer_makes(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Any] = []
    monkeypatch.setattr(Release, "add", lambda _, row, *rest: taken.append((row.row, *rest, "")))
    answer = site.answer()
    monkeypatch.chdir(site.folder.parent)
    site.engine.evaluator.run()
    assert len(taken) == 8
    assert [tuple(result) for result in answer.results] == taken
    assert (answer.stop, answer.refusal) == ("", "")


def test_the_job_holds_no_row_and_no_secret(site: Site) -> None:
    job = site.engine._job()
    assert b"Schmidt" not in job
    assert b"SCHMIDT" not in job
    assert SECRET not in job
    assert b"dataset" in job
    assert site.release.pending  # the client's own parts are as they were
    assert site.engine.writer.release is site.release
    assert site.engine.evaluator.data_loader.dataset.data is site.release.pending  # type: ignore[union-attr]


def test_a_component_that_cannot_be_sent(site: Site) -> None:
    site.engine.evaluator.inferer = lambda *_: None  # type: ignore[assignment,return-value]
    with pytest.raises(ClusterError, match=r"^A component of hide.json cannot be sent to workers \(\w+\): leave sched"):
        site.engine._job()


def test_the_jobs_secret_is_the_workers_own(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FESF_SECRET_FILE")
    monkeypatch.setenv("FESF_SECRET", SECRET.decode())
    assert len(site.answer().results) == 8
    monkeypatch.setenv("FESF_SECRET", "another secret, of 32 bytes and more")
    assert site.task() == cluster_worker.OTHER_SECRET
    monkeypatch.delenv("FESF_SECRET")
    assert site.task() == cluster_worker.NO_SECRET
    open_to_all = site.folder / "secret"
    open_to_all.chmod(0o644)
    monkeypatch.setenv("FESF_SECRET_FILE", str(open_to_all))
    assert site.task() == cluster_worker.NO_SECRET
    assert "FESF_SECRET_FILE (a file of mode 0600) or FESF_SECRET in the environment of dask worker" in (
        cluster_worker.NO_SECRET
    )


def test_unfit_workers_refuse(site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    good = dict(vars(site.worker))
    spilling = SpillBuffer(str(tmp_path / "spill"), target=1000)
    for changed, words in (
        ({"address": "tcp://10.0.0.7:1"}, "A worker listens without TLS off the loopback"),
        ({"data": spilling}, "A worker may write its memory to disk: start dask worker with DASK_DISTRIBUTED__WORKER"),
        ({"state": SimpleNamespace(nthreads=2)}, "A worker has several threads: start dask worker with --nthreads 1"),
    ):
        vars(site.worker).update(good | changed)
        answer = site.answer()
        assert answer.refusal.startswith(words)
        assert not answer.results
    vars(site.worker).update(good)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert site.answer().refusal.endswith("with --nthreads 1 and OMP_NUM_THREADS=1.")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    found = recipe.versions(("torch",))["torch"]
    monkeypatch.setattr(recipe, "versions", lambda names: dict.fromkeys(("python", *names), "0"))
    refusal = site.answer().refusal
    assert refusal.startswith(
        f"A worker has other software: python 0 (here {platform.python_version()}), fesf 0 (here "
    )
    assert f", torch 0 (here {found})" in refusal


def test_rows_that_cannot_be_used(make_cohort: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_cohort(4)
    (folder / "images" / "SCHMIDT-1-1.png").write_text("no image")
    site = Site(folder, monkeypatch)
    results = {result.row: result for result in site.answer().results}
    assert len(results) == 8
    assert results[5].reason.startswith("Row 5 of the cohort: its image cannot be read (")
    assert results[5].check is None
    (folder / "images" / "SCHMIDT-3-0.png").write_bytes((folder / "hosts" / "1.png").read_bytes())
    answer = site.answer()
    assert answer.stop.startswith("Row 8 of the cohort nearly equals a host (correlation 1.0000")
    order = [row.row for row in site.release.pending]
    assert [result.row for result in answer.results] == order[: order.index(8)]


def test_a_task_never_raises_and_names_rows_alone(
    make_cohort: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    name = "tests.scripts.engines.test_cluster_worker.Broken"
    site = Site(make_cohort(4), monkeypatch, network_def={"_target_": name})
    rows = [row.row for row in site.release.pending]
    stop = site.answer().stop
    assert stop == (
        f"A worker failed (OSError) at one of the rows {', '.join(map(str, rows))} of the cohort: hide without"
        " scheduler to see where."
    )
    assert "SCHMIDT" not in caplog.text
    site.worker.plugins = {}
    assert site.answer().stop.startswith("A worker failed (KeyError) at one of the rows ")


def test_the_job_is_opened_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = site.worker.plugins[plugin_name(RUN)]
    first = plugin.job(SEAL)
    plugin.sealed = b""
    assert plugin.job(SEAL) is first
    assert torch.get_num_threads() == 1
