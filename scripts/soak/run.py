"""The soak: draw broken inputs by seed and number, feed each to the product in a limited process, keep what fails."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from random import Random
from shutil import rmtree
from typing import Any

from fesf.scripts.data.limited_process import LimitedProcess
from fesf.scripts.data.store_format import DATASET, MANIFEST
from fesf.scripts.soak import mutation
from fesf.scripts.soak.folder import feed_folder
from fesf.scripts.soak.sources import (
    COHORT_IMAGES,
    ENCODINGS,
    KINDS,
    MARKER,
    Source,
    made_store,
    manifest_of,
    picture,
)
from fesf.scripts.soak.targets import FUNCTIONS, Outcome

SECONDS = 10.0
"""Processor time that one input may take."""
PATIENCE = 6
"""By which waiting may be longer: other work may have the processor."""
MEMORY = 2**30
WEIGHTS = {"dicom": 40, "nifti": 16, "png": 14, "cohort": 10, "manifest": 8, "dataset": 10, "folder": 2}
PARTS = 8
"""Files of a "folder" input."""
TEXTS = ("cohort", "manifest", "dataset")
WORDS = (f"{MARKER}^Anna", f"/home/{MARKER}/a.png", f"images/{MARKER}.png", f"{MARKER}\\n{MARKER}")
STOPPED = {"too-large": "memory above 1 GiB", "too-slow": f"a hang over {SECONDS:g} s", "decoder-died": "a crash"}


@dataclass(frozen=True)
class Recipe:
    """How an input is made of a source; holds nothing of the source's bytes.

    Args:
        kind: a key of :data:`WEIGHTS`.
        source: name of a source.
        digest: SHA-256 of the source.
        view: what the operations are applied to; see :func:`fesf.scripts.soak.mutation.inside`.
        operations: of :mod:`fesf.scripts.soak.mutation`.
        options: of the target.
        parts: recipes of the files of a "folder".
        seed: of the soak.
        number: of the input in it.
    """

    kind: str
    source: str = ""
    digest: str = ""
    view: str = "plain"
    operations: list[mutation.Operation] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    parts: list[Recipe] = field(default_factory=list)
    seed: int = 0
    number: int = 0

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Recipe:
        """The recipe that :func:`dataclasses.asdict` made a document of."""
        known = {name: value for name, value in document.items() if name in cls.__dataclass_fields__}
        return cls(**known | {"parts": [cls.of(part) for part in document.get("parts", [])]})


def by_kind(sources: Mapping[str, Source]) -> dict[str, dict[str, bytes]]:
    """Contents by kind and name."""
    found: dict[str, dict[str, bytes]] = {kind: {} for kind in KINDS}
    for name, source in sorted(sources.items()):
        found[source.kind][name] = source.content
    return found


def draw(seed: int, number: int, sources: Mapping[str, Source], kinds: Sequence[str] = KINDS) -> Recipe:
    """The recipe of one input, which the seed, its number, the sources and the kinds determine."""
    random = Random(f"{seed}/{number}")
    pools = by_kind(sources)
    kind = random.choices(kinds, [WEIGHTS[kind] for kind in kinds])[0]
    if kind != "folder":
        return _draw_file(random, kind, pools, sources, seed, number)
    images = random.choices(("dicom", "nifti", "png"), (6, 1, 1), k=PARTS)
    parts = [_draw_file(random, part, pools, sources, seed, number, random.random() < 0.5) for part in images]
    options = {
        "rows": random.choice(("image", "slice", "volume")),
        "patient_from_folder": random.random() < 0.5,
        "names": [random.choice(("", "SERIES/", "A/B/")) + f"{MARKER}{index}" for index in range(PARTS)],
    }
    return Recipe("folder", options=options, parts=parts, seed=seed, number=number)


def _draw_file(
    random: Random,
    kind: str,
    pools: Mapping[str, Mapping[str, bytes]],
    sources: Mapping[str, Source],
    seed: int,
    number: int,
    changed: bool = True,
) -> Recipe:
    source = sources[random.choice(sorted(pools[kind]))]
    view = random.choice(mutation.views(source.content))
    words = WORDS if kind in TEXTS else ()
    operations: list[mutation.Operation] = []
    if changed:
        operations = mutation.draw(random, mutation.inside(source.content, view), kind in TEXTS, pools[kind], words)
    axes = random.choice((2, 2, 3))
    options = {
        "size": [[12, 10], [6, 5, 4]][axes - 2],
        "rule": random.choice((None, None, "window", [-1000, 3000])),
        "spacing": random.choice((None, None, None, [[1.5, 2.0], [2.0, 2.0, 2.0]][axes - 2])),
        "frame": random.choice((None, None, 0, 3)),
        "sealed": random.random() < 0.8,
    }
    return Recipe(kind, source.name, source.digest, view, operations, options, [], seed, number)


def content_of(recipe: Recipe, sources: Mapping[str, Source]) -> bytes:
    """The broken input.

    Raises:
        KeyError: when a source is not at hand.
    """
    source = sources[recipe.source]
    others = by_kind(sources)[recipe.kind]
    changed = mutation.apply(mutation.inside(source.content, recipe.view), recipe.operations, others)
    return mutation.outside(changed, recipe.view, source.content)


class Feeder:
    """Makes inputs in a work folder and feeds them, one at a time.

    Args:
        sources: by name.
        work: folder of its own, emptied.
        seconds, memory: see :class:`fesf.scripts.data.limited_process.LimitedProcess`.
    """

    def __init__(
        self, sources: Mapping[str, Source], work: str | Path, seconds: float = SECONDS, memory: int = MEMORY
    ) -> None:
        self.sources = sources
        self.work = Path(work).resolve() / MARKER
        self.process = LimitedProcess(FUNCTIONS, "fesf.scripts.soak.process", memory, seconds * PATIENCE)
        self.limits = (seconds, memory)
        rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True, mode=0o700)
        for number, name in enumerate(COHORT_IMAGES):
            (self.work / name).write_bytes(picture(number))
        for encoding in ENCODINGS:
            for name, content in made_store(encoding).items():
                (self.work / encoding / name).parent.mkdir(parents=True, exist_ok=True)
                (self.work / encoding / name).write_bytes(content)

    def __enter__(self) -> Feeder:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.__exit__()
        rmtree(self.work, ignore_errors=True)

    def feed(self, recipe: Recipe) -> Outcome:
        """What became of an input; a process that it ended is started again for the next one."""
        if recipe.kind == "folder":
            contents = [content_of(part, self.sources) for part in recipe.parts]
            suffixes = [self.sources[part.source].suffix for part in recipe.parts]
            return feed_folder(self.work / "folder", contents, suffixes, recipe.options, *self.limits)
        content = content_of(recipe, self.sources)
        if recipe.kind in ("manifest", "dataset"):
            return self._ask_store(recipe, content)
        path = self.work / f"{MARKER}{self.sources[recipe.source].suffix or '.csv' * (recipe.kind == 'cohort')}"
        path.write_bytes(content)
        try:
            return self._ask(recipe, self.work, path.name)
        finally:
            path.unlink()

    def _ask_store(self, recipe: Recipe, content: bytes) -> Outcome:
        encoding = recipe.source.split("/")[1]
        store, sound = self.work / encoding, made_store(encoding)
        changed = MANIFEST if recipe.kind == "manifest" else DATASET
        files = {changed: content}
        if changed == DATASET and recipe.options["sealed"]:  # somebody made both documents
            size = json.loads(sound[MANIFEST])["spatial_size"]
            files[MANIFEST] = manifest_of(
                {name: held for name, held in (sound | files).items() if name != MANIFEST}, encoding, size
            )
        for name, held in files.items():
            (store / name).write_bytes(held)
        try:
            return self._ask(recipe, store, changed)
        finally:
            for name in files:
                (store / name).write_bytes(sound[name])

    def _ask(self, recipe: Recipe, place: Path, name: str) -> Outcome:
        stage_file = self.work / "stage"
        stage_file.write_text("start")
        answer = self.process.ask("run_case", recipe.kind, str(place), name, recipe.options, str(stage_file))
        if isinstance(answer, Outcome):
            slow = answer.seconds > self.limits[0] and not answer.fault
            return replace(answer, fault=f"{answer.codes[-1][0]}: {STOPPED['too-slow']}") if slow else answer
        stage = stage_file.read_text()
        if stage == "make_cohort" and answer == "too-large":  # as make_cohort's own process would end
            return Outcome(((stage, answer),))
        return Outcome(((stage, answer),), f"{stage}: {STOPPED.get(answer, answer)}")


def read_journal(path: str | Path, head: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Records of an interrupted soak; none when it was another one (or code of another commit) or there is no journal.

    Args:
        path: the journal, JSON lines.
        head: what its first line must be.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    records = []
    for line in lines:
        try:
            records.append(json.loads(line))
        except ValueError:  # a line that a kill cut
            break
    return records[1:] if records and records[0] == json.loads(json.dumps(head)) else []


def soak(
    feeder: Feeder, numbers: Sequence[int], seed: int, kinds: Sequence[str], done: Sequence[Mapping[str, Any]] = ()
) -> Iterator[dict[str, Any]]:
    """Feed inputs by their numbers; gives a record of each, those done before included.

    Args:
        feeder: feeds.
        numbers: of the inputs.
        seed: of the soak.
        kinds: of the inputs.
        done: records of :func:`read_journal`.
    """
    before = {record["number"]: record for record in done}
    for number in numbers:
        if number in before:
            yield dict(before[number])
            continue
        recipe = draw(seed, number, feeder.sources, kinds)
        outcome = feeder.feed(recipe)
        record = {"number": number, "kind": recipe.kind, "source": recipe.source, **asdict(outcome)}
        yield record | ({"recipe": asdict(recipe)} if outcome.fault else {})


def keep(record: Mapping[str, Any], folder: str | Path) -> None:
    """Write a failure's recipe as a regression file, three at most of one kind of fault."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    recipe = dict(record["recipe"])
    same = [path for path in folder.glob("*.json") if json.loads(path.read_text()).get("fault") == record["fault"]]
    if len(same) < 3:
        name = f"{recipe['kind']}-{recipe['seed']}-{recipe['number']}.json"
        (folder / name).write_text(json.dumps(recipe | {"fault": record["fault"]}, indent=1) + os.linesep)
