"""hide.json on a Dask cluster: the same bytes as in one process, whatever dies, and nothing readable on the wire."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import torch
from distributed import Client, LocalCluster, Security
from distributed.utils import get_mp_context
from PIL import Image

from fesf.networks import EnhancementGenerator
from fesf.scripts.data.release import Release
from fesf.scripts.engines import cluster
from tests.bundle.test_hide import SECRET, contents, hide, interrupt, refused

SAFE = {"distributed.worker.memory.target": False, "distributed.worker.memory.spill": False}
SAFE |= {"distributed.worker.multiprocessing-method": "forkserver", "distributed.comm.timeouts.connect": "10s"}
INSIDE: dict[str, Any] = {"processes": False, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}


@pytest.fixture(autouse=True)
def _small_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    monkeypatch.setattr(cluster, "TASK_IMAGES", 2)


@pytest.fixture(scope="module")
def secret_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workers' own copy of the secret."""
    path = tmp_path_factory.mktemp("worker") / "own-secret"
    path.write_bytes(SECRET)
    path.chmod(0o600)
    return path


@pytest.fixture(scope="module")
def inside(secret_file: Path) -> Iterator[str]:
    """Address of a scheduler and a worker in this process."""
    with pytest.MonkeyPatch.context() as patch, dask.config.set(SAFE):
        patch.setenv("FESF_SECRET_FILE", str(secret_file))
        with LocalCluster(
            1, processes=False, threads_per_worker=1, protocol="tcp", dashboard_address="127.0.0.1:0"
        ) as made:
            yield made.scheduler_address


@pytest.fixture(scope="module")
def workers(secret_file: Path) -> Iterator[LocalCluster]:
    """Two worker processes of one thread."""
    with dask.config.set(SAFE):
        get_mp_context()  # sets Dask's own preload, which ours replaces: each worker forks with torch imported
        modules = ["distributed", "monai.engines", "fesf.scripts.engines.surrogate_writer"]
        multiprocessing.get_context("forkserver").set_forkserver_preload(modules)
        env = {"FESF_SECRET_FILE": str(secret_file), "OMP_NUM_THREADS": "1"}
        with LocalCluster(2, processes=True, threads_per_worker=1, dashboard_address="127.0.0.1:0", env=env) as made:
            yield made


