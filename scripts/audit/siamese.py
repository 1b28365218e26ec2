"""Re-identification by a Siamese network that learns on surrogates of known patients what stays of a person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from monai.networks.nets import ResNet
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, normalize
from tqdm import trange

from fesf.scripts.audit.nearest import candidates
from fesf.scripts.audit.other_release import OTHER_RELEASE, common_alpha, other_release
from fesf.scripts.audit.pairs import TOO_FEW, pooled_by_patient, rank_1, verification_pairs
from fesf.scripts.audit.ranking import AreaScore
from fesf.scripts.audit.scene import Floats, Images, Scene
from fesf.scripts.audit.spectra import log_amplitude

GALLERIES = ("plaintext", "store", OTHER_RELEASE)
WIDTH, EMBEDDING = 128, 64
BATCH, RATE, DECAY, NOISE = 48, 1e-3, 0.05, 0.3


class Twin(nn.Module):
    """What both images of a pair go through: amplitudes dense layers, pixels of half the resolution a small ResNet.

    Args:
        features: amplitudes of each image.

    Shape:
        - Input: ``(B, F)`` and ``(B, 1, H, W)``
        - Output: ``(B, 2 * EMBEDDING)``, of unit length
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.amplitudes = nn.Sequential(nn.Linear(features, WIDTH), nn.ReLU(), nn.Linear(WIDTH, EMBEDDING))
        self.straight = nn.Linear(features, EMBEDDING)
        resnet = ResNet("basic", [1, 1, 1, 1], [8, 16, 32, 64], 2, 1, 3, 2, True, num_classes=EMBEDDING)
        self.pixels = nn.Sequential(nn.AvgPool2d(2), resnet)
        self.scale, self.offset = nn.Parameter(torch.tensor(8.0)), nn.Parameter(torch.tensor(-3.0))

    def forward(self, amplitudes: Tensor, pixels: Tensor) -> Tensor:
        dense = self.straight(amplitudes) + self.amplitudes(amplitudes)
        return normalize(torch.cat([normalize(dense), 0.5 * normalize(self.pixels(pixels))], dim=1))


@dataclass(frozen=True)
class Inputs:
    """What the network gets of each image of one side, scaled by that side's own mean and deviation."""

    amplitudes: Tensor
    pixels: Tensor

    @classmethod
    def read(cls, images: Floats, alpha: float, device: str) -> Inputs:
        """Log amplitudes (N, F) and pixels (N, 1, H, W) of images (N, H, W)."""
        parts = log_amplitude(images, alpha), images[:, None]
        scaled = [(part - part.mean(0)) / max(float((part - part.mean(0)).std()), 1e-9) for part in parts]
        amplitudes = (parts[0] - parts[0].mean(0)) / np.maximum(parts[0].std(0), 1e-9)
        return cls(*(torch.from_numpy(part).float().to(device) for part in (amplitudes, scaled[1])))

    def embed(self, network: nn.Module) -> Floats:
        """Embeddings of unit length, (N, F)."""
        with torch.inference_mode():
            found: Floats = network(self.amplitudes, self.pixels).cpu().numpy().astype(float)
        return found


