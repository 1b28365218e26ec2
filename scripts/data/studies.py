"""What the reproduction asks beside its cells: other lambdas, a stronger second pass, other alphas and betas."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from fesf.scripts.data.grid import (
    DEMO,
    STAGES,
    Job,
    OfSource,
    Source,
    measure,
    refusal,
    train_and_evaluate,
    train_generator,
    training_ids,
)
from fesf.scripts.data.phase import PhaseCheckError

ALPHAS, BETAS = (0.02, 0.05, 0.1, 0.25, 0.5), (0.25, 0.5, 1.0)
LAMBDAS = (0.0, 80.0)
"""Weights of the IQEM's content term beside enhance.json's own: the paper's loss, and four times our own."""
SWEPT = (DEMO, "us_breastmnist")
GENERATED = ("iqem", "full")
"""Arms whose images a generator made."""
STRONG = (0.25, 1.0)
"""alpha' and beta' of the stronger second pass: all of the plaintext's amplitude in a wider band."""


@dataclass(frozen=True)
class OtherLambda(OfSource):
    """The IQEM of a source with another lambda, 0 being the paper's loss: the generator and its image quality."""

    weight: float

    @property
    def title(self) -> str:
        return f"{self.source.name}/{self.source.run}/lambda/{self.weight:g}/generator"

    @property
    def folder(self) -> Path:
        return self.source.folder / "lambda" / f"{self.weight:g}"

    @property
    def settings(self) -> list[Any]:
        return [self.source.settings, self.weight]

    @property
    def configs(self) -> tuple[str, ...]:
        return self.source.configs

    @property
    def generator(self) -> Path:
        """Its weights."""
        return self.folder / "hospital" / "iqem" / "generator.pt"

    def work(self) -> dict[str, Any]:
        hospital = self.folder / "hospital"
        shutil.rmtree(hospital, ignore_errors=True)
        ids = self.source.ids | {"previous_splits": self.source.hospital / "splits.csv"}
        training = ids | self.source.training_ids | {"content_weight": self.weight}
        refused = train_generator(hospital_dir=hospital, **training)
        if refused:
            return {"refused": refused}
        measure(self.source, hospital)
        return {
            "distance": json.loads((hospital / "iqem" / "distance.json").read_text()),
            "quality": json.loads((hospital / "quality.json").read_text()),
        }


@dataclass(frozen=True)
class Rehidden(OfSource):
    """The small CNN on the same cohort hidden in another way."""

    kind: ClassVar[str]

    @property
    def variant(self) -> str:
        """Which of its kind."""
        raise NotImplementedError

    @property
    def title(self) -> str:
        return f"{self.source.name}/{self.source.run}/{self.kind}/{self.variant}"

    @property
    def folder(self) -> Path:
        return self.source.folder / self.kind / self.variant.replace("/", "-")

    @property
    def linkage(self) -> Path:
        """``linkage.csv`` of this release."""
        return self.folder / "hospital" / "linkage.csv"

    @property
    def recipe(self) -> dict[str, Any]:
        """Ids of ``hide.json`` that differ."""
        raise NotImplementedError

    def work(self) -> dict[str, Any]:
        if self.is_void:
            return {}
        hospital, store = self.folder / "hospital", self.folder / "store"
        for place in (hospital, store):
            shutil.rmtree(place, ignore_errors=True)
        own: dict[str, Any] = {"hospital_dir": hospital, "store_dir": store, **self.recipe}
        own |= {"secret_file": self.source.secret(), "previous_splits": self.source.hospital / "splits.csv"}
        refused = refusal(PhaseCheckError, ["hide"], "hiding", "infer", **self.source.ids, **own)
        if refused:
            return {"refused": refused}
        epochs = {"epochs": 2} if self.source.quick else {}
        train_and_evaluate(self.folder, [], training_ids(self.folder, self.source, {"dataset_dir": store, **epochs}))
        release = json.loads((hospital / "release.json").read_text())
        shutil.rmtree(store)
        return {"clipped_share": release["clipped_share"]["mean"]}


@dataclass(frozen=True)
class LambdaCell(Rehidden):
    """An arm that a generator made, with the one of another lambda."""

    weight: float
    arm: str
    kind = "lambda"

    @property
    def variant(self) -> str:
        return f"{self.weight:g}/{self.arm}"

    @property
    def before(self) -> OtherLambda:
        """What trains the generator."""
        return OtherLambda(self.source, self.weight)

    @property
    def after(self) -> tuple[Job, ...]:
        return self.source, self.before

    @property
    def is_void(self) -> bool:
        return super().is_void or "refused" in self.before.done

    @property
    def settings(self) -> list[Any]:
        return [self.before.key, self.arm]

    @property
    def configs(self) -> tuple[str, ...]:
        return "hide", "train", "evaluate"

    @property
    def recipe(self) -> dict[str, Any]:
        return {"generator_file": self.before.generator, "stage": STAGES[self.arm]}


@dataclass(frozen=True)
class OtherRecipe(Rehidden):
    """Hidden with another alpha and beta."""

    alpha: float
    beta: float

    @property
    def variant(self) -> str:
        return f"{self.alpha}/{self.beta}"


@dataclass(frozen=True)
class SweepPoint(OtherRecipe):
    """Images of the IHM alone at another alpha and beta."""

    kind = "sweep"

    @property
    def settings(self) -> list[Any]:
        return [self.source.settings, self.alpha, self.beta]

    @property
    def configs(self) -> tuple[str, ...]:
        return "hide", "train", "evaluate"

    @property
    def recipe(self) -> dict[str, Any]:
        return {"alpha": self.alpha, "beta": self.beta}


@dataclass(frozen=True)
class SecondPass(OtherRecipe):
    """The full pipeline with another alpha' and beta', on the source's generator; measures image quality, too."""

    kind = "second_pass"

    @property
    def settings(self) -> list[Any]:
        return [self.source.key, self.alpha, self.beta]

    @property
    def configs(self) -> tuple[str, ...]:
        return "hide", "quality", "train", "evaluate"

    @property
    def recipe(self) -> dict[str, Any]:
        generator = self.source.hospital / "iqem" / "generator.pt"
        return {"generator_file": generator, "second_alpha": self.alpha, "second_beta": self.beta}

    def work(self) -> dict[str, Any]:
        done = super().work()
        if self.is_void or "refused" in done:
            return done
        path = self.folder / "quality.json"
        second = {"second_alpha": self.alpha, "second_beta": self.beta}
        measure(self.source, self.source.hospital, output_file=path, **second)
        return done | {"quality": json.loads(path.read_text())}


def studies(found: Sequence[Source], sweep: bool) -> Iterator[Job]:
    """Other lambdas and the stronger second pass on every set's first run, and the sweep where asked for.

    Args:
        found: the grid's sources.
        sweep: also every alpha and beta on :data:`SWEPT`.
    """
    first = [source for source in found if source.run == 0]
    for weight in LAMBDAS:
        for source in first:
            yield OtherLambda(source, weight)
            yield from (LambdaCell(source, weight, arm) for arm in GENERATED)
    yield from (SecondPass(source, *STRONG) for source in first)
    if sweep:
        swept = [source for source in first if source.name in SWEPT]
        yield from (SweepPoint(source, alpha, beta) for source in swept for alpha in ALPHAS for beta in BETAS)
