"""Audits as jobs: what they attack, what they keep, and when they are done again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fesf.scripts.audit import public_audit
from fesf.scripts.audit.onlooker import Onlooker
from fesf.scripts.audit.public_audit import Audited
from fesf.scripts.audit.same_image import SameImage
from fesf.scripts.audit.scene import Scene
from fesf.scripts.data.grid import Source


def test_a_job_attacks_its_arms_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_scene: Callable[[], Scene]
) -> None:
    scene = make_scene()
    asked: list[Any] = []

    def read_scene(*places: Any, generator_file: Path) -> Scene:
        asked.append((*places, generator_file))
        return scene

    monkeypatch.setattr(public_audit, "read_scene", read_scene)
    monkeypatch.setattr(public_audit, "manifest_sha256", lambda store: f"digest of {store.name}")
    monkeypatch.setattr(public_audit, "QUICK", {"onlooker": Onlooker()})
    monkeypatch.setattr(public_audit, "FULL", {"same_image": SameImage()})
    source = Source("demo", 0, "", str(tmp_path))
    job = Audited(source, "full")
    assert (job.title, job.after) == ("demo/0/audit/full", (source,))
    job.execute()
    place = tmp_path / "demo" / "0"
    release = place / "hospital" / "releases" / "full"
    generator = place / "hospital/iqem/generator.pt"
    assert asked == [(place / "cohort/cohort.csv", place / "stores/full", release, place / "cohort/hosts", generator)]
    done = json.loads((job.folder / "done.json").read_text())
    assert list(done["results"]) == ["onlooker", "same_image"]
    assert done["results"]["same_image"]["conditions"]["plaintext"]["value"] == 1.0
    assert done["victims"]["patients"] == len(set(scene.victims.patients.tolist()))
    assert (done["alpha"], done["hosts"]) == (scene.alpha, len(scene.pool))
    assert job.is_done
    short = Audited(source, "full", whole=False)
    assert not short.is_done
    short.execute()
    assert list(short.done["results"]) == ["onlooker"]
    monkeypatch.setattr(public_audit, "settings_of", lambda attack: "another")
    assert not short.is_done
