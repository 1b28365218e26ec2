"""A release's recipe, host and generator, as its hospital folder says them."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from fesf.networks import EnhancementGenerator
from fesf.networks.surrogate import SurrogateNet
from fesf.scripts.data.files import file_sha256
from fesf.scripts.data.folders import RELEASE
from fesf.scripts.data.hosts import HostPool
from fesf.scripts.data.recipe import DTYPE_MAXIMUM, Recipe
from fesf.scripts.engines.best_generator import load_generator


def read_recipe(hospital_dir: Path) -> tuple[Recipe, str]:
    """The recipe of a release, with DICOM as its output, and the digest of its host's file.

    Raises:
        ValueError: when there is no ``release.json``, or it is none of ours, or of volumes.
    """
    path = hospital_dir / RELEASE
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        scale = document["intensity_rule"]["scale"]
        names = {field.name for field in fields(Recipe)} - {"intensity_range", "output"}
        known = {name: document[name] for name in names}
        host = str(document["host_sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"hospital_dir: {str(path)!r} is no release's ({type(error).__name__}): hide a cohort with hide.json first."
        ) from None
    if len(known["image_size"]) != 2:
        raise ValueError("hospital_dir: the release is of volumes; the gateway hides images of two axes.")
    return Recipe(**known, intensity_range=None if scale == DTYPE_MAXIMUM else scale, output="dicom"), host


def load_pipeline(
    hospital_dir: Path, hosts_dir: Path, host: str | None = None, generator_file: Path | None = None
) -> tuple[Recipe, HostPool, SurrogateNet]:
    """What hides as the release did.

    Args:
        hospital_dir: of the release.
        hosts_dir: its host pool.
        host: file name of the host, as it was given to hide.json.
        generator_file: its generator.

    Raises:
        ValueError: when host or generator are others than the release's.
    """
    recipe, host_sha256 = read_recipe(hospital_dir)
    pool = HostPool(hosts_dir, recipe, host)
    if pool.host_sha256 != host_sha256:
        raise ValueError("hosts_dir: the host is another than the release's: give its folder, and its file as host.")
    if recipe.generator_sha256 != (file_sha256(generator_file) if recipe.generator_sha256 else None):
        raise ValueError("generator_file: it is another than the release's: give that of release.json.")
    generator = load_generator(generator_file, EnhancementGenerator(2)) if recipe.generator_sha256 else None
    network = SurrogateNet(
        pool.host, recipe.alpha, recipe.beta, generator, recipe.second_alpha, recipe.second_beta, recipe.stage
    )
    torch.set_num_threads(1)
    return recipe, pool, network.eval()
