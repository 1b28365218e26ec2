"""A second release of the same images: another host and recipe, and so other pictures of the same people.

Its secret differs, too, but ids say nothing to attacks on pixels. No generator takes part in it: only the hospital has
one.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fesf.scripts.audit.scene import Floats, Images, Scene
from fesf.scripts.audit.self_made import made

OTHER_RELEASE = "other release"
OTHER_ALPHA, OTHER_BETA = 0.8, 0.8
"""Of the release, the recipe of the other one, which has another host too."""


def other_release(scene: Scene, images: Images) -> Floats:
    """Images as another release shows them: another host of the pool, a narrower band, less of the plaintext.

    (N, H, W). A control's scheme has no host: it shows the same as before.
    """
    away = np.square(scene.pool - scene.host).mean((1, 2))
    host = scene.pool[int(np.argsort(away, kind="stable")[len(away) // 2])]
    alpha, beta = OTHER_ALPHA * scene.alpha, OTHER_BETA * scene.beta
    return made(replace(scene, host=host, alpha=alpha, beta=beta), images.plain)


def common_alpha(scene: Scene, gallery: str) -> float:
    """Half-width of the band that both sides of a pair show."""
    narrower = gallery == OTHER_RELEASE and scene.scheme is None
    return OTHER_ALPHA * scene.alpha if narrower else scene.alpha
