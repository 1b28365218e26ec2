"""Reading a release for its audit: store, hospital folder, cohort and host pool become a :class:`Scene`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from fesf.scripts.audit.attributes import binary_attributes
from fesf.scripts.audit.gateway import read_pipeline
from fesf.scripts.audit.scene import Images, Integers, Scene
from fesf.scripts.data.cohort import Cohort, CohortError, LoadImageCohortd, read_cohort
from fesf.scripts.data.cohort_table import read_attributes
from fesf.scripts.data.folders import LINKAGE, RELEASE
from fesf.scripts.data.hosts import HostPool
from fesf.scripts.data.linkage import read_linkage
from fesf.scripts.data.recipe import Recipe
from fesf.scripts.data.store import LoadImageStored
from fesf.scripts.data.store_format import IMAGES, SUFFIXES, load_manifest

TEXT = "text"
"""The cohort's column that says what is burned into an image; it is for the audit alone, and no attribute."""
UNSCALED = "dtype maximum"
"""What release.json says where the recipe has no intensity rule."""


def kept_recipe(release: Mapping[str, Any]) -> Recipe:
    """The recipe that ``release.json`` holds."""
    scale = release["intensity_rule"]["scale"]
    names = set(Recipe.__dataclass_fields__) - {"intensity_range"}
    chosen = {name: value for name, value in release.items() if name in names}
    return Recipe(**chosen, intensity_range=None if scale == UNSCALED else scale)


def attacked_pass(recipe: Recipe) -> tuple[float, float]:
    """Alpha and beta of the pass that left the images in the store."""
    if recipe.second_alpha is None or recipe.second_beta is None:
        return recipe.alpha, recipe.beta
    return recipe.second_alpha, recipe.second_beta


def read_scene(
    cohort: str | Path,
    store: str | Path,
    hospital: str | Path,
    hosts: str | Path,
    host: str | None = None,
    secret_file: str | Path | None = None,
    section: str = "test",
    generator_file: str | Path | None = None,
) -> Scene:
    """Read a release, in the hospital.

    Args:
        cohort: ``cohort.csv``.
        store: the surrogate store.
        hospital: the folder with its ``linkage.csv`` and ``release.json``.
        hosts: the host pool.
        host: file name of the host that hides, where it was named to hide.json.
        secret_file: the secret, where the linkage is encrypted.
        section: whose patients are attacked: "test" or "validation"; those of training are known to attackers.
        generator_file: the generator of the release; None looks for it in the hospital folder.

    Raises:
        ValueError: when the parts (the generator too) are not of one release, images are volumes, or there is nobody to
            attack.
        CohortError: naming the row whose image cannot be read.
    """
    release = Path(hospital) / RELEASE
    if not release.is_file():
        raise ValueError(f"The hospital folder has no {RELEASE}: name the folder in which hide.json made this store.")
    document = json.loads(release.read_text(encoding="utf-8"))
    recipe = kept_recipe(document)
    if len(recipe.spatial_size) != 2:
        raise ValueError("The store holds volumes: the audit attacks images of two axes.")
    pool = HostPool(hosts, recipe, host)
    if pool.host_sha256 != document["host_sha256"]:
        raise ValueError(
            "The host pool does not give the host of this release: name the same folder and the same host."
        )
    pipeline = read_pipeline(recipe, hospital, generator_file)
    linkage = read_linkage(Path(hospital) / LINKAGE, secret_file)
    columns = read_attributes(cohort)
    texts = columns.pop(TEXT, {})
    attributes = binary_attributes(columns)
    table = read_cohort(cohort)
    known, victims = (_read(linkage, part, table, store, recipe, attributes, texts) for part in ("training", section))
    alpha, beta = attacked_pass(recipe)
    images = np.stack([pool.read(path).numpy()[0] for path in pool.files]).astype(float)
    return Scene(
        known,
        victims,
        pool.host.numpy()[0].astype(float),
        images,
        alpha,
        beta,
        stage=str(recipe.stage),
        levels=2**recipe.bit_depth - 1,
        texts=tuple(sorted(set(texts.values()))),
        pipeline=pipeline,
    )


def _read(
    linkage: Mapping[str, Mapping[str, str]],
    section: str,
    cohort: Cohort,
    store: str | Path,
    recipe: Recipe,
    attributes: Mapping[str, Mapping[int, int]],
    texts: Mapping[int, str],
) -> Images:
    every = sorted(set(texts.values()))
    rows = {str(row.row): row for row in cohort.rows}
    loader: Any = LoadImageCohortd(
        "image",
        recipe.spatial_size,
        recipe.intensity_range,
        pixel_spacing=recipe.pixel_spacing,
        mask_text=recipe.mask_text,
    )
    stored = LoadImageStored("image", store)
    suffix = SUFFIXES[load_manifest(store)["encoding"]["type"]]
    seen, plain, found, taken = [], [], [], []
    for image_id, link in tqdm(linkage.items(), desc=f"Reading {section}", mininterval=1.0):
        if link["split"] != section:
            continue
        row = rows.get(link["row"])
        if row is None or row.patient != link["patient"]:
            raise CohortError(f"Row {link['row']} of the cohort is not the one of the linkage: name the cohort hidden.")
        plain.append(loader(cohort.item(row))["image"].numpy()[0])
        seen.append(stored({"image": str(Path(store) / IMAGES / f"{image_id}{suffix}")})["image"].numpy()[0])
        found.append((link["label"], link["patient"], link["study"]))
        taken.append(row.row)
    shape = (0, *recipe.spatial_size)
    return Images(
        np.stack(seen).astype(float) if seen else np.zeros(shape),
        np.stack(plain).astype(float) if plain else np.zeros(shape),
        *numbered(found, cohort.class_names, linkage),
        attributes={
            name: np.array([held.get(row, -1) for row in taken], dtype=np.int64) for name, held in attributes.items()
        },
        written=np.array([every.index(texts[row]) if row in texts else -1 for row in taken], dtype=np.int64),
    )


def numbered(
    found: Sequence[tuple[str, str, str]], names: Sequence[str], linkage: Mapping[str, Mapping[str, str]]
) -> tuple[Integers, Integers, Integers]:
    """Labels, patients and studies as numbers, the same for both sections; a patient without studies is one study."""
    persons = sorted({link["patient"] for link in linkage.values()})
    patients = {person: number for number, person in enumerate(persons)}
    pairs = sorted({(link["patient"], link["study"]) for link in linkage.values()})
    studies = {pair: number for number, pair in enumerate(pairs)}
    return (
        np.array([names.index(label) if label else -1 for label, _, _ in found], dtype=np.int64),
        np.array([patients[patient] for _, patient, _ in found], dtype=np.int64),
        np.array([studies[patient, study] for _, patient, study in found], dtype=np.int64),
    )
