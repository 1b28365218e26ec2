"""Phase retrieval from surrogates: where things are, from the amplitudes that a surrogate gives away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from fesf.scripts.audit.amplitude import lines
from fesf.scripts.audit.controls import condition, titled, under
from fesf.scripts.audit.hybrid_input_output import aligned, retrieve
from fesf.scripts.audit.inversion import adjusted, psnr
from fesf.scripts.audit.scene import Floats, Images, Scene
from fesf.scripts.audit.score import Score
from fesf.scripts.audit.self_made import one_pass, self_made
from fesf.scripts.audit.self_made_amplitude import Reading, SelfMadeAmplitude
from fesf.scripts.audit.spectra import band_mask, half_band

OCCUPIED = 0.02
"""A pixel that no public image exceeds by this is taken for background: the support is where one does."""
EQUAL = 1e-3
"""Residuals that differ by less are equal: where amplitudes cannot tell between restarts, the first one stands."""


def doubled(images: Floats) -> Floats:
    """Images (..., H, W) with as many zeros again to the right and below: their amplitudes are oversampled twofold."""
    rows, columns = images.shape[-2:]
    return np.pad(images, [(0, 0)] * (images.ndim - 2) + [(0, rows), (0, columns)])


def spread_out(amplitude: Floats, shape: tuple[int, int], alpha: float) -> Floats:
    """Amplitudes of the band, (N, F), in their places in the half spectrum, (N, H, W // 2 + 1); 0 elsewhere."""
    placed = np.zeros((len(amplitude), shape[0], shape[1] // 2 + 1))
    placed[:, half_band(shape, alpha)] = amplitude
    below = np.arange(shape[0] // 2 + 1, shape[0])
    placed[:, below, 0] = placed[:, shape[0] - below, 0]
    return placed


@dataclass(frozen=True)
class PhaseRetrieval:
    """Somebody with host, alpha and beta, who reads the amplitudes and looks for an image that has them.

    They know that no pixel is negative, and where public images have something. Of several starts the image whose
    amplitudes fit best is kept; both it and the mean public image, the baseline, are shifted and turned to fit the
    truth. Retrieval is known to work on all frequencies of an image padded to twice its size: these are its controls. A
    store gives the low band alone, without padding, where many images fit. Then everything depends on the start.

    Args:
        start: "noise": every start is noise; "mean": the first is the mean public image, which lends its phase.
        victims: so many are attacked, one image of each patient: it takes minutes.
        starts: for each of them.
        steps: of each start.
        seed: draws victims and starts.
    """

    name: ClassVar[str] = "phase retrieval"
    letters: ClassVar[tuple[str, ...]] = ("a", "c")
    finding: ClassVar[str] = "inference"
    measure: ClassVar[str] = "PSNR over that of the mean public image, both aligned, dB (0 is no better)"
    broken: ClassVar[str] = "spectrum mixing"
    margin: ClassVar[float] = 0.5
    permutations: ClassVar[int] = 3
    titles: ClassVar[Mapping[str, str]] = titled(
        plaintext="2x padded, all frequencies", broken="the same, hidden, 8 bits"
    )
    below: ClassVar[str] = "an image with another patient's amplitudes is a worse guess than the mean image"
    start: str = "noise"
    victims: int = 8
    starts: int = 4
    steps: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.start not in ("noise", "mean"):
            raise ValueError(f"start={self.start!r}: choose noise or mean.")

    def condition(self, scene: Scene, name: str, seed: int) -> Scene:
        """A few victims; the positive control and the broken scheme show them padded, in all frequencies."""
        if name not in ("plaintext", "broken"):
            usual = condition(scene, name, self.broken, seed)
            return replace(usual, victims=usual.victims.take(self._chosen(usual.victims)))
        chosen = scene.victims.take(self._chosen(scene.victims))
        padded = replace(
            scene,
            known=replace(scene.known.take(np.arange(0)), seen=_empty(scene), plain=_empty(scene)),
            victims=replace(chosen, seen=doubled(chosen.seen), plain=doubled(chosen.plain)),
            host=doubled(scene.host),
            pool=doubled(scene.pool),
            alpha=0.5,
            stage="synthetic",
        )
        if name == "plaintext":
            return under(padded, lambda plain: plain)
        return under(padded, lambda plain: one_pass(padded, plain, clip=False, levels=255))

    def _chosen(self, images: Images) -> np.ndarray:
        rng = np.random.default_rng(self.seed)
        order = rng.permutation(len(images))
        first = np.unique(images.patients[order], return_index=True)[1]
        return order[rng.permutation(first)[: self.victims]]

    def fit(self, scene: Scene) -> Reading:
        """How amplitudes are read, from self-made pairs."""
        if scene.scheme:  # a control's amplitudes are linear in what is seen
            return Reading(*lines(self_made(scene), scene.alpha), solves=False)
        return SelfMadeAmplitude().fit(scene)

    def reconstruct(self, fitted: Reading, scene: Scene) -> Floats:
        """Images of the victims as the attacker sees them, aligned for the eye, (N, H, W) in [0, 1]."""
        return aligned(self._retrieved(fitted, scene)[0], scene.victims.plain)

    def _retrieved(self, fitted: Reading, scene: Scene) -> tuple[Floats, Floats]:
        """Images, not aligned; by how much their amplitudes miss those that were read, (N,)."""
        shape, count = (scene.host.shape[0], scene.host.shape[1]), len(scene.victims)
        amplitude = spread_out(fitted.read(scene.victims.seen, scene), shape, scene.alpha)
        known = band_mask(shape, scene.alpha)[:, : shape[1] // 2 + 1]
        support = scene.pool.max(0) > OCCUPIED
        first = np.random.default_rng(self.seed).random((count, self.starts, *shape)) * support
        if self.start == "mean":
            first[:, 0] = scene.pool.mean(0)
        many = np.repeat(amplitude, self.starts, axis=0)
        images, missed = retrieve(many, known, support, first.reshape(-1, *shape), self.steps)
        images, missed = images.reshape(first.shape), missed.reshape(count, self.starts)
        best = (missed <= missed.min(1, keepdims=True) + EQUAL).argmax(1)
        return images[np.arange(count), best], missed[np.arange(count), best]

    def score(self, fitted: Reading, scene: Scene) -> Score:
        """Gain over the aligned mean public image; over the one with the victim's brightness and contrast beside it."""
        images, missed = self._retrieved(fitted, scene)
        truth, mean = scene.victims.plain, scene.pool.mean(0)
        found = psnr(aligned(images, truth), truth)
        usual = psnr(aligned(np.broadcast_to(mean, truth.shape), truth), truth)
        fair = psnr(aligned(adjusted(mean, truth), truth), truth)
        details = {
            "psnr": float(found.mean()),
            "psnr_aligned_mean_image": float(usual.mean()),
            "gain_over_adjusted_mean": float((found - fair).mean()),
            "amplitudes_missed": float(missed.mean()),
        }
        return Score(found - usual, scene.victims.patients, 0.0, details=details)


def _empty(scene: Scene) -> Floats:
    return np.zeros((0, 2 * scene.host.shape[0], 2 * scene.host.shape[1]))
