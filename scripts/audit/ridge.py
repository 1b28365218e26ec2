"""Learned inversion by ridge regression: from surrogates back to pixels, taught by true pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sklearn.linear_model import RidgeCV
from sklearn.preprocessing import StandardScaler

from fesf.scripts.audit.inversion import gain, held
from fesf.scripts.audit.scene import Floats, Images, Scene
from fesf.scripts.audit.score import Score
from fesf.scripts.audit.spectra import log_amplitude

PENALTIES = tuple(10.0**power for power in range(-1, 7))
FEATURES = ("log amplitude", "pixels")


@dataclass(frozen=True)
class Fitted:
    """A trained inversion, and the mean image it must beat."""

    scaler: StandardScaler
    model: RidgeCV
    mean: Floats


@dataclass(frozen=True)
class RidgeInversion:
    """Somebody with true pairs of other patients, who learns a linear map to the plaintext's pixels.

    Args:
        pairs: how many true pairs they hold; None for all known.
        features: "log amplitude" of the band, or "pixels".
        seed: draws the pairs.
    """

    name: ClassVar[str] = "ridge inversion"
    letters: ClassVar[tuple[str, ...]] = ("a", "d")
    finding: ClassVar[str] = "inference"
    measure: ClassVar[str] = "PSNR over that of the mean known image, dB (0 is no better)"
    broken: ClassVar[str] = "pixel permutation"
    margin: ClassVar[float] = 0.5
    permutations: ClassVar[int] = 1
    pairs: int | None = None
    features: str = "pixels"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.features not in FEATURES:
            raise ValueError(f"features={self.features!r}: choose {' or '.join(FEATURES)}.")

    def _read(self, images: Images, alpha: float) -> Floats:
        if self.features == "pixels":
            return images.seen.reshape(len(images), -1)
        return log_amplitude(images.seen, alpha)

    def fit(self, scene: Scene) -> Fitted:
        """Fit on the pairs; the penalty is chosen by leave-one-out.

        Raises:
            ValueError: when fewer pairs are known than asked for, or fewer than two.
        """
        known = held(scene.known, self.pairs, self.seed)
        scaler = StandardScaler()
        model = RidgeCV(PENALTIES).fit(
            scaler.fit_transform(self._read(known, scene.alpha)), known.plain.reshape(len(known), -1)
        )
        return Fitted(scaler, model, known.plain.mean(0))

    def reconstruct(self, fitted: Fitted, scene: Scene) -> Floats:
        """Plaintexts as the attacker sees them, (N, H, W) in [0, 1]."""
        features = fitted.scaler.transform(self._read(scene.victims, scene.alpha))
        return fitted.model.predict(features).reshape(scene.victims.plain.shape).clip(0, 1)

    def score(self, fitted: Fitted, scene: Scene) -> Score:
        """Gain over the mean image, see :func:`fesf.scripts.audit.inversion.gain`."""
        return gain(self.reconstruct(fitted, scene), fitted.mean, scene, {"penalty": float(fitted.model.alpha_)})
