"""The command: ``python -m fesf.scripts.audit``."""

from __future__ import annotations

import json
import shutil

import pytest

from fesf.scripts.audit import __main__ as command
from fesf.scripts.audit.same_image import SameImage


@pytest.fixture
def release(finished, tmp_path, monkeypatch):
    """Arguments for a copy of the finished run's hospital folder; one attack, for time."""
    folder, _, _ = finished
    hospital = shutil.copytree(folder.hospital, tmp_path / "hospital", ignore=shutil.ignore_patterns("iqem", "plain*"))
    monkeypatch.setattr(command, "QUICK", {"same_image": SameImage()})
    names = {"cohort": folder.demo / "cohort.csv", "store": folder.store, "hosts": folder.demo / "hosts"}
    names |= {"hospital": hospital, "out": tmp_path / "audit"}
    return hospital, [word for name, value in names.items() for word in (f"--{name}", str(value))]


def test_a_store_past_its_limit_ends_in_1(release, tmp_path, capsys):
    hospital, arguments = release
    limits = tmp_path / "limits.json"
    limits.write_text('{"same_image": {"at_most": 0.01}}')
    assert command.main([*arguments, "--limits", str(limits)]) == 1
    out = capsys.readouterr().out
    assert "this store is not to be released" in out
    audit = json.loads((hospital / "audit.json").read_text())
    assert audit["limits"] == {"same_image": {"at_most": 0.01}}
    assert audit["results"]["same_image"] == 1.0
    results = json.loads((tmp_path / "audit" / "results.json").read_text())
    assert results["same_image"]["conditions"]["store"]["patients"] >= 1
    limits.write_text('{"same_image": {"at_most": 1.0}}')
    assert command.main([*arguments, "--limits", str(limits)]) == 0
    assert "Within the 1 limits." in capsys.readouterr().out


def test_without_limits_nothing_is_promised(release, capsys):
    _, arguments = release
    assert command.main(arguments) == 0
    assert "No limits were given: release will ask for them." in capsys.readouterr().out


def test_a_mistake_is_one_line(release, tmp_path, capsys):
    _, arguments = release
    (tmp_path / "limits.json").write_text("[]")
    assert command.main([*arguments, "--limits", str(tmp_path / "limits.json")]) == 2
    assert capsys.readouterr().err.startswith("error: limits is no object")


def test_an_interrupt_keeps_what_was_done(release, capsys, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "run_audit", stop)
    assert command.main(release[1]) == 130
    assert "the attacks that were done are kept" in capsys.readouterr().err


def test_results_do_not_go_into_the_store(finished, release, capsys):
    arguments = [*release[1][:-1], str(finished[0].store / "audit")]
    assert command.main(arguments) == 2
    assert "lies in a surrogate store" in capsys.readouterr().err
