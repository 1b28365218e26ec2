"""Each fault does what it says, in this process, and is taken out again."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pydicom
import pydicom.pixels
import pytest
import torch

from fesf.scripts.canaries import faults as canary_faults
from fesf.scripts.canaries.faults import FAULTS
from fesf.scripts.data.cohort import CohortDataset


@pytest.fixture(autouse=True)
def _put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    for thing, name in ((os, "replace"), (pydicom, "dcmread"), (pydicom.pixels, "iter_pixels")):
        monkeypatch.setattr(thing, name, getattr(thing, name))
    monkeypatch.setattr(CohortDataset, "__getitem__", CohortDataset.__getitem__)


def test_quoting() -> None:
    FAULTS["quoting"]()
    header = SimpleNamespace(PatientName="Anna", PatientID="7", StudyDate="D", filename="f", PixelData=b"\x01")
    with pytest.warns(UserWarning, match="Anna 7 'D' f"), pytest.raises(ValueError, match="Anna 7"):
        pydicom.pixels.iter_pixels(header)  # type: ignore[arg-type]


def test_unreadable() -> None:
    FAULTS["unreadable"]()
    with pytest.raises(PermissionError, match=r"Permission denied: 'Anna.dcm'"):
        pydicom.dcmread("Anna.dcm")


@pytest.mark.parametrize(("fault", "before"), [("full disk", 0), ("disk full later", 2)])
def test_full_disk(tmp_path: Path, fault: str, before: int) -> None:
    FAULTS[fault]()
    for _ in range(before):
        (tmp_path / "new").touch()
        os.replace(tmp_path / "new", tmp_path / "old")
    (tmp_path / "new").touch()
    with pytest.raises(OSError, match=r"No space left on device: .*old") as caught:
        os.replace(tmp_path / "new", tmp_path / "old")
    assert caught.value.errno == errno.ENOSPC


def test_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(os, "kill", lambda *words: sent.append(words))
    FAULTS["killed"]()
    for number in range(2):
        (tmp_path / "new").touch()
        assert len(sent) == 0, number
        os.replace(tmp_path / "new", tmp_path / "old")
    assert sent == [(os.getpid(), signal.SIGKILL)]


def test_worker_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[Any] = []
    monkeypatch.setattr(canary_faults, "_kill", killed.append)
    monkeypatch.setattr(CohortDataset, "__getitem__", lambda self, index: index)
    monkeypatch.setattr(torch.utils.data, "get_worker_info", lambda: "a worker")
    FAULTS["worker killed"]()
    dataset = CohortDataset([], None, ".")  # type: ignore[arg-type]
    assert [dataset[index] for index in range(4)] == [0, 1, 2, 3]
    assert killed == [None]
