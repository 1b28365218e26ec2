"""The command: ``python -m fesf.scripts.audit``."""

from __future__ import annotations

import json
import shutil

import pytest

from fesf.scripts.audit import __main__ as command
from fesf.scripts.audit import audit
from fesf.scripts.audit.ridge import RidgeInversion
from fesf.scripts.audit.same_image import SameImage


@pytest.fixture
def release(finished, tmp_path, monkeypatch):
    """Arguments for a copy of the finished run's hospital folder; one attack, for time."""
    folder, _, _ = finished
    hospital = shutil.copytree(folder.hospital, tmp_path / "hospital", ignore=shutil.ignore_patterns("iqem", "plain*"))
    monkeypatch.setattr(audit, "QUICK", {"same_image": SameImage()})
    monkeypatch.setattr(audit, "FULL", {"ridge": RidgeInversion(pairs=10)})
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
    page = tmp_path / "audit" / "index.html"
    assert "Past 1 of 1 limits: this store is not to be released." in page.read_text()
    assert audit["limits_sha256"] in page.read_text()
    limits.write_text('{"same_image": {"at_most": 1.0}}')
    assert command.main([*arguments, "--limits", str(limits)]) == 0
    assert "Within the 1 limits." in capsys.readouterr().out


def test_a_quick_audit_leaves_out_and_says_so(release, tmp_path, capsys):
    _, arguments = release
    assert command.main([*arguments, "--quick"]) == 0
    page = tmp_path / "audit" / "index.html"
    assert "Left out by --quick: Ridge." in page.read_text()
    assert set(json.loads((tmp_path / "audit" / "results.json").read_text())) == {"same_image"}
    assert page.stat().st_mode & 0o777 == 0o600
    assert page.parent.stat().st_mode & 0o777 == 0o700
    limits = tmp_path / "limits.json"
    limits.write_text('{"ridge": {"at_most": 1}}')
    assert command.main([*arguments, "--quick", "--limits", str(limits)]) == 2
    assert "limits names 'ridge', which is not attacked" in capsys.readouterr().err


def test_pixels_of_plaintexts_are_on_the_page_and_in_what_is_kept_alone(release, tmp_path):
    hospital, arguments = release
    assert command.main(arguments) == 0
    out = tmp_path / "audit"
    (picture,) = {found["truth"] for found in json.loads((out / "attacks" / "ridge.json").read_text())["pictures"][:1]}
    assert picture in (out / "index.html").read_text()
    for path in (out / "results.json", hospital / "audit.json"):
        assert "iVBORw0KGgo" not in path.read_text()
    linkage = (hospital / "linkage.csv").read_text().splitlines()[1:]
    words = {cell for line in linkage for cell in line.split(",")[:3] if len(cell) > 6}
    assert words
    assert not [word for word in words if word in (out / "index.html").read_text()]


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

    monkeypatch.setattr(audit, "run_audit", stop)
    assert command.main(release[1]) == 130
    assert "the attacks that were done are kept" in capsys.readouterr().err


def test_results_do_not_go_into_the_store(finished, release, capsys):
    arguments = [*release[1][:-1], str(finished[0].store / "audit")]
    assert command.main(arguments) == 2
    assert "lies in a surrogate store" in capsys.readouterr().err
