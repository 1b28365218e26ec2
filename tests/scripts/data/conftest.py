"""The grid of the reproduction without its work: what jobs would hand to the bundle, and configs that change."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fesf.scripts.data import grid

Call = tuple[list[str], str, str, dict[str, Any]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """What jobs hand to the bundle; files that they read afterwards are made."""
    found: list[Call] = []

    def run_bundle(configs: list[str], run_id: str, kind: str = "train", **ids: Any) -> None:
        found.append((list(configs), run_id, kind, ids))
        if run_id == "training" and configs == ["enhance"]:
            (ids["hospital_dir"] / "iqem").mkdir(parents=True)
            (ids["hospital_dir"] / "iqem" / "distance.json").write_text('{"val_mmd": 0.5}')
        elif run_id == "training":
            ids["ckpt_dir"].mkdir(parents=True)
            (ids["ckpt_dir"] / "last.pt").write_text("state")
        elif run_id == "hiding":
            ids["hospital_dir"].mkdir(parents=True, exist_ok=True)  # the iqem arm shares the IQEM's
            ids["store_dir"].mkdir(parents=True)
            share = 0.25 if ids.get("generator_file") else 0.125
            (ids["hospital_dir"] / "release.json").write_text(json.dumps({"clipped_share": {"mean": share, "max": 1}}))
        elif run_id == "measuring":
            path = ids.get("output_file", ids["hospital_dir"] / "quality.json")
            path.write_text('{"images": 7}')

    def make_demo(out: Path, **options: Any) -> None:
        assert options == {"seed": 2, "overwrite": True, "progress": False}
        out.mkdir(parents=True, exist_ok=True)
        (out / "cohort.csv").write_text("image,label,patient\na.png,x,1\nb.png,y,2\nc.png,z,3\n")

    monkeypatch.setattr(grid, "run_bundle", run_bundle)
    monkeypatch.setattr(grid, "make_demo", make_demo)
    return found


@pytest.fixture
def rewrite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes the grid read copies of the configs, the named one with a space more."""
    original = grid.configs_folder()

    def change(name: str) -> None:
        folder = tmp_path / "configs" / name.replace("/", "-")
        for path in original.rglob("*.json"):
            copy = folder / path.relative_to(original)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(path.read_text() + (" " if copy == folder / f"{name}.json" else ""))
        monkeypatch.setattr(grid, "configs_folder", lambda: folder)

    return change
