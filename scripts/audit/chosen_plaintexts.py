"""Amplitude recovery with the gateway as an oracle: a few public images, sent to it, say how it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fesf.scripts.audit.gateway import true_pairs
from fesf.scripts.audit.recipe_recovery import reach
from fesf.scripts.audit.scene import Floats, Images, Scene
from fesf.scripts.audit.score import Score
from fesf.scripts.audit.self_made_amplitude import Reading, SelfMadeAmplitude, recovered
from fesf.scripts.audit.spectra import band_amplitude

PRIOR = 2.0
"""Answers that the slope guessed from the store weighs."""


def guided_lines(pairs: Images, store: Floats, public: Floats, alpha: float) -> tuple[Floats, Floats]:
    """Slope and offset of each frequency from few pairs, (F,) each: a line through their mean.

    One pair gives no slope, and a few give a poor one. So it is drawn towards the one slope with which the store would
    spread as the public images do.

    Args:
        pairs: answers of the gateway.
        store: surrogates, (N, H, W).
        public: images like the plaintexts, (M, H, W).
        alpha: half-width of the band.
    """
    seen, plain = (band_amplitude(images, alpha) for images in (pairs.seen, pairs.plain))
    usual = band_amplitude(store, alpha).std(0)
    guess = float(np.median(band_amplitude(public, alpha).std(0) / np.maximum(usual, 1e-12)))
    weight = PRIOR * np.maximum(np.square(usual), 1e-12)
    centred = seen - seen.mean(0)
    slope = ((centred * (plain - plain.mean(0))).sum(0) + weight * guess) / (np.square(centred).sum(0) + weight)
    return slope, plain.mean(0) - slope * seen.mean(0)


def read_recipe(pairs: Images, scene: Scene) -> dict[str, float]:
    """Band, share and the amplitude of what hides, from two answers or more, by how amplitudes follow those sent.

    Args:
        pairs: answers of the gateway.
        scene: the truth that judges.

    Returns:
        By how many bins alpha is off, the plaintext's share, its relative error, and that of the host's amplitude in
        the true band; after a second pass share and host are those of the whole pipeline.
    """
    seen, plain = (np.abs(np.fft.rfft2(images)) for images in (pairs.seen, pairs.plain))
    moved = plain - plain.mean(0)
    share = (moved * (seen - seen.mean(0))).sum(0) / np.maximum(np.square(moved).sum(0), 1e-12)
    shape = (scene.host.shape[0], scene.host.shape[1])
    rings = np.unique(reach(shape))[1:]
    follows = np.array([np.median(share[reach(shape) == ring]) for ring in rings])
    inside = np.flatnonzero(follows > follows.max() / 2)
    alpha = float(rings[inside[-1]])
    beta = float(np.median(share[(reach(shape) <= alpha) & (reach(shape) > 0)]))
    found = {
        "alpha_bins_off": float(max(abs(int(alpha * n + 1e-9) - int(scene.alpha * n + 1e-9)) for n in shape)),
        "beta": beta,
    }
    if scene.beta > 0:
        found["beta_relative_error"] = abs(beta / scene.beta - 1)
    if beta < 1:
        answers, sent, true = (band_amplitude(x, scene.alpha) for x in (pairs.seen, pairs.plain, scene.host[None]))
        host = ((answers - beta * sent) / (1 - beta)).mean(0)
        found["host_relative_error"] = float(np.linalg.norm(host - true[0]) / np.linalg.norm(true[0]))
    return found


@dataclass(frozen=True)
class ChosenPlaintexts(SelfMadeAmplitude):
    """Somebody whom the gateway answers a few times: they send public images, and fit a line for each frequency.

    They need neither the recipe nor the host, which the answers give away, nor the generator, which answers too. What
    self-made pairs give without the gateway is another attack.

    Args:
        queries: how many images are sent; None for the whole public pool.
        seed: draws them.
    """

    name: ClassVar[str] = "amplitude recovery by chosen plaintexts"
    letters: ClassVar[tuple[str, ...]] = ("a", "b", "g")
    queries: int | None = None
    seed: int = 0

    def fit(self, scene: Scene) -> Reading:
        """Lines from the answers.

        Raises:
            ValueError: when the pool is smaller than the number of queries, or the generator is not at hand.
        """
        store = np.concatenate([scene.known.seen, scene.victims.seen])
        return Reading(*guided_lines(self._pairs(scene), store, scene.pool, scene.alpha), solves=False)

    def _pairs(self, scene: Scene) -> Images:
        count = len(scene.pool) if self.queries is None else self.queries
        if not 0 < count <= len(scene.pool):
            raise ValueError(f"The public pool has {len(scene.pool)} images: {count} cannot be sent.")
        order = np.random.default_rng(self.seed).permutation(len(scene.pool))
        return true_pairs(scene, scene.pool[order[:count]])

    def score(self, fitted: Reading, scene: Scene) -> Score:
        """Error of the amplitude that is read, and how well the recipe is."""
        pairs = self._pairs(scene)
        recipe = read_recipe(pairs, scene) if len(pairs) > 1 and scene.scheme is None else {}
        return recovered(fitted.read(scene.victims.seen, scene), scene, recipe)
