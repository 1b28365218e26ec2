"""Provenance: a real clone in a temporary folder, and a machine that tells little."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from fesf.scripts.data import provenance as module
from fesf.scripts.data.provenance import commit, load_average, provenance, versions


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that the module takes for its own root; not a clone yet."""
    monkeypatch.setattr(module, "__file__", str(tmp_path / "scripts" / "data" / "provenance.py"))
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    who = {f"GIT_{role}_{part}": "a@b.c" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
    nobody = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env=os.environ | who | nobody, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_says_the_command_the_machine_and_the_software_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "commit", lambda: "abc")
    found = provenance("python -m x", ["numpy"])
    cores, processor = found["machine"]["cores"], found["machine"]["processor"]
    assert processor
    assert found == {
        "command": "python -m x",
        "commit": "abc",
        "machine": {"processor": processor, "cores": cores, "memory_gib": found["machine"]["memory_gib"]},
        "software": {"python": ".".join(map(str, sys.version_info[:3])), "numpy": version("numpy")},
    }
    assert cores == os.cpu_count()
    total = Path("/proc/meminfo")
    if total.is_file():
        kib = int(total.read_text().split()[1])
        assert found["machine"]["memory_gib"] == pytest.approx(kib / 2**20, abs=0.06)


def test_default_packages_and_one_that_is_missing() -> None:
    assert list(provenance("x")["software"]) == ["python", "fesf", "monai", "torch", "numpy"]
    found = versions(["no-such-distribution", "numpy"])
    assert found["no-such-distribution"] == "not installed"
    assert found["numpy"] == version("numpy")


def test_outside_a_clone_the_commit_is_unknown(clone: Path) -> None:
    assert commit() == "unknown"


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_commit_and_changes(clone: Path) -> None:
    figures = ("docs/results.md", "bundle/configs/metadata.json")  # what the commands write
    for folder in ("docs", "bundle/configs"):
        (clone / folder).mkdir(parents=True)
    for name in ("code.py", "bundle/configs/train.json", *figures):
        (clone / name).write_text("1")
    git(clone, "init", "-q")
    git(clone, "add", ".")
    git(clone, "commit", "-q", "-m", "x")
    head = git(clone, "rev-parse", "HEAD")
    assert len(head) == 40
    assert commit() == head
    for name in ("untracked.txt", *figures):
        (clone / name).write_text("2")
    assert commit() == head
    for name in ("code.py", "bundle/configs/train.json"):
        (clone / name).write_text("2")
        assert commit() == head + "+changes"
        (clone / name).write_text("1")
    assert commit() == head


class _Files:
    """Stands for ``Path``: one text, or none."""

    text: str | None = None

    def __init__(self, _: str) -> None: ...

    def read_text(self) -> str:
        if self.text is None:
            raise FileNotFoundError
        return self.text


@pytest.mark.parametrize(
    ("text", "named", "expected"),
    [
        ("processor : 0\nmodel name\t: Thing: 9000 \nmodel name\t: Other\n", "P", "Thing: 9000"),
        ("Hardware : board\n", "P", "arch"),
        (None, "P", "P"),
        (None, "", "arch"),
    ],
)
def test_processor(text: str | None, named: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Files, "text", text)
    monkeypatch.setattr(module, "Path", _Files)
    monkeypatch.setattr(module.platform, "processor", lambda: named)
    monkeypatch.setattr(module.platform, "machine", lambda: "arch")
    assert module._processor() == expected


def test_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 2**20 + 2**17}.__getitem__)
    assert module._memory() == 4.5

    def refuse(_: str) -> Any:
        raise ValueError

    monkeypatch.setattr(os, "sysconf", refuse)
    assert module._memory() is None


def test_a_clone_that_git_refuses_has_no_commit(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (clone / ".git").mkdir()  # no repository: git rev-parse fails
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(clone.parent))
    assert commit() == "unknown"


def test_load_is_the_systems_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (1.2345, 7.0, 8.0))
    assert load_average() == 1.23
    monkeypatch.delattr(os, "getloadavg")  # as on Windows
    assert load_average() is None