class Tap:
    """A relay between client and scheduler that keeps every byte of both directions."""

    def __init__(self, scheduler: str) -> None:
        host, port = scheduler.removeprefix("tcp://").rsplit(":", 1)
        self.target, self.heard, self.sockets = (host, int(port)), bytearray(), []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.create_connection(self.target)
            self.sockets += [near, far]
            for pair in ((near, far), (far, near)):
                threading.Thread(target=self._relay, args=pair, daemon=True).start()

    def _relay(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while piece := source.recv(1 << 16):
                self.heard += piece
                sink.sendall(piece)
        except OSError:
            pass
        sink.close()

    def close(self) -> None:
        for each in (self.listener, *self.sockets):
            each.close()


def own(folder: Path, name: str) -> dict[str, str]:
    """A store and a hospital folder of their own."""
    return {"store_dir": str(folder / "out" / name), "hospital_dir": str(folder / f"hospital-{name}")}


def outcome(folder: Path, name: str) -> tuple[dict[str, bytes], dict[str, bytes]]:
    return contents(folder / "out" / name), contents(folder / f"hospital-{name}")


def test_two_workers_one_of_them_killed_make_the_same_bytes_and_the_wire_tells_nothing(
    make_cohort: Callable[..., Path],
    workers: LocalCluster,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder = make_cohort()
    hide(folder, **own(folder, "one"))
    added, victims, submitted = [], [], []
    add, submit = Release.add, Client.submit

    def add_and_kill(self: Release, row: Any, *rest: Any) -> None:
        add(self, row, *rest)
        added.append(row.row)
        if len(added) == 5:
            victims.append(next(iter(workers.workers.values())).pid)
            os.kill(victims[0], signal.SIGKILL)

    def count(self: Client, *arguments: Any, **options: Any) -> Any:
        submitted.append(options["key"])
        return submit(self, *arguments, **options)

    monkeypatch.setattr(Release, "add", add_and_kill)
    monkeypatch.setattr(Client, "submit", count)
    tap = Tap(workers.scheduler_address)
    hide(folder, **own(folder, "two"), scheduler=tap.address)
    monkeypatch.undo()
    assert outcome(folder, "two") == outcome(folder, "one")
    assert sorted(added) == list(range(2, 26))
    assert len(submitted) == 12
    assert victims

    with Client(tap.address, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)
        pids = client.run(os.getpid)
        assert victims[0] not in pids.values()
        assert not any("fesf-hide" in name for names in client.run(plugins).values() for name in names)
        logs = str(client.get_worker_logs()) + str(client.get_scheduler_logs())
        heard = bytes(tap.heard)
        client.submit(len, SECRET + b" SCHMIDT").result(timeout=60)
    planted = bytes(tap.heard)[len(heard) :]
    tap.close()
    images = sorted((folder / "images").iterdir())
    pixels = [np.asarray(Image.open(path)) for path in images]
    markers = [SECRET, b"SCHMIDT", b"Schmidt", str(folder).encode(), b"cohort.csv", b"own-secret"]
    markers += [each.tobytes()[:48] for each in pixels]
    markers += [(each.T / np.float32(255)).astype(np.float32).tobytes()[:48] for each in pixels]
    markers += [path.read_bytes()[40:80] for path in images]
    markers += [path.read_bytes()[40:80] for path in (folder / "out" / "two" / "images").iterdir()]
    assert [marker for marker in markers if marker in heard] == []
    assert heard.count(b"hide_task") >= 12
    assert SECRET in planted
    assert b"SCHMIDT" in planted
    told = logs + "".join(capfd.readouterr())
    assert [word for word in ("SCHMIDT", "Schmidt", str(folder), SECRET.decode()) if word in told] == []
    assert "fesf-hide-" in logs


def plugins(dask_worker: Any) -> list[str]:
    return list(dask_worker.plugins)


def test_a_run_goes_on_here_or_there(
    make_cohort: Callable[..., Path], inside: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_cohort()
    hide(folder, **own(folder, "one"))
    for name, first, then in (("there-here", inside, None), ("here-there", None, inside), ("there", inside, inside)):
        interrupt(monkeypatch, 5)
        with pytest.raises(KeyboardInterrupt):
            hide(folder, **own(folder, name), scheduler=first)
        monkeypatch.undo()
        monkeypatch.setattr(cluster, "TASK_IMAGES", 2)
        assert not (folder / "out" / name).exists()
        assert len(list((folder / "out" / f"{name}.partial" / "images").iterdir())) == 5
        hide(folder, **own(folder, name), scheduler=then)
        assert outcome(folder, name) == outcome(folder, "one")


def test_rows_that_cannot_be_used(make_cohort: Callable[..., Path], inside: str) -> None:
    folder = make_cohort()
    (folder / "images" / "SCHMIDT-5-0.png").write_text("no image")
    message = refused(folder, scheduler=inside)
    assert message.startswith("Row 12 of the cohort: its image cannot be read (")
    assert "What is done is kept: correct the row and run the same command again" in message
    hide(folder, **own(folder, "one"), on_bad_row="quarantine")
    hide(folder, **own(folder, "two"), on_bad_row="quarantine", scheduler=inside)
    assert outcome(folder, "two") == outcome(folder, "one")
    assert b'\n12,"Row 12 of the cohort' in outcome(folder, "two")[1]["quarantine.csv"]


def test_the_identity_never_publishes(make_cohort: Callable[..., Path], inside: str) -> None:
    folder = make_cohort()
    message = refused(folder, network_def={"_target_": "torch.nn.Identity"}, scheduler=inside)
    assert "failed the phase check" in message
    assert not (folder / "out" / "store").exists()


def test_dry_run(make_cohort: Callable[..., Path], inside: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_cohort()
    hide(folder, dry_run="true", scheduler=inside)
    assert "24 of 24 rows were hidden in memory" in capsys.readouterr().out
    assert not (folder / "out").exists()


def test_the_second_pass_and_dicom_too(make_cohort: Callable[..., Path], inside: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    generator = EnhancementGenerator(2)
    with torch.no_grad():  # it starts as the identity
        for parameter in generator.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape))
    torch.save(generator.state_dict(), tmp_path / "generator.pt")
    folder = make_cohort(6)
    ids = {"generator_file": str(tmp_path / "generator.pt"), "bit_depth": 16, "output": "dicom"}
    hide(folder, **own(folder, "one"), **ids)
    hide(folder, **own(folder, "two"), **ids, scheduler=inside)
    assert outcome(folder, "two") == outcome(folder, "one")
    assert json.loads(outcome(folder, "two")[1]["release.json"])["stage"] == "surrogate"


def test_workers_that_would_spill_are_refused(
    make_cohort: Callable[..., Path], secret_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FESF_SECRET_FILE", str(secret_file))
    folder = make_cohort(3)
    usual = {"distributed.worker.memory.target": 0.6, "distributed.worker.memory.spill": 0.7}
    with dask.config.set(usual), LocalCluster(1, protocol="tcp", memory_limit="64TiB", **INSIDE) as made:
        message = refused(folder, scheduler=made.scheduler_address)
    assert message.startswith("A worker may write its memory to disk: start dask worker with DASK_DISTRIBUTED__WORKER")
    assert list((folder / "out" / "store.partial" / "images").iterdir()) == []


def test_tls(make_cohort: Callable[..., Path], secret_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Off the loopback where this machine has another address."""
    folder = make_cohort()
    hide(folder, **own(folder, "one"))
    monkeypatch.setenv("FESF_SECRET_FILE", str(secret_file))
    keys = Security.temporary()
    files = {"ca-file": keys.tls_ca_file, "client.cert": keys.tls_client_cert, "client.key": keys.tls_client_key}
    client = {f"distributed.comm.tls.{name}": value for name, value in files.items()}
    with dask.config.set(SAFE), LocalCluster(1, protocol="tls", host=_address(), security=keys, **INSIDE) as made:
        assert made.scheduler_address.startswith("tls://")
        assert "has no certificates" in refused(folder, **own(folder, "two"), scheduler=made.scheduler_address)
        with dask.config.set(client):
            hide(folder, **own(folder, "two"), scheduler=made.scheduler_address)
    assert outcome(folder, "two") == outcome(folder, "one")


def _address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: asks which address would
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def test_a_scheduler_that_dies(
    make_cohort: Callable[..., Path], secret_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_cohort()
    hide(folder, **own(folder, "one"))
    monkeypatch.setenv("FESF_SECRET_FILE", str(secret_file))
    add, added = Release.add, []
    soon = {"distributed.comm.timeouts.connect": "1s"}
    with dask.config.set(SAFE | soon), LocalCluster(1, protocol="tcp", **INSIDE) as made:

        def add_and_close(self: Release, *arguments: Any) -> None:
            add(self, *arguments)
            added.append(1)
            if len(added) == 4:
                made.close()

        monkeypatch.setattr(Release, "add", add_and_close)
        message = refused(folder, **own(folder, "two"), scheduler=made.scheduler_address)
    assert re.match(r"The scheduler was lost \(\w+\): what is finished is kept, run the same command again\.$", message)
    monkeypatch.undo()
    hide(folder, **own(folder, "two"))
    assert outcome(folder, "two") == outcome(folder, "one")


def test_a_scheduler_off_the_loopback_without_tls(make_cohort: Callable[..., Path]) -> None:
    folder = make_cohort(3)
    assert "scheduler='tcp://10.0.0.7:8786': give tls://host:port" in refused(folder, scheduler="tcp://10.0.0.7:8786")
    assert not (folder / "hospital").exists()
