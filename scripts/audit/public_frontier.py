"""The frontier of a public set as jobs of the reproduction's grid: ``python -m fesf.scripts.privacy`` chooses by it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fesf.scripts.audit.frontier import RISKS
from fesf.scripts.audit.run import settings_of
from fesf.scripts.audit.settings import ATTACKS, Plaintext, Setting, Sweep, Trial
from fesf.scripts.data.grid import OfSource, Source
from fesf.scripts.data.studies import ALPHAS, BETAS

LIMITS = {"reidentification": 0.3, "inversion": 2.0}
"""Those of the example in docs/audit.md, written down there before any of these settings was measured."""
ALPHA, BETA = 0.1, 0.5
"""hide.json's own."""
POINTS: tuple[tuple[str, float, float], ...] = (
    *(("synthetic", alpha, beta) for alpha in ALPHAS for beta in BETAS),
    ("enhanced", ALPHA, BETA),
    *(("surrogate", alpha, BETA) for alpha in ALPHAS),
    *(("surrogate", ALPHA, beta) for beta in BETAS if beta != BETA),
)
"""Stage, alpha and beta: every one of the sweep hidden once, and around hide.json's own by the full method, whose
generator was trained at these."""


@dataclass(frozen=True)
class OfFrontier(OfSource):
    """A trial of ``tune`` on a source's cohort, with its splits, its generator and its secret."""

    @property
    def sweep(self) -> Sweep:
        """What all trials of the source share."""
        source = self.source
        return Sweep(
            source.cohort,
            source.cohort.parent / "hosts",
            source.folder / "frontier",
            source.image_size,
            seed=source.run,
            generator=source.hospital / "iqem" / "generator.pt",
            splits=source.hospital / "splits.csv",
        )

    @property
    def trial(self) -> Trial:
        """The trial."""
        raise NotImplementedError

    @property
    def title(self) -> str:
        return f"{self.source.name}/{self.source.run}/frontier/{self.trial.name}"

    @property
    def folder(self) -> Path:
        return self.trial.folder

    @property
    def settings(self) -> list[Any]:
        return [self.source.key, self.trial.name, {name: settings_of(attack) for name, attack in ATTACKS.items()}]

    @property
    def configs(self) -> tuple[str, ...]:
        return self.trial.configs

    def work(self) -> dict[str, Any]:
        if self.is_void:
            return {}
        return replace(self.trial, sweep=replace(self.sweep, secret_file=self.source.secret())).work()


@dataclass(frozen=True)
class Tried(OfFrontier):
    """One setting.

    Args:
        source: the fold or seed.
        stage: "synthetic", "enhanced" or "surrogate".
        alpha: of both passes.
        beta: of both passes.
    """

    stage: str
    alpha: float
    beta: float

    @property
    def trial(self) -> Trial:
        return Setting(self.sweep, self.stage, self.alpha, self.beta)


@dataclass(frozen=True)
class Bound(OfFrontier):
    """The upper bound of the utility: plaintexts."""

    @property
    def trial(self) -> Trial:
        return Plaintext(self.sweep, self.source.hospital / "splits.csv")


def frontier_jobs(source: Source) -> Iterator[OfFrontier]:
    """Every setting of :data:`POINTS`, then plaintexts."""
    yield from (Tried(source, *point) for point in POINTS)
    yield Bound(source)


def measurable(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """:data:`LIMITS` without those on a risk that the set cannot measure."""
    return {risk: LIMITS[risk] for risk in RISKS if any(row["test"][risk] for row in rows if "test" in row)}
