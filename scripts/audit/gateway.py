"""The hospital's own pipeline in an attacker's hands: they may send it plaintexts, or stole what it is made of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from fesf.networks import EnhancementGenerator, SurrogateNet
from fesf.scripts.audit.scene import Floats, Images, Scene
from fesf.scripts.audit.self_made import one_pass, pairs_of
from fesf.scripts.data.files import file_sha256
from fesf.scripts.data.recipe import Recipe
from fesf.scripts.engines.best_generator import load_generator

BATCH = 64
GENERATOR = Path("iqem") / "generator.pt"
"""In the hospital folder of a release that enhance.json and hide.json share."""
NO_GENERATOR = "The generator of this release is not at hand: name its file (--generator)."
HIDDEN_ONCE = "This release was hidden once: no generator took part, there are no weights to steal."


@dataclass(frozen=True)
class Pipeline:
    """What hides the hospital's images, up to the files' grey levels.

    Args:
        recipe: the release's.
        generator: G of the IQEM; None where the release was hidden once.
    """

    recipe: Recipe
    generator: nn.Module | None = None

    def __call__(self, plain: Floats, host: Floats) -> Floats:
        """Surrogates of images (N, H, W) in [0, 1] with a host (H, W), as the store's files hold them."""
        recipe, levels = self.recipe, np.float32(2**self.recipe.bit_depth - 1)
        network = SurrogateNet(
            torch.from_numpy(host[None]).float(),
            recipe.alpha,
            recipe.beta,
            self.generator,
            recipe.second_alpha,
            recipe.second_beta,
            recipe.stage,
        )
        with torch.inference_mode():
            images = torch.from_numpy(plain[:, None]).float().split(BATCH)
            found = torch.cat([network(piece) for piece in images])[:, 0].numpy()
        made: Floats = np.rint(found * levels).astype(float) / float(levels)
        return made


def read_pipeline(recipe: Recipe, hospital: str | Path, generator_file: str | Path | None = None) -> Pipeline | None:
    """The pipeline of a release; None where it has a generator that was not named and is not in the hospital folder.

    Args:
        recipe: of the release.
        hospital: its folder, in which the generator is looked for.
        generator_file: where it lies otherwise.

    Raises:
        ValueError: when the file that was named is missing, or is not the generator of this release.
    """
    if recipe.stage == "synthetic":
        return Pipeline(recipe)
    path = Path(generator_file or Path(hospital) / GENERATOR)
    fits = path.is_file() and file_sha256(path) == recipe.generator_sha256
    if generator_file and not fits:
        raise ValueError(
            "generator_file is no file, or not the generator of this release (its digest differs): name the file that"
            " hide.json was told, or leave it null."
        )
    return Pipeline(recipe, load_generator(path, EnhancementGenerator(len(recipe.spatial_size)))) if fits else None


def gateway(scene: Scene, plain: Floats) -> Floats:
    """What the gateway makes of images (N, H, W) in [0, 1], with the release's host: 8-bit, like the store.

    Raises:
        ValueError: when the generator is not at hand.
    """
    if scene.scheme:
        return scene.scheme(plain)
    if scene.pipeline:
        return scene.pipeline(plain, scene.host)
    if scene.stage != "synthetic":
        raise ValueError(NO_GENERATOR)
    return one_pass(scene, plain, levels=scene.levels)


def refuse_hidden_once(scene: Scene) -> None:
    """Whether there is a generator to steal.

    Raises:
        ValueError: when no generator took part, or it is not at hand.
    """
    if scene.stage == "synthetic":
        raise ValueError(HIDDEN_ONCE)
    if scene.pipeline is None:
        raise ValueError(NO_GENERATOR)


def true_pairs(scene: Scene, plain: Floats) -> Images:
    """Public images (N, H, W) and what the true pipeline makes of them."""
    return pairs_of(gateway(scene, plain), plain)
