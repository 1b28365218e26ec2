"""What the IQEM trains on: synthetic images of the cohort and images of the host pool, drawn independently."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.transforms import Randomizable
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from fesf.networks.surrogate import SurrogateNet
from fesf.scripts.data.cohort import CohortError, LoadImageCohortd, load_datalist
from fesf.scripts.data.hosts import HostPool, refuse_near_duplicate
from fesf.scripts.data.splits import read_splits
from fesf.scripts.data.withdrawn import read_withdrawn


@dataclass(frozen=True)
class HostHalves:
    """The host pool in two halves, drawn by a seed: one trains D, the other measures.

    Args:
        training: (N, 1, *spatial) in [0, 1].
        held_out: (M, 1, *spatial) in [0, 1].
    """

    training: Tensor
    held_out: Tensor


def host_halves(pool: HostPool, limit: int = 2000, seed: int = 0) -> HostHalves:
    """Read the pool (at most ``limit`` images of it) and halve it.

    Raises:
        ValueError: when the pool has fewer than two images.
    """
    files = [pool.files[index] for index in np.random.default_rng(seed).permutation(pool.size)[:limit]]
    if len(files) < 2:
        raise ValueError("The host pool has one image: the IQEM needs a domain of hosts, 8 images or more.")
    images = torch.stack([pool.read(path) for path in files])
    half = len(images) // 2
    return HostHalves(images[: len(images) - half], images[len(images) - half :])


def read_plaintexts(
    cohort: str | Path,
    splits: str | Path,
    section: str,
    preprocessing: LoadImageCohortd,
    limit: int = 2000,
    seed: int = 0,
    on_bad_row: str = "stop",
    withdrawn: str | Path | None = None,
) -> list[tuple[dict[str, Any], Tensor]]:
    """Items of one section with their plaintexts (1, *spatial); for the trusted zone only.

    Args:
        cohort: path of ``cohort.csv``.
        splits: path of the hospital's ``splits.csv``.
        section: "training", "validation" or "test".
        preprocessing: reads an item's image.
        limit: read at most so many, drawn by the seed.
        seed: of the draw.
        on_bad_row: "stop" at a row that cannot be read, or "quarantine" to go on without it, as hide.json.
        withdrawn: table of patients whose images are not read.

    Raises:
        CohortError: naming the row.
        ValueError: when the table of patients cannot be used.
    """
    items = load_datalist(cohort, splits, section)
    if withdrawn is not None:
        gone = set(read_withdrawn(withdrawn, read_splits(splits)))
        items = [item for item in items if item["patient"] not in gone]
    chosen = sorted(np.random.default_rng(seed).permutation(len(items))[:limit].tolist())
    read = []
    for item in tqdm([items[index] for index in chosen], desc=f"Reading {section}", mininterval=1.0):
        try:
            read.append((item, preprocessing(item)["image"].as_tensor()))
        except CohortError as error:
            if on_bad_row == "stop":
                raise
            print(f"{error} Left out.")
    if not read:
        raise CohortError(f"No image of section {section!r} can be read.")
    return read


def synthetic_images(network: SurrogateNet, pool: HostPool, **source: Any) -> Tensor:
    """Synthetic images (N, 1, *spatial) of one section; see :func:`read_plaintexts` for the other arguments.

    Raises:
        CohortError: naming the row that cannot be read, or that nearly equals a host.
    """
    images = []
    for item, plain in read_plaintexts(**source):
        refuse_near_duplicate(pool.nearest(plain), item["row"])
        images.append(network(plain[None])[0])
    return torch.stack(images)


class ImageStack(Dataset[dict[str, Tensor]]):
    """Images in memory as a data set.

    Args:
        images: (N, C, *spatial).

    Returns of indexing:
        "image" (C, *spatial).
    """

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"image": self.images[index]}


class UnpairedImages(Dataset[dict[str, Tensor]], Randomizable):
    """Synthetic and host images drawn independently and with replacement, so many an epoch as asked.

    Args:
        synthetic: (N, C, *spatial).
        hosts: (M, C, *spatial).
        length: items of an epoch.

    Returns of indexing:
        "image" (C, *spatial), a synthetic image, and "host" (C, *spatial); the index does not matter.
    """

    def __init__(self, synthetic: Tensor, hosts: Tensor, length: int) -> None:
        self.synthetic = synthetic
        self.hosts = hosts
        self.length = length
        self._drawn = (0, 0)

    def __len__(self) -> int:
        return self.length

    def randomize(self, data: Any = None) -> None:
        """Draw the two positions."""
        self._drawn = int(self.R.randint(len(self.synthetic))), int(self.R.randint(len(self.hosts)))

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if not 0 <= index < self.length:
            raise IndexError(index)
        self.randomize()
        return {"image": self.synthetic[self._drawn[0]], "host": self.hosts[self._drawn[1]]}
