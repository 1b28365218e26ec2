"""``make soak`` in small; ``make soak N=20000`` feeds more. Every input that once failed is fed again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fesf.scripts.soak import __main__ as module
from fesf.scripts.soak.__main__ import main
from fesf.scripts.soak.run import Feeder, Recipe
from fesf.scripts.soak.sources import collect

ROOT = Path(__file__).parents[3]
NUMBER = int(os.environ.get("FESF_SOAK", "300"))
KEPT = sorted((ROOT / "tests" / "data" / "regressions").glob("*.json"))
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits memory on Linux alone")


def test_broken_inputs_do_no_harm(tmp_path: Path) -> None:
    out = tmp_path / "soak.json"
    command = [sys.executable, "-m", "fesf.scripts.soak", "--number", str(NUMBER), "--work", str(tmp_path / "work")]
    command += ["--keep", str(tmp_path / "kept"), "--out", str(out), "--quiet"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(out.read_text())
    assert document["faults"] == {}
    assert sum(document["inputs"].values()) == NUMBER
    assert document["command"] == f"python -m fesf.scripts.soak --number {NUMBER} --seed 0 --out FILE"
    assert 0 < document["largest"]["mebibytes"] < 1024
    assert 0 < document["slowest"]["seconds"] < 10
    assert f"{NUMBER} inputs, **0 faults**" in (tmp_path / "soak.md").read_text()
    assert not (tmp_path / "kept").exists()
    assert list((tmp_path / "work").iterdir()) == []
    print(done.stdout.strip())


def test_inputs_that_once_failed(tmp_path: Path) -> None:
    """Recipes of real files are fed where the source is at hand, with the bytes that it had."""
    shared = Path(os.environ.get("FESF_SHARED", ROOT.parent / "shared")) / "data"
    sources, fed = collect(shared if shared.is_dir() else None), 0
    with Feeder(sources, tmp_path) as feeder:
        for path in KEPT:
            recipe = Recipe.of(json.loads(path.read_text()))
            parts = recipe.parts or [recipe]
            if all(part.source in sources and sources[part.source].digest == part.digest for part in parts):
                outcome = feeder.feed(recipe)
                assert outcome.fault == "", path.name
                fed += 1
    assert fed >= 5


class _Feeder:
    """Answers by number, and is interrupted once."""

    stops: list[int] = []  # noqa: RUF012

    def __init__(self, sources: Any, work: Path) -> None:
        self.sources = sources

    def __enter__(self) -> _Feeder:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def feed(self, recipe: Recipe) -> Any:
        from fesf.scripts.soak.targets import Outcome

        if recipe.number in self.stops:
            self.stops.remove(recipe.number)
            raise KeyboardInterrupt
        bad = recipe.number == 1
        return Outcome((("hide", "accepted"),), "hide: a crash" if bad else "", recipe.number / 10, 5.0 - recipe.number)


@pytest.fixture
def arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(module, "Feeder", _Feeder)
    places = {"work": tmp_path / "work", "keep": tmp_path / "kept", "out": tmp_path / "soak.json", "shared": tmp_path}
    return [
        "--number",
        "4",
        "--quiet",
        "--only",
        "png",
        *(text for n, p in places.items() for text in (f"--{n}", str(p))),
    ]


def test_faults_are_counted_shown_and_kept(arguments: list[str], tmp_path: Path, capsys: Any) -> None:
    assert main(arguments) == 1
    said = capsys.readouterr().out
    assert "input 1 (png, made/" in said
    assert "4 inputs (seed 0): 1 faults, slowest 0.3 s, largest 5 MiB" in said
    document = json.loads((tmp_path / "soak.json").read_text())
    assert document["faults"] == {"hide: a crash": 1}
    assert document["outcomes"] == {"png": {"hide": {"accepted": 4}}}
    assert (document["slowest"]["number"], document["largest"]["number"]) == (3, 0)
    assert document["command"].endswith("--only png --out FILE")
    page = (tmp_path / "soak.md").read_text()
    assert "4 inputs, **1 faults**" in page
    assert "- 1 x hide: a crash" in page
    assert "| png | 4 | hide | 4 accepted |" in page
    kept = [path.name for path in (tmp_path / "kept").iterdir()]
    assert kept == ["png-0-1.json"]
    assert main([*arguments, "--again", str(tmp_path / "kept" / kept[0])]) == 1
    assert "png-0-1.json: hide: a crash" in capsys.readouterr().out


def test_an_interrupted_soak_goes_on(arguments: list[str], tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr(_Feeder, "stops", [2])
    assert main(arguments) == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert len((tmp_path / "work" / "journal.jsonl").read_text().splitlines()) == 3
    assert main(arguments) == 1
    assert json.loads((tmp_path / "soak.json").read_text())["resumed"] == 2
    assert "4 inputs (seed 0): 1 faults" in capsys.readouterr().out


def test_mistakes(arguments: list[str], tmp_path: Path, capsys: Any) -> None:
    for bad in (["--number", "0"], ["--only", "png,gif"]):
        with pytest.raises(SystemExit):
            main([*arguments, *bad])
    assert main([*arguments, "--again", str(tmp_path / "none.json")]) == 2
    assert "error: FileNotFoundError" in capsys.readouterr().err
    assert main([*[a for a in arguments if a != "--out" and not a.endswith("soak.json")]]) == 1
    assert not (tmp_path / "soak.json").exists()
