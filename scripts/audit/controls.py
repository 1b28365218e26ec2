"""The controls of an attack: what it must read, and what it must not.

An attack counts when it succeeds on plaintexts and on a scheme known to be broken for it, and fails where the images
carry nothing of the patient whose they are said to be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from fesf.scripts.audit.scene import Floats, Images, Integers, Scene
from fesf.scripts.audit.spectra import band_mask

CONDITIONS = ("plaintext", "broken", "permuted", "store")
"""Positive control, scheme known to be broken, negative control, and the release itself."""


def titled(**titles: str) -> Mapping[str, str]:
    """What an attack with controls of its own shows in the role of each, by condition.

    Raises:
        ValueError: at a role that is none.
    """
    unknown = sorted(set(titles) - set(CONDITIONS))
    if unknown:
        raise ValueError(f"{unknown[0]!r} is no role: choose {', '.join(CONDITIONS)}.")
    return MappingProxyType(titles)


def pixel_permutation(scene: Scene, plain: Floats, seed: int) -> Floats:
    """Shuffle the pixels of every image the same way: a fixed key, broken by anybody with pairs."""
    order = np.random.default_rng(seed).permutation(plain[0].size)
    return plain.reshape(len(plain), -1)[:, order].reshape(plain.shape)


def additive_mixing(scene: Scene, plain: Floats, seed: int) -> Floats:
    """Half of the host's pixels and half of the plaintext's: mixup with one public image, InstaHide without signs."""
    return (scene.host + plain) / 2


def spectrum_mixing(scene: Scene, plain: Floats, seed: int) -> Floats:
    """Half of both spectra in the band, amplitude and phase: where things are stays."""
    mask = band_mask(plain.shape[1:], scene.alpha)
    host, spectra = np.fft.fft2(scene.host), np.fft.fft2(plain)
    return np.fft.ifft2(np.where(mask, (host + spectra) / 2, host)).real.clip(0, 1)


BROKEN: dict[str, Callable[[Scene, Floats, int], Floats]] = {
    "pixel permutation": pixel_permutation,
    "additive mixing": additive_mixing,
    "spectrum mixing": spectrum_mixing,
}
"""Schemes known to be broken; each attack names one that is broken for it."""


def derangement(labels: Integers, patients: Integers, seed: int) -> tuple[Integers, Integers]:
    """Pair every image with one of another patient and the same label, each used once.

    Returns:
        Positions that could be paired, and their partners: the largest share that random swaps reach.
    """
    rng = np.random.default_rng(seed)
    partner = np.arange(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        partner[members] = rng.permutation(members)
        for position in members:
            if patients[partner[position]] != patients[position]:
                continue
            # A swap must mend this pair and leave the other one mended.
            fits = (patients[partner[members]] != patients[position]) & (
                patients[members] != patients[partner[position]]
            )
            if fits.any():
                other = rng.choice(members[fits])
                partner[position], partner[other] = partner[other], partner[position]
    paired = np.flatnonzero(patients[partner] != patients)
    return paired, partner[paired]


def permuted(images: Images, seed: int) -> Images:
    """The images as if the pipeline had run on plaintexts exchanged within their label: nothing of the patient's own.

    With one fixed host the surrogate of an exchanged plaintext is the exchanged surrogate. Images for which no other
    patient of their label is left are left out.
    """
    kept, partner = derangement(images.labels, images.patients, seed)
    hosts = None if images.hosts is None else images.hosts[partner]
    return replace(images.take(kept), seen=images.seen[partner], hosts=hosts)


def condition(scene: Scene, name: str, broken: str, seed: int = 0) -> Scene:
    """The release, or one of its controls.

    Args:
        scene: the release.
        name: of :data:`CONDITIONS`.
        broken: a scheme of :data:`BROKEN`.
        seed: of the permutations.

    Raises:
        KeyError: at another name or scheme.
    """

    if name == "permuted":
        return scene.with_images(lambda images: permuted(images, seed))
    if name == "store":
        return scene
    schemes: dict[str, Callable[[Floats], Floats]] = {
        "plaintext": lambda plain: plain,
        "broken": lambda plain: BROKEN[broken](scene, plain, seed),
    }
    return under(scene, schemes[name])


def under(scene: Scene, scheme: Callable[[Floats], Floats]) -> Scene:
    """The scene as if this scheme, (N, H, W) to (N, H, W), had made the store: the attacker can run it too."""
    return replace(scene.with_images(lambda images: images.showing(scheme(images.plain))), scheme=scheme)
