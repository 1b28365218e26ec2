"""Re-identification by the nearest neighbour: whose other image is most like this surrogate?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fesf.scripts.audit.claims import Claims, make_claims
from fesf.scripts.audit.gateway import gateway
from fesf.scripts.audit.other_release import OTHER_RELEASE, common_alpha, other_release
from fesf.scripts.audit.scene import Floats, Images, Scene
from fesf.scripts.audit.score import Score
from fesf.scripts.audit.spectra import log_amplitude, standardised

STORES = ("store", OTHER_RELEASE)
GALLERIES = ("plaintext", *STORES)


def candidates(images: Images) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which images may be linked with which, and which of them are the same patient's; (N, N) each.

    Only images of other studies (adjacent slices of one study are not a person) and of the same label (else the label
    does the work).
    """
    studies, labels, patients = images.studies, images.labels, images.patients
    allowed = (studies[:, None] != studies) & (labels[:, None] == labels)
    return allowed, allowed & (patients[:, None] == patients)


def match(likeness: Floats, allowed: NDArray[np.bool_], own: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Rank-1 of each probe, and what guessing gives.

    Args:
        likeness: of each probe to every image, (P, N).
        allowed: which images are compared, (P, N), at least one for each probe.
        own: which of them are of the probe's patient, (P, N).

    Returns:
        1 where the most alike image is of the probe's patient, else 0, (P,); the patient's share of that gallery, (P,).
    """
    nearest = np.where(allowed, likeness, -np.inf).argmax(1)
    return own[np.arange(len(own)), nearest].astype(float), own.sum(1) / allowed.sum(1)


@dataclass(frozen=True)
class NearestNeighbour:
    """Somebody with plaintexts of known persons, from other studies than the one in the store.

    Args:
        gallery: "plaintext" of other studies; "store": link the store's images with each other; "other release": link
            them with those of a release with another host and recipe.
    """

    name: ClassVar[str] = "nearest neighbour"
    letters: ClassVar[tuple[str, ...]] = ("a", "e")
    finding: ClassVar[str] = "linkability"
    measure: ClassVar[str] = "rank-1 among images of other studies and the same label, by patient"
    broken: ClassVar[str] = "spectrum mixing"
    margin: ClassVar[float] = 0.05
    permutations: ClassVar[int] = 20
    gallery: str = "plaintext"

    def __post_init__(self) -> None:
        if self.gallery not in GALLERIES:
            raise ValueError(f"gallery={self.gallery!r}: choose {', '.join(GALLERIES)}.")

    def fit(self, scene: Scene) -> None:
        """Nothing to learn."""

    def score(self, fitted: None, scene: Scene) -> Score:
        """Rank-1 of every victim's image whose patient has another study.

        Raises:
            ValueError: when no patient has two studies of one label: nothing can be linked.
        """
        victims = scene.victims
        allowed, own = candidates(victims)
        probes = np.flatnonzero(own.any(1))
        if not len(probes):
            raise ValueError("No test patient has two studies of one label: this set cannot measure re-identification.")
        hits, share = match(self.likeness(scene)[probes], allowed[probes], own[probes])
        patients = victims.patients[probes]
        chance = Score(share, patients, 0.0).by_patient().mean()
        return Score(hits, patients, float(chance), 1.0, {"rank_1_by_image": float(hits.mean())})

    def likeness(self, scene: Scene) -> Floats:
        """How alike each victim's surrogate is to each image of the gallery, (N, N)."""
        alpha = common_alpha(scene, self.gallery)
        seen, others = (
            standardised(log_amplitude(images, alpha)) for images in (scene.victims.seen, self._others(scene))
        )
        likeness: Floats = seen @ others.T
        return likeness

    def _others(self, scene: Scene) -> Floats:
        """The images of the gallery, (N, H, W)."""
        if self.gallery == OTHER_RELEASE:
            return other_release(scene, scene.victims)
        return scene.victims.plain if self.gallery == "plaintext" else scene.victims.seen

    def claims(self, fitted: None, scene: Scene) -> Claims:
        """Whom each surrogate is said to be of; in a store nobody knows which other images are one person's."""
        victims = scene.victims
        persons = np.arange(len(victims)) if self.gallery in STORES else victims.patients
        return make_claims(self.likeness(scene), *candidates(victims), persons, victims.patients)


@dataclass(frozen=True)
class GatewayNeighbour(NearestNeighbour):
    """Somebody who lets the gateway hide the plaintexts that they know, and so compares surrogates with surrogates."""

    name: ClassVar[str] = "nearest neighbour through the gateway"
    letters: ClassVar[tuple[str, ...]] = ("a", "e", "g")

    def _others(self, scene: Scene) -> Floats:
        return gateway(scene, scene.victims.plain)
