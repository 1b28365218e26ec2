"""Limits before, results kept, and the document that a release waits for."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fesf.scripts.audit.nearest import NearestNeighbour
from fesf.scripts.audit.run import audit_document, measure, read_limits, run_audit, settings_of
from fesf.scripts.audit.same_image import SameImage
from fesf.scripts.audit.suite import FULL, QUICK
from fesf.scripts.audit.table import format_results
from fesf.scripts.data.audit import check_audit
from fesf.scripts.data.files import to_json

STORE = "ab" * 32


def test_limits_are_read_before(tmp_path):
    path = tmp_path / "limits.json"
    path.write_text('{"same_image": {"at_most": 0.05}}')
    assert read_limits(path, {"same_image": None}) == {"same_image": {"at_most": 0.05}}
    assert read_limits(None, {}) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "limits cannot be read as JSON: write, for example"),
        ("[]", "limits is no object"),
        ('{"moon": {"at_most": 1}}', "limits names 'moon', which is not attacked: choose from same_image"),
        ('{"same_image": 0.05}', "limits: the limit of same_image is 0.05: give at_most or at_least"),
        ('{"same_image": {"at_most": "x"}}', "give at_most or at_least and a number"),
    ],
)
def test_limits_that_cannot_be_used(tmp_path, text, message):
    path = tmp_path / "limits.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        read_limits(path, {"same_image": None})


def test_an_attack_that_a_set_cannot_measure_says_so(make_scene):
    scene = make_scene()
    single = type(scene)(scene.known, scene.victims.take(np.arange(40)), scene.host, scene.pool, 0.1, 0.5)
    found = measure(NearestNeighbour(), single, 0)
    assert found["verdict"].startswith("cannot be measured: No test patient has two studies")
    document = audit_document({"nearest": found}, {}, STORE, None)
    assert document["results"] == {"nearest": None}


def test_results_are_kept_and_read_back(make_scene, tmp_path, capsys, monkeypatch):
    scene, attacks = make_scene(), {"same_image": SameImage()}
    first = run_audit(scene, STORE, attacks, tmp_path)
    assert "[1/1] same_image ..." in capsys.readouterr().out
    assert first["same_image"]["conditions"]["store"]["value"] == 1.0
    assert first["same_image"]["letters"] == ["a", "e'"]
    assert (tmp_path / "attacks").stat().st_mode & 0o777 == 0o700
    assert run_audit(scene, STORE, attacks, tmp_path) == first
    assert "..." not in capsys.readouterr().out
    run_audit(scene, "cd" * 32, attacks, tmp_path)  # another store
    assert "[1/1] same_image ..." in capsys.readouterr().out
    run_audit(scene, "cd" * 32, attacks, tmp_path, seed=1)
    assert "[1/1] same_image ..." in capsys.readouterr().out


def test_a_release_waits_for_what_the_audit_found(make_scene, tmp_path):
    results = run_audit(make_scene(), STORE, {"same_image": SameImage()}, tmp_path)
    path = tmp_path / "audit.json"
    limits = tmp_path / "limits.json"
    limits.write_text("{}")
    path.write_text(json.dumps(audit_document(results, {"same_image": {"at_most": 0.05}}, STORE, limits)))
    with pytest.raises(
        ValueError, match=r"same_image is 1, its limit is at most 0\.05: this store is not to be released"
    ):
        check_audit(path, STORE)
    path.write_text(json.dumps(audit_document(results, {"same_image": {"at_most": 1}}, STORE, None)))
    assert check_audit(path, STORE)["results"] == {"same_image": 1.0}
    results["same_image"]["faults"] = ["a control failed"]
    document = audit_document(results, {"same_image": {"at_most": 1}}, STORE, limits)
    assert document["limits_sha256"] == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"  # of "{}"
    path.write_text(json.dumps(document))
    with pytest.raises(ValueError, match="same_image has a limit and the result None"):
        check_audit(path, STORE)


def test_settings_hold_what_decides():
    assert settings_of(NearestNeighbour("store"))["gallery"] == "store"
    assert settings_of(SameImage())["margin"] == 0.05


def test_controls_of_its_own_are_named(make_scene):
    class Other(SameImage):
        titles = {"broken": "another scheme"}  # noqa: RUF012
        below = "why"

    found = measure(Other(), make_scene(), 0)
    assert (found["titles"], found["below"]) == ({"broken": "another scheme"}, "why")
    text = format_results({"other": found})
    assert "another scheme (must succeed)" in text
    assert "plaintexts (must succeed)" in text


def test_the_table_shows_the_store_beside_its_controls(make_scene):
    results = {"same_image": measure(SameImage(), make_scene(), 0)}
    text = format_results(results)
    assert "same_image: succeeds" in text
    assert "who: the store only; the victim's same image" in text
    assert "additive mixing (must succeed)" in text
    assert "THIS STORE                             1.000 [1.000, 1.000]   chance 0.013" in text
    assert "1 of 1 attacks count" in text
    assert max(map(len, text.splitlines())) <= 120


def test_settings_of_every_attack_can_be_written() -> None:
    for attack in (QUICK | FULL).values():
        assert json.loads(to_json(settings_of(attack)))["name"] == attack.name
