"""Burned-in text by dictionary: which of these names is written in the pixels?

A text's amplitude hardly depends on where it stands, and hiding keeps amplitudes. So each candidate is drawn once and
its amplitude compared with what the surrogate says of the plaintext's, in numpy and scipy alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from fesf.scripts.audit.amplitude import solve
from fesf.scripts.audit.scene import Floats, Scene
from fesf.scripts.audit.score import Score
from fesf.scripts.audit.spectra import band_amplitude, half_band
from fesf.scripts.data.text_overlay import Overlay, coverage, text_box

PIECE = 50
"""Candidates that are compared together, which bounds the memory."""
CORNER = 8


@lru_cache(maxsize=1)
def text_amplitudes(
    candidates: tuple[str, ...], font: str, size: int, shape: tuple[int, int], boxes: bool = False
) -> NDArray[np.float16]:
    """Amplitudes of every candidate drawn in white on black: (M, H, W // 2 + 1), the mean at [0, 0].

    Args:
        candidates: the texts.
        font, size: see :class:`fesf.scripts.data.text_overlay.Overlay`.
        shape: (H, W).
        boxes: draw the box around each text in place of the text: what a mask leaves.
    """
    found = np.empty((len(candidates), shape[0], shape[1] // 2 + 1), dtype=np.float16)
    for index, text in enumerate(candidates):
        if boxes:
            left, top, right, bottom = text_box(text, font, size)
            drawn = np.zeros(shape, dtype=np.float32)
            drawn[CORNER + top : CORNER + bottom, CORNER + left : CORNER + right] = 1
        else:
            drawn = coverage(Overlay(text, font, size, CORNER, CORNER), shape)
        found[index] = np.minimum(np.abs(fft.rfft2(drawn)), 6e4)
    return found


def by_radius(values: Floats, shape: tuple[int, int], alpha: float) -> Floats:
    """Means over rings of equal distance to DC, at every frequency of the band: (..., F) to (..., F)."""
    rows, columns = np.fft.fftfreq(shape[0]) * shape[0], np.fft.rfftfreq(shape[1]) * shape[1]
    ring = np.rint(np.hypot(rows[:, None], columns)[half_band(shape, alpha)]).astype(np.int64)
    counts = np.bincount(ring)
    rings = np.stack([np.bincount(ring, line) for line in values.reshape(-1, len(ring))]) / np.maximum(counts, 1)
    return rings[:, ring].reshape(values.shape)


def whitened(values: Floats, shape: tuple[int, int], alpha: float) -> NDArray[np.float32]:
    """Amplitudes (N, F) with a mean square of 1 on every ring: no ring outweighs the others."""
    level = by_radius(np.square(values), shape, alpha)
    return (values / np.sqrt(np.maximum(level, 1e-12))).astype(np.float32)


def correlation(seen: NDArray[np.float32], templates: NDArray[np.float32]) -> Floats:
    """Correlation of observations (N, F) with templates (M, F), up to a factor of each observation, (N, M)."""
    centred = templates - templates.mean(1, keepdims=True)
    centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    return (seen - seen.mean(1, keepdims=True)).astype(np.float64) @ centred.T


def ranks(likeness: Floats, truth: NDArray[np.int64]) -> Floats:
    """How many candidates look better than the true one, (N,); ties count half."""
    own = likeness[np.arange(len(truth)), truth][:, None]
    return (likeness > own).sum(1) + ((likeness == own).sum(1) - 1) / 2


@dataclass(frozen=True)
class TextDictionary:
    """Somebody with a list of names who knows the font and the size in which a device writes, not where.

    Args:
        candidates: the names.
        written: for each victim's patient number, which candidate is written in their images; for the judge alone.
        font, size: as the attacker believes them; see :data:`fesf.scripts.data.text_overlay.FONTS`.
        host_known: solve for the plaintext's amplitude by host, alpha and beta, one surrogate at a time; otherwise take
            off what is usual in the store, in which host, alpha and beta drop out.
        boxes: look for the box that a mask of each name would leave.
    """

    name: ClassVar[str] = "burned-in text by dictionary"
    letters: ClassVar[tuple[str, ...]] = ("a", "c")
    finding: ClassVar[str] = "singling out"
    measure: ClassVar[str] = "rank-1: the name that is written is the most alike of all candidates"
    broken: ClassVar[str] = "spectrum mixing"
    margin: ClassVar[float] = 0.05
    permutations: ClassVar[int] = 5
    candidates: tuple[str, ...]
    written: dict[int, int]
    font: str = "sans"
    size: int = 24
    host_known: bool = False
    boxes: bool = False

    def fit(self, scene: Scene) -> Floats | None:
        """The amplitude that is usual in the store; nothing where the host is known."""
        if self.host_known:
            return None
        store = np.concatenate([scene.known.seen, scene.victims.seen])
        return np.median(band_amplitude(store, scene.alpha), axis=0)

    def score(self, fitted: Floats | None, scene: Scene) -> Score:
        """Rank every candidate for every victim."""
        likeness = self.likeness(fitted, scene)
        truth = np.array([self.written[int(patient)] for patient in scene.victims.patients])
        found = ranks(likeness, truth)
        details = {"median_rank": float(np.median(found)) + 1}
        return Score((found == 0).astype(float), scene.victims.patients, 1 / len(self.candidates), 1.0, details)

    def likeness(self, fitted: Floats | None, scene: Scene) -> Floats:
        """How well each candidate explains what is seen of each victim, (N, M)."""
        shape = (scene.host.shape[0], scene.host.shape[1])
        if fitted is None:
            found = solve(scene.victims.seen, scene.host, scene.alpha, scene.beta)
        else:
            found = band_amplitude(scene.victims.seen, scene.alpha) - fitted
        mask, seen = half_band(shape, scene.alpha), whitened(found, shape, scene.alpha)
        drawn = text_amplitudes(self.candidates, self.font, self.size, shape, self.boxes)
        pieces = [
            whitened(drawn[start : start + PIECE][:, mask].astype(np.float64), shape, scene.alpha)
            for start in range(0, len(drawn), PIECE)
        ]
        # What the names have in common is part of what is usual in the store, and was taken off with it.
        common = 0 if fitted is None else np.sum([piece.sum(0) for piece in pieces], axis=0) / len(drawn)
        return np.concatenate([correlation(seen, piece - common) for piece in pieces], axis=1)
