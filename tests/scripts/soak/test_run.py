"""Drawing, feeding and remembering: by seed and number, in a process that may end."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from fesf.scripts.data.limited_process import LimitedProcess
from fesf.scripts.soak import run as module
from fesf.scripts.soak.run import Feeder, Recipe, content_of, draw, keep, read_journal, soak
from fesf.scripts.soak.sources import KINDS, MARKER, Source, collect
from fesf.scripts.soak.targets import Outcome

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits memory on Linux alone")


@pytest.fixture(scope="module")
def sources() -> dict[str, Source]:
    return collect()


def test_seed_and_number_decide(sources: dict[str, Source]) -> None:
    recipes = [draw(5, number, sources) for number in range(300)]
    assert recipes == [draw(5, number, sources) for number in range(300)]
    assert recipes[:20] != [draw(6, number, sources) for number in range(20)]
    assert set(Counter(recipe.kind for recipe in recipes)) == set(KINDS)
    assert {recipe.kind for recipe in (draw(5, n, sources, ("png", "cohort")) for n in range(30))} == {"png", "cohort"}
    for recipe in recipes:
        again = Recipe.of(json.loads(json.dumps(asdict(recipe))))
        assert again == recipe
        for part in recipe.parts or [recipe]:
            assert content_of(part, sources) == content_of(Recipe.of(json.loads(json.dumps(asdict(part)))), sources)
            assert part.digest == sources[part.source].digest
    changed = [r for r in recipes if r.kind != "folder" and content_of(r, sources) != sources[r.source].content]
    assert len(changed) > 0.9 * (300 - sum(recipe.kind == "folder" for recipe in recipes))


@pytest.fixture(scope="module")
def feeder(sources: dict[str, Source], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Feeder]:
    with Feeder(sources, tmp_path_factory.mktemp("soak")) as made:
        yield made
    assert not made.work.exists()


def test_inputs_of_every_kind_are_fed(feeder: Feeder) -> None:
    numbers = {draw(1, number, feeder.sources).kind: number for number in range(200)}
    assert set(numbers) == set(KINDS)
    before = {path: path.read_bytes() for path in feeder.work.rglob("*") if path.is_file()}
    for number in numbers.values():
        outcome = feeder.feed(draw(1, number, feeder.sources))
        assert outcome.codes
        assert outcome.fault == ""
    after = {path: path.read_bytes() for path in feeder.work.rglob("*") if path.is_file() and path.name != "stage"}
    assert after == {path: content for path, content in before.items() if path.name != "stage"}


def test_a_dataset_that_somebody_vouched_for(feeder: Feeder) -> None:
    source = feeder.sources["made/png/dataset.json"]
    place = source.content.index(b'"label": ', source.content.index(b'"training"')) + len(b'"label": ')
    for sealed, text in ((True, "is no index of class_names"), (False, "differs from its digest")):
        operations = [["replace", place, place + 1, "7", 1]]
        recipe = Recipe("dataset", source.name, source.digest, "plain", operations, {"sealed": sealed, "size": [1]})
        assert text in feeder.feed(recipe).codes[-1][1]


class _Answering:
    """Stands for a process; it writes the stage and answers."""

    def __init__(self, stage: str, answer: Any) -> None:
        self.stage, self.answer = stage, answer

    def ask(self, *arguments: Any) -> Any:
        Path(arguments[-1]).write_text(self.stage)
        return self.answer


@pytest.mark.parametrize(
    ("stage", "answer", "fault"),
    [
        ("make_cohort", "too-large", ""),  # as make_cohort's own process ends, which is a line of its quarantine
        ("hide", "too-large", "hide: memory above 1 GiB"),
        ("make_cohort", "too-slow", "make_cohort: a hang over 10 s"),
        ("training", "decoder-died", "training: a crash"),
        ("start", "undecodable", "start: undecodable"),
        ("hide", Outcome((("hide", "accepted"),), "", 10.5), "hide: a hang over 10 s"),
        ("hide", Outcome((("hide", "accepted"),), "", 9.5), ""),
        ("hide", Outcome((), "hide: bad", 99.0), "hide: bad"),
    ],
)
def test_what_the_process_cannot_say(
    feeder: Feeder, monkeypatch: pytest.MonkeyPatch, stage: str, answer: Any, fault: str
) -> None:
    monkeypatch.setattr(feeder, "process", _Answering(stage, answer))
    assert feeder.feed(draw(0, 0, feeder.sources, ("png",))).fault == fault


def test_a_real_process_that_dies_or_hangs(feeder: Feeder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answers above are those of a real one; a recipe after it is fed as ever."""
    with LimitedProcess({"run_case": _die}, __name__, seconds=60) as process:
        monkeypatch.setattr(feeder, "process", process)
        assert feeder.feed(draw(0, 0, feeder.sources, ("png",))).fault == "start: a crash"
    with LimitedProcess({"run_case": _sleep}, __name__, seconds=0.2) as process:
        monkeypatch.setattr(feeder, "process", process)
        assert feeder.feed(draw(0, 0, feeder.sources, ("png",))).fault == "start: a hang over 10 s"


def _die(*_: object) -> None:
    os.abort()


def _sleep(*_: object) -> None:
    time.sleep(60)


def test_journal_of_another_soak_is_not_taken(tmp_path: Path) -> None:
    head = {"seed": 1, "kinds": ("png",)}
    assert read_journal(tmp_path / "none", head) == []
    path = tmp_path / "journal"
    path.write_text(json.dumps(head) + '\n{"number": 0}\n{"number": 1}\n{"num')
    assert read_journal(path, head) == [{"number": 0}, {"number": 1}]
    assert read_journal(path, head | {"seed": 2}) == []
    path.write_text("")
    assert read_journal(path, head) == []


def test_inputs_done_before_are_not_fed_again(feeder: Feeder, monkeypatch: pytest.MonkeyPatch) -> None:
    fed = []
    monkeypatch.setattr(
        feeder, "feed", lambda recipe: fed.append(recipe.number) or Outcome((), "bad" * (recipe.number == 2))
    )
    done = [{"number": 1, "kind": "png", "fault": ""}]
    records = list(soak(feeder, range(3), 0, ("png",), done))
    assert fed == [0, 2]
    assert [record["number"] for record in records] == [0, 1, 2]
    assert ["recipe" in record for record in records] == [False, False, True]
    assert records[2]["recipe"] == asdict(draw(0, 2, feeder.sources, ("png",)))


def test_three_recipes_of_a_fault_are_kept(tmp_path: Path) -> None:
    for number in range(5):
        keep({"recipe": {"kind": "png", "seed": 0, "number": number}, "fault": "hide: a crash"}, tmp_path / "kept")
    keep({"recipe": {"kind": "png", "seed": 0, "number": 9}, "fault": "hide: MemoryError"}, tmp_path / "kept")
    names = sorted(path.name for path in (tmp_path / "kept").iterdir())
    assert names == ["png-0-0.json", "png-0-1.json", "png-0-2.json", "png-0-9.json"]
    assert MARKER not in (tmp_path / "kept" / names[0]).read_text()
    assert module.SECONDS == 10
