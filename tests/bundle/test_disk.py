"""hide on a disk that refuses: one clear line, what is finished stays valid, and the same command goes on."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fesf.scripts.data.release import Release
from fesf.scripts.engines.errors import first_cause
from tests.bundle.test_hide import contents, hide

FULL = "Writing failed: the disk is full or a limit is reached"
KEPT = "What is finished is kept: run the same command again."


def refused(folder: Path, **overrides: Any) -> str:
    """What the command line would show as the error."""
    with pytest.raises((RuntimeError, ValueError)) as caught:
        hide(folder, **overrides)
    return str(first_cause(caught.value))


@pytest.fixture(autouse=True)
def _keep_excepthook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 64 KiB; skips where it cannot be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def remount(place: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", str(place)], check=True)


@pytest.fixture
def whole(make_cohort: Callable[..., Path]) -> tuple[Path, dict[str, bytes]]:
    """A cohort, and the store of an uninterrupted run."""
    folder = make_cohort(40)
    hide(folder, store_dir=str(folder / "whole"), hospital_dir=str(folder / "whole-hospital"))
    return folder, contents(folder / "whole")


def test_a_full_disk_under_the_store(whole: tuple[Path, dict[str, bytes]], small_disk: Path) -> None:
    folder, expected = whole
    store = small_disk / "store"
    message = refused(folder, store_dir=str(store))
    assert message.startswith(FULL)
    assert message.endswith(KEPT)
    assert not store.exists()
    finished = {p.name: p.read_bytes() for p in (small_disk / "store.partial" / "images").glob("[0-9a-f]*.png")}
    assert finished
    assert all(expected[f"images/{name}"] == content for name, content in finished.items() if content)
    remount(small_disk, "size=8m")
    assert contents(hide(folder, store_dir=str(store))) == expected


def test_a_full_disk_under_the_hospital(whole: tuple[Path, dict[str, bytes]], small_disk: Path) -> None:
    folder, expected = whole
    remount(small_disk, "size=8k")
    hospital = str(small_disk / "hospital")
    assert refused(folder, hospital_dir=hospital).startswith(FULL)
    remount(small_disk, "size=8m")
    assert contents(hide(folder, hospital_dir=hospital)) == expected
    assert contents(small_disk / "hospital") == contents(folder / "whole-hospital")


def test_a_read_only_disk(whole: tuple[Path, dict[str, bytes]], small_disk: Path) -> None:
    folder, _ = whole
    remount(small_disk, "ro")
    for place in ({"store_dir": str(small_disk / "store")}, {"hospital_dir": str(small_disk / "hospital")}):
        message = refused(folder, **place)
        assert message.startswith("Writing failed: the place is read-only for this user (Read-only file system)")


def test_a_limit_on_file_sizes(whole: tuple[Path, dict[str, bytes]]) -> None:
    """Runs everywhere: the manifest is larger than any image, so publishing fails at its last step."""
    folder, expected = whole
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, limits[1]))
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        message = refused(folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert message.startswith(f"{FULL} (File too large)")
    assert not (folder / "out" / "store").exists()
    assert contents(hide(folder)) == expected


def test_a_second_writer(make_cohort: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_cohort()
    first, reached, go_on = Release.add, threading.Event(), threading.Event()
    failed: list[BaseException] = []

    def add(self: Release, *args: Any) -> None:
        reached.set()
        assert go_on.wait(60)
        first(self, *args)

    def run() -> None:
        try:
            hide(folder)
        except BaseException as error:
            failed.append(error)

    monkeypatch.setattr(Release, "add", add)
    writer = threading.Thread(target=run)
    writer.start()
    assert reached.wait(60)
    busy = "Another run is writing this store or this hospital folder"
    assert busy in refused(folder)
    assert busy in refused(folder, hospital_dir=str(folder / "other"))
    assert busy in refused(folder, store_dir=str(folder / "out" / "other"))
    go_on.set()
    writer.join(60)
    assert failed == []
    assert len(contents(folder / "out" / "store")) == 26
    shutil.rmtree(folder / "out")


def test_the_command_line_ends_in_one_line(whole: tuple[Path, dict[str, bytes]], small_disk: Path) -> None:
    folder, _ = whole
    ids = {"cohort": "cohort.csv", "hosts_dir": "hosts", "secret_file": "secret", "hospital_dir": "hospital"}
    words = [word for name, path in ids.items() for word in (f"--{name}", str(folder / path))]
    words += ["--store_dir", str(small_disk / "store"), "--image_size", "[24, 24]"]
    config = Path(__file__).parents[2] / "bundle" / "configs" / "hide.json"
    command = [sys.executable, "-m", "monai.bundle", "run", "hiding", "--config_file", str(config), *words]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert done.returncode != 0
    (line,) = (line for line in re.split(r"[\r\n]+", done.stderr) if line.startswith("error: "))
    assert line.startswith(f"error: {FULL}")
    assert line.endswith(KEPT)
    assert "Traceback" not in done.stderr[done.stderr.index("error: ") :]
    assert "SCHMIDT" not in done.stdout + done.stderr
