"""What an attack is run on: what the attacker sees of some patients, beside the truth that judges it.

All of it lies in the hospital: only the hospital can audit, since only it knows the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Images:
    """Images of some patients.

    Args:
        seen: what the attacker sees of each, (N, H, W) in [0, 1].
        plain: the plaintexts, (N, H, W) in [0, 1]; for the judge, and for an attacker who is granted them.
        labels: class indices, (N,); -1 is unknown.
        patients: numbers of the patients, (N,).
        studies: numbers of the studies, (N,), no two patients sharing one.
        hosts: which image of the pool hides each, (N,); None where one host, the scene's, hides all.
        attributes: answers to questions such as ``sex=F``, (N,) each: 1, 0, or -1 for unknown.
        written: which of the scene's texts is burned into each, (N,), -1 for none; None where it is not known.

    Raises:
        ValueError: when the shapes disagree.
    """

    seen: Floats
    plain: Floats
    labels: Integers
    patients: Integers
    studies: Integers
    hosts: Integers | None = None
    attributes: Mapping[str, Integers] = field(default_factory=dict)
    written: Integers | None = None

    def __post_init__(self) -> None:
        if self.seen.ndim != 3 or self.seen.shape != self.plain.shape:
            raise ValueError(f"seen {self.seen.shape} and plain {self.plain.shape} must both be (N, H, W), the same.")
        named = {name: getattr(self, name) for name in ("labels", "patients", "studies", "hosts", "written")}
        for name, numbers in (named | dict(self.attributes)).items():
            found = (len(self.seen),) if numbers is None else numbers.shape
            if found != (len(self.seen),):
                raise ValueError(f"{name} has the shape {found}: expected ({len(self.seen)},), one for each image.")

    def __len__(self) -> int:
        return len(self.seen)

    def take(self, index: Integers) -> Images:
        """The images of these positions."""
        hosts, written = (None if held is None else held[index] for held in (self.hosts, self.written))
        attributes = {name: answers[index] for name, answers in self.attributes.items()}
        numbers: Any = (self.labels[index], self.patients[index], self.studies[index], hosts, attributes, written)
        return Images(self.seen[index], self.plain[index], *numbers)

    def showing(self, seen: Floats) -> Images:
        """The same images, of which something else is seen."""
        return replace(self, seen=seen)


@dataclass(frozen=True)
class Scene:
    """One release under attack.

    Args:
        known: images whose plaintexts an attacker with true pairs holds: training patients.
        victims: images of other patients, who are attacked: test patients.
        host: the one image that hides, (H, W).
        pool: the public host images, (M, H, W).
        alpha: half-width of the band of the pass that is attacked.
        beta: the plaintext's share in it.
        stage: "synthetic", "enhanced" or "surrogate"; at all but the first, nobody outside has the image whose phase
            the store shows, since a generator made it.
        levels: the largest grey level of the store's files: 255 at 8 bits.
        scheme: what makes a surrogate of any image, (N, H, W) to (N, H, W), where it is a control's; None for one pass
            with ``host`` (:func:`fesf.scripts.audit.self_made.one_pass`).
        texts: the texts that may be burned in, of the cohort's column ``text``; empty where it has none.
        pipeline: what the hospital makes of plaintexts (N, H, W) and a host (H, W), as its files hold it: for attackers
            who may use it or stole its parts (:mod:`fesf.scripts.audit.gateway`). None where its generator is not at
            hand.

    Raises:
        ValueError: when a patient is both known and a victim, or there are no victims.
    """

    known: Images
    victims: Images
    host: Floats
    pool: Floats
    alpha: float
    beta: float
    stage: str = "synthetic"
    levels: int = 255
    scheme: Callable[[Floats], Floats] | None = None
    texts: tuple[str, ...] = ()
    pipeline: Callable[[Floats, Floats], Floats] | None = None

    def __post_init__(self) -> None:
        if not len(self.victims):
            raise ValueError("The scene has no victims: an audit attacks the test patients, and this split has none.")
        both = np.intersect1d(self.known.patients, self.victims.patients)
        if len(both):
            raise ValueError(
                f"{len(both)} patients are both known to the attacker and victims: split by patients, not by images."
            )

    def with_images(self, change: Callable[[Images], Images]) -> Scene:
        """The scene with the images of known patients and of victims changed in the same way."""
        return replace(self, known=change(self.known), victims=change(self.victims))
