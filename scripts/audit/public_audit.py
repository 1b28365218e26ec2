"""Audits of public sets as jobs of the reproduction's grid: what ``python -m fesf.scripts.privacy`` runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fesf.scripts.audit.evidence import read_scene
from fesf.scripts.audit.gateway import GENERATOR
from fesf.scripts.audit.run import FORMAT, run_audit, settings_of
from fesf.scripts.audit.suite import FULL, QUICK
from fesf.scripts.data.grid import OfSource
from fesf.scripts.data.release_entry import manifest_sha256

ARMS = {"ihm": "hidden once", "full": "full method"}
"""The stores that are audited: the first pass alone, and what is published by default where there is a generator."""


@dataclass(frozen=True)
class Audited(OfSource):
    """The attacks on one store of a source.

    Args:
        source: the fold or seed.
        arm: one of :data:`ARMS`.
        whole: all attacks, else those that take minutes.
    """

    arm: str
    whole: bool = True

    @property
    def title(self) -> str:
        return f"{self.source.name}/{self.source.run}/audit/{self.arm}"

    @property
    def folder(self) -> Path:
        return self.source.folder / "audit" / self.arm

    @property
    def settings(self) -> list[Any]:
        attacks = QUICK | (FULL if self.whole else {})
        return [self.source.key, self.arm, FORMAT, {name: settings_of(attack) for name, attack in attacks.items()}]

    @property
    def configs(self) -> tuple[str, ...]:
        return ()

    def work(self) -> dict[str, Any]:
        source, attacks = self.source, QUICK | (FULL if self.whole else {})
        store = source.store(self.arm)
        generator = None if self.arm == "ihm" else source.hospital / GENERATOR
        places = source.cohort, store, source.release(self.arm), source.cohort.parent / "hosts"
        scene = read_scene(*places, generator_file=generator)
        results = run_audit(scene, manifest_sha256(store), attacks, self.folder, source.run)
        counts = {}
        for part, images in (("known", scene.known), ("victims", scene.victims)):
            counts[part] = {"images": len(images), "patients": len(set(images.patients.tolist()))}
        release = {"alpha": scene.alpha, "beta": scene.beta, "hosts": len(scene.pool), "size": list(scene.host.shape)}
        return release | counts | {"results": results}