@dataclass(frozen=True)
class SiameseNetwork:
    """Somebody with images of known patients, who trains a verifier and lets it compare people they do not know.

    Args:
        gallery: "plaintext" of other studies; "store": link the store's images with each other; "other release": link
            them with those of a release with another host and recipe.
        steps: of the optimiser.
        seed: draws weights and batches.
        device: such as "cpu" or "cuda:0".
    """

    name: ClassVar[str] = "Siamese network"
    letters: ClassVar[tuple[str, ...]] = ("a", "d", "e")
    finding: ClassVar[str] = "linkability"
    measure: ClassVar[str] = "AUC of telling pairs of one patient, among other studies of the same label, by patient"
    broken: ClassVar[str] = "spectrum mixing"
    margin: ClassVar[float] = 0.05
    permutations: ClassVar[int] = 3
    below: ClassVar[str] = "an exchanged image finds the patient whose it is among those who count as others"
    gallery: str = "plaintext"
    steps: int = 200
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.gallery not in GALLERIES:
            raise ValueError(f"gallery={self.gallery!r}: choose {', '.join(GALLERIES)}.")

    def _sides(self, scene: Scene, images: Images) -> tuple[Inputs, Inputs]:
        """Probes, and what they are compared with."""
        alpha = common_alpha(scene, self.gallery)
        probes = Inputs.read(images.seen, alpha, self.device)
        if self.gallery == "store":
            return probes, probes
        others = images.plain if self.gallery == "plaintext" else other_release(scene, images)
        return probes, Inputs.read(others, alpha, self.device)

    def fit(self, scene: Scene) -> Twin:
        """Train on known patients; batches hold two studies of each of some of them.

        Raises:
            ValueError: when fewer than two known patients, or no victim, have two studies of one label.
        """
        known, victims = scene.known, scene.victims
        linked = np.flatnonzero(candidates(known)[1].any(1))
        if len(np.unique(known.patients[linked])) < 2:
            raise ValueError("Fewer than two known patients have two studies of one label: nothing teaches a verifier.")
        if not candidates(victims)[1].any():
            raise ValueError(TOO_FEW)
        probes, others = self._sides(scene, known)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            network = Twin(probes.amplitudes.shape[1]).to(self.device)
            self._train(network, probes, others, known)
        return network.eval()

    def _train(self, network: Twin, probes: Inputs, others: Inputs, known: Images) -> None:
        rng, partners = np.random.default_rng(self.seed), candidates(known)[1]
        allowed = candidates(known)[0]
        starts = [
            np.flatnonzero((known.patients == patient) & partners.any(1)) for patient in np.unique(known.patients)
        ]
        starts = [found for found in starts if len(found)]
        optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3 * RATE, self.steps)
        network.train()
        for _ in trange(self.steps, desc=f"Training {self.name}", mininterval=1.0, leave=False):
            chosen = rng.choice(len(starts), min(BATCH, len(starts)), replace=False)
            here = np.array([rng.choice(starts[person]) for person in chosen])
            there = np.array([rng.choice(np.flatnonzero(partners[row])) for row in here])
            near, far = (
                network(side.amplitudes[rows] + NOISE * torch.randn_like(side.amplitudes[rows]), side.pixels[rows])
                for side, rows in ((probes, here), (others, there))
            )
            logits = network.scale * (near @ far.T) + network.offset
            same = torch.from_numpy(known.patients[here][:, None] == known.patients[there]).to(logits)
            compared = torch.from_numpy(allowed[here][:, there]).to(logits)
            # As much weight for the pairs of one patient as for all others.
            weight = compared * (same / (same * compared).sum() + (1 - same) / ((1 - same) * compared).sum().clamp(1))
            loss = (weight * binary_cross_entropy_with_logits(logits, same, reduction="none")).sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()

    def _vectors(self, fitted: Twin, scene: Scene, images: Images) -> tuple[Floats, Floats]:
        probes, others = self._sides(scene, images)
        return probes.embed(fitted), others.embed(fitted)

    def score(self, fitted: Twin, scene: Scene) -> AreaScore:
        """Verification of all pairs of victims' images; rank-1, and both for pooled images, beside it."""
        victims = scene.victims
        probes, others = self._vectors(fitted, scene, victims)
        likeness = probes @ others.T
        ranking = verification_pairs(likeness, victims, once=self.gallery == "store")
        hits, share = rank_1(likeness, victims)
        details = {"rank_1": hits, "rank_1_chance": share, "pairs_of_one_patient": float(ranking.positive.sum())}
        return AreaScore((ranking,), len(victims), 0.5, details | pooled_by_patient(probes, others, victims, self.seed))

    def verification(self, fitted: Twin, scene: Scene) -> tuple[np.ndarray, Floats]:
        """For the page's ROC curve: whether each pair is of one patient, and how alike it looks."""
        probes, others = self._vectors(fitted, scene, scene.victims)
        ranking = verification_pairs(probes @ others.T, scene.victims, once=self.gallery == "store")
        return ranking.positive, ranking.likeness
