"""Pairs that an attacker makes: who has host, alpha and beta hides public images as the hospital hides its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from fesf.scripts.audit.scene import Floats, Images, Scene
from fesf.transforms.functional import hide


def one_pass(scene: Scene, plain: Floats, clip: bool = True, levels: int | None = None) -> Floats:
    """Hide images once in the public host, with alpha and beta of the attacked pass.

    Args:
        scene: the release.
        plain: images, (N, H, W) in [0, 1].
        clip: to [0, 1].
        levels: the largest grey level to which the result is rounded; None does not round.
    """
    if not len(plain):
        return plain
    hidden = hide(torch.from_numpy(plain)[:, None], torch.from_numpy(scene.host)[None], scene.alpha, scene.beta)
    found: Floats = hidden[:, 0].numpy()
    found = found.clip(0, 1) if clip else found
    return np.rint(found * levels) / levels if levels else found


def made(scene: Scene, plain: Floats) -> Floats:
    """What the attacker's own run of the scheme makes of images (N, H, W): clipped and rounded as the store is.

    They have not got the generator. After a second pass they hide twice, as if the generator changed nothing.
    """
    if scene.scheme:
        return scene.scheme(plain)
    found = one_pass(scene, plain, levels=scene.levels)
    if scene.stage == "surrogate":
        first = zip(plain, found, strict=True)
        found = np.concatenate(
            [one_pass(replace(scene, host=host), image[None], levels=scene.levels) for image, host in first]
        )
    return found


def self_made(scene: Scene) -> Images:
    """The public pool in pairs."""
    return pairs_of(made(scene, scene.pool), scene.pool)


def pairs_of(seen: Floats, plain: Floats) -> Images:
    """Pairs of public images (N, H, W); nobody's labels, each image a patient of its own, by negative numbers."""
    numbers = -1 - np.arange(len(plain))
    return Images(seen, plain, np.full_like(numbers, -1), numbers, numbers)
