"""Learned inversion by a U-Net: from surrogates back to pixels, taught by true pairs or by self-made ones.

Hiding leaves nothing at its place, which is what a convolution looks for; a linear map of the amplitudes has no such
trouble. So ridge regression guesses first, and the network corrects its guess.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from monai.losses import SSIMLoss
from monai.networks.nets import UNet
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from tqdm import trange

from fesf.scripts.audit.inversion import gain, held
from fesf.scripts.audit.ridge import PENALTIES
from fesf.scripts.audit.scene import Floats, Images, Scene
from fesf.scripts.audit.score import Score
from fesf.scripts.audit.self_made import self_made
from fesf.scripts.audit.spectra import band_mask, log_amplitude

CHANNELS, STRIDES = (16, 32, 64, 128, 128), (2, 2, 2, 2)
DIVISOR = 16
BATCH, RATE, DECAY = 16, 2e-3, 1e-2
SSIM_SHARE = 0.3
"""Share of SSIM in the loss, the rest L1."""
HELD_OUT = 0.15
"""Share of the patients with pairs on whom it is chosen how far the network is trusted."""
FOLDS = 5
"""The network learns to correct guesses about patients whom ridge regression did not learn from."""


def views(seen: Floats, guess: Floats, alpha: float) -> Floats:
    """What the network gets of each image: the image, its band's log amplitudes as an image of their own, the guess.

    The second is the real cepstrum: the amplitude of each frequency, which no small window of the surrogate holds, is
    a pattern over all of it.

    Args:
        seen: (N, H, W) in [0, 1].
        guess: of the plaintexts, (N, H, W).
        alpha: half-width of the band.

    Returns:
        (N, 3, H, W).
    """
    noise = np.sqrt(seen[0].size / 12) / 255
    logarithms = np.where(band_mask(seen.shape[1:], alpha), np.log(np.abs(np.fft.fft2(seen)) + noise), 0)
    return np.stack([seen, np.fft.fftshift(np.fft.ifft2(logarithms).real, axes=(1, 2)), guess], axis=1)


def guesser() -> Pipeline:
    """Ridge regression, whose penalty is chosen by leave-one-out."""
    return make_pipeline(StandardScaler(), RidgeCV(PENALTIES))


def parted(images: Images, seed: int) -> tuple[Images, Images]:
    """Images to learn from, and those of other patients on whom trust is chosen."""
    patients = np.random.default_rng(seed).permutation(np.unique(images.patients))
    aside = np.isin(images.patients, patients[: max(1, round(HELD_OUT * len(patients)))])
    return images.take(np.flatnonzero(~aside)), images.take(np.flatnonzero(aside))


@dataclass(frozen=True)
class Fitted:
    """A trained network, how its input is scaled, and the guess that it corrects.

    Args:
        guesser: ridge regression from log amplitudes to pixels.
        network: from (N, 3, H, W) to corrections of the guess, (N, 1, H, W).
        centre, spread: of the views, (3, H, W) and (3, 1, 1).
        scale: of the corrections: the deviation of what the guesses miss.
        trust: factor of the correction, in [0, 1]: what fits best on patients whom the network has not seen.
        typical: the mean image that the attack must beat, (H, W).
    """

    guesser: Pipeline
    network: nn.Module
    centre: Floats
    spread: Floats
    scale: float
    trust: float
    typical: Floats


@dataclass(frozen=True)
class UNetInversion:
    """Somebody with true pairs of other patients, who trains a U-Net with L1 and SSIM loss.

    Args:
        pairs: how many true pairs they hold; None for all known.
        steps: of the optimiser, of 16 images each.
        seed: draws pairs, weights and batches.
        device: such as "cpu" or "cuda:0".
    """

    name: ClassVar[str] = "U-Net inversion"
    letters: ClassVar[tuple[str, ...]] = ("a", "d")
    finding: ClassVar[str] = "inference"
    measure: ClassVar[str] = "PSNR over that of the mean known image, dB (0 is no better)"
    broken: ClassVar[str] = "additive mixing"
    margin: ClassVar[float] = 0.5
    permutations: ClassVar[int] = 1
    pairs: int | None = None
    steps: int = 300
    seed: int = 0
    device: str = "cpu"

    def _lessons(self, scene: Scene) -> tuple[Images, Floats]:
        """The pairs, and the mean image that must be beaten."""
        known = held(scene.known, self.pairs, self.seed)
        return known, known.plain.mean(0)

    def fit(self, scene: Scene) -> Fitted:
        """Train on the pairs, but for those of a few patients, who say how far the network is trusted.

        Raises:
            ValueError: when fewer pairs are known than asked for, or they are of fewer than three patients.
        """
        lessons, typical = self._lessons(scene)
        if len(np.unique(lessons.patients)) < 3:
            raise ValueError("The pairs are of fewer than three patients: a U-Net cannot be trained and checked.")
        taught, asked = parted(lessons, self.seed)
        features, targets = log_amplitude(taught.seen, scene.alpha), taught.plain.reshape(len(taught), -1)
        folds = GroupKFold(min(FOLDS, len(np.unique(taught.patients))))
        guess = cross_val_predict(guesser(), features, targets, cv=folds, groups=taught.patients)
        guess = guess.reshape(taught.plain.shape)
        inputs = views(taught.seen, guess, scene.alpha)
        centre = inputs.mean(0)
        spread = np.maximum((inputs - centre).std((0, 2, 3)), 1e-6)[:, None, None]
        scale = float((taught.plain - guess).std())
        network = self._train((inputs - centre) / spread, guess, taught.plain, scale)
        fitted = Fitted(guesser().fit(features, targets), network, centre, spread, scale, 1.0, typical)
        guess, made = self._corrected(fitted, asked.seen, scene.alpha)
        trust = float((made * (asked.plain - guess)).sum() / max(float(np.square(made).sum()), 1e-12))
        return replace(fitted, trust=min(max(trust, 0.0), 1.0))

    def _train(self, inputs: Floats, guess: Floats, plain: Floats, scale: float) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            network = UNet(2, 3, 1, CHANNELS, STRIDES, norm="batch").to(self.device)
        x, start, truth = (self._tensor(values) for values in (inputs, guess[:, None], plain[:, None]))
        rng, loss_ssim = np.random.default_rng(self.seed), SSIMLoss(2)
        optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, self.steps)
        network.train()
        for _ in trange(self.steps, desc=f"Training {self.name}", mininterval=1.0, leave=False):
            chosen = torch.from_numpy(rng.choice(len(x), BATCH, replace=len(x) < BATCH))
            made = _trimmed(start[chosen] + scale * network(x[chosen]), plain)
            aim = _trimmed(truth[chosen], plain)
            loss = (1 - SSIM_SHARE) * (made - aim).abs().mean() + SSIM_SHARE * loss_ssim(made, aim)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        return network.eval()

    def _tensor(self, values: Floats) -> Tensor:
        """(N, C, H, W) in float32 on the device, each side padded with zeros to what the network can halve."""
        sides = [(0, -side % DIVISOR) for side in values.shape[2:]]
        return torch.from_numpy(np.pad(values, [(0, 0), (0, 0), *sides])).float().to(self.device)

    def _corrected(self, fitted: Fitted, seen: Floats, alpha: float) -> tuple[Floats, Floats]:
        """The guess, and what the network would add to it, (N, H, W) each."""
        guess = fitted.guesser.predict(log_amplitude(seen, alpha)).reshape(seen.shape)
        inputs = self._tensor((views(seen, guess, alpha) - fitted.centre) / fitted.spread)
        with torch.inference_mode():
            made = torch.cat([fitted.network(piece) for piece in inputs.split(BATCH)])
        return guess, fitted.scale * _trimmed(made, seen)[:, 0].cpu().numpy().astype(float)

    def reconstruct(self, fitted: Fitted, scene: Scene) -> Floats:
        """Plaintexts as the attacker sees them, (N, H, W) in [0, 1]."""
        guess, made = self._corrected(fitted, scene.victims.seen, scene.alpha)
        return (guess + fitted.trust * made).clip(0, 1)

    def score(self, fitted: Fitted, scene: Scene) -> Score:
        """Gain over the mean image, see :func:`fesf.scripts.audit.inversion.gain`."""
        return gain(self.reconstruct(fitted, scene), fitted.typical, scene, {"trust": fitted.trust})


def _trimmed(images: Tensor, like: Floats) -> Tensor:
    return images[..., : like.shape[-2], : like.shape[-1]]


@dataclass(frozen=True)
class SelfMadeUNetInversion(UNetInversion):
    """Somebody with host, alpha and beta, who hides public images and trains the U-Net on these pairs.

    Without a true pair they do not know the mean of the hospital's images. What must be beaten is the mean of all that
    they make of the store: it holds whatever they learn of the hospital's images as a whole.
    """

    name: ClassVar[str] = "U-Net inversion by self-made pairs"
    letters: ClassVar[tuple[str, ...]] = ("a", "c")
    measure: ClassVar[str] = "PSNR over that of the mean of all their reconstructions, dB (0 is no better)"
    below: ClassVar[str] = "another patient's image is a worse guess than the mean image"

    def _lessons(self, scene: Scene) -> tuple[Images, Floats]:
        return held(self._pairs(scene), self.pairs, self.seed), scene.pool.mean(0)

    def _pairs(self, scene: Scene) -> Images:
        """What they make of the public pool."""
        return self_made(scene)

    def fit(self, scene: Scene) -> Fitted:
        """Train on the pairs, then see what the mean of the store's reconstructions is.

        Raises:
            ValueError: when fewer pairs can be made than asked for, or fewer than three.
        """
        fitted = super().fit(scene)
        return replace(fitted, typical=self.reconstruct(fitted, scene).mean(0))
