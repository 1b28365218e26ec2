"""Files are replaced at once: a failure leaves the old one and nothing beside it changes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from fesf.scripts.engines.output import replace_file, save_state, unwrap


def test_replaces(tmp_path: Path) -> None:
    path = tmp_path / "made" / "file"
    assert replace_file(path, b"old") == path
    replace_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(path.parent) == ["file"]


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        path = replace_file(tmp_path / "file", b"")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600


def test_crash_before_the_rename_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = replace_file(tmp_path / "file", b"old")

    def crash(_: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(OSError, match="disk full"):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"


def test_state_loads_without_code(tmp_path: Path) -> None:
    path = save_state(tmp_path / "state.pt", {"weight": torch.arange(3), "epoch": 2, "score": 0.5})
    state = torch.load(path, weights_only=True)
    assert torch.equal(state["weight"], torch.arange(3))
    assert (state["epoch"], state["score"]) == (2, 0.5)


def test_unwrap() -> None:
    network = torch.nn.Linear(1, 1)
    assert unwrap(torch.nn.DataParallel(network)) is network
    assert unwrap(network) is network
    assert unwrap("anything") == "anything"
