"""Attacks of somebody who stole the generator's weights, and so makes of public images what the hospital would.

Amplitudes are read by :class:`fesf.scripts.audit.simulation.StolenGenerator`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from fesf.scripts.audit.controls import condition, titled
from fesf.scripts.audit.gateway import refuse_hidden_once, true_pairs
from fesf.scripts.audit.host_recovery import HostRecovery
from fesf.scripts.audit.scene import Floats, Images, Integers, Scene
from fesf.scripts.audit.unet import SelfMadeUNetInversion

FACES = 8
"""Public images that are hidden in each candidate for the host."""


@dataclass(frozen=True)
class HostThroughGenerator(HostRecovery):
    """Somebody with the public pool and the generator, who hides public images in each image of the pool.

    The mean of the results is what the store would show, were it the host; the one most alike by phase is named. So
    this sees through the second pass, as far as the generator makes different images of different hosts. The controls
    that must succeed are one pass with many hosts, without the generator; the one that must fail is the whole pipeline
    with hosts that are not of the pool. Beta is not read.
    """

    name: ClassVar[str] = "host recovery by the stolen generator"
    letters: ClassVar[tuple[str, ...]] = ("a", "b", "h")
    titles: ClassVar[Mapping[str, str]] = titled(
        plaintext="many hosts, one pass, floats",
        broken="additive, many hosts",
        permuted="the pipeline, hosts not of the pool",
    )

    def condition(self, scene: Scene, name: str, seed: int) -> Scene:
        """Stores of the audit's own, as for somebody without the generator.

        Raises:
            ValueError: when no generator took part, it is not at hand, or the pool has one image.
        """
        refuse_hidden_once(scene)
        once = name in ("plaintext", "broken")
        return super().condition(replace(scene, pipeline=None, stage="synthetic") if once else scene, name, seed)

    def _hidden(self, scene: Scene, plain: Floats, exact: bool) -> Floats:
        return scene.pipeline(plain, scene.host) if scene.pipeline else super()._hidden(scene, plain, exact)

    def _faces(self, scene: Scene) -> Floats:
        if scene.pipeline is None:
            return scene.pool
        usual = np.square(scene.pool - scene.pool.mean(0)).mean((1, 2)).argsort(kind="stable")[:FACES]
        return np.stack([scene.pipeline(scene.pool[usual], host).mean(0) for host in scene.pool])

    def _share(self, seen: Floats, named: Integers, scene: Scene, alpha: float) -> dict[str, float]:
        return {}


@dataclass(frozen=True)
class StolenUNetInversion(SelfMadeUNetInversion):
    """Somebody with host, recipe and the generator, whose self-made pairs are as the store's: they teach a U-Net."""

    name: ClassVar[str] = "U-Net inversion by the stolen generator"
    letters: ClassVar[tuple[str, ...]] = ("a", "c", "h")

    def condition(self, scene: Scene, name: str, seed: int) -> Scene:
        """The usual controls.

        Raises:
            ValueError: when no generator took part, or it is not at hand.
        """
        refuse_hidden_once(scene)
        return condition(scene, name, self.broken, seed)

    def _pairs(self, scene: Scene) -> Images:
        return true_pairs(scene, scene.pool)
