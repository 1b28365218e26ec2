"""The onlooker: does a surrogate look more like its own plaintext than like another patient's?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from fesf.scripts.audit.scene import Floats, Scene
from fesf.scripts.audit.score import Score

CHANCE = 0.5


def likeness(first: Floats, second: Floats) -> dict[str, float]:
    """SSIM, PSNR (dB, at most 99) and correlation of two images (H, W) in [0, 1]."""
    varied = first.std() > 0 and second.std() > 0
    with np.errstate(divide="ignore"):  # equal images: infinitely many dB
        psnr = float(peak_signal_noise_ratio(first, second, data_range=1.0))
    return {
        "ssim": float(structural_similarity(first, second, data_range=1.0)),
        "psnr": min(psnr, 99.0),
        "correlation": float(np.corrcoef(first.ravel(), second.ravel())[0, 1]) if varied else 0.0,
    }


@dataclass(frozen=True)
class Onlooker:
    """Somebody who holds the victim's image and looks at the store, without computing anything.

    Args:
        others: plaintexts of other patients, of the victim's label where there are any, that each is compared with.
        seed: draws them.
    """

    name: ClassVar[str] = "onlooker"
    letters: ClassVar[tuple[str, ...]] = ("a", "e'")
    finding: ClassVar[str] = "singling out"
    measure: ClassVar[str] = "how often SSIM to the own plaintext exceeds SSIM to another patient's (0.5 is chance)"
    broken: ClassVar[str] = "additive mixing"
    margin: ClassVar[float] = 0.1
    permutations: ClassVar[int] = 2
    others: int = 20
    seed: int = 0

    def fit(self, scene: Scene) -> None:
        """Nothing to learn."""

    def score(self, fitted: None, scene: Scene) -> Score:
        """Compare each surrogate with its plaintext and with those of others."""
        victims, rng = scene.victims, np.random.default_rng(self.seed)
        values, own_all, other_all = [], [], []
        for position, seen in enumerate(victims.seen):
            stranger = victims.patients != victims.patients[position]
            alike = stranger & (victims.labels == victims.labels[position])
            choice = np.flatnonzero(alike if alike.any() else stranger)
            own = likeness(seen, victims.plain[position])
            drawn = rng.choice(choice, min(self.others, len(choice)), replace=False)
            others = [likeness(seen, victims.plain[index]) for index in drawn]
            ssim = np.array([other["ssim"] for other in others])
            values.append(np.mean((own["ssim"] > ssim) + 0.5 * (own["ssim"] == ssim)))
            own_all.append(own)
            other_all += others
        details = {
            f"{name}_{whose}": float(np.mean([found[name] for found in all_found]))
            for whose, all_found in (("own", own_all), ("others", other_all))
            for name in ("ssim", "psnr", "correlation")
        }
        return Score(np.array(values), victims.patients, CHANCE, 1.0, details)
