"""The public host pool: which image hides, and whether a host is a cohort image in disguise."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from fesf.scripts.data.cohort import CohortError, LoadImageCohortd
from fesf.scripts.data.recipe import Recipe

THUMBNAIL = 32
NEAR_DUPLICATE = 0.98
"""Correlation of two 32-pixel thumbnails from which two images count as nearly equal. Measured on 1,000 chest X-rays
and 430 brain MRI: images of two patients reach 0.961; an image and its JPEG, gamma 0.8, noisy or half-size copy 0.992
and more."""


class HostPool:
    """The host domain K, and the one image of it that hides.

    The choice depends on the seed and the number of files alone, so not on any patient, label or split.

    Args:
        hosts_dir: folder of the public host images; files whose name starts with a dot are left out.
        recipe: the release's recipe: size, intensity rule and seed. Hosts are read as the cohort's images are, but
            for percentiles, which are their own, and ``pixel_spacing``, which does not apply to them.
        host: file name of the host inside ``hosts_dir``; None draws one by the seed.

    Attributes:
        host: the hiding image, float32 (1, *spatial) in [0, 1].
        host_sha256: digest of its file.
        files: the images' files, sorted by name.
        size: number of images in the pool.

    Raises:
        ValueError: when the folder has no images, ``host`` is not in it, or an image of it cannot be read.
    """

    def __init__(self, hosts_dir: str | Path, recipe: Recipe, host: str | None = None) -> None:
        folder = Path(hosts_dir)
        files = host_files(folder)
        if host is not None and folder / host not in files:
            raise ValueError(
                f"host {host!r} is not in hosts_dir: name one of its {len(files)} files, or leave it null."
            )
        chosen = folder / host if host is not None else files[np.random.default_rng(recipe.seed).integers(len(files))]
        self._loader = LoadImageCohortd("image", recipe.spatial_size, recipe.intensity_range, hosts=True)
        found = []
        for path in files:
            image = self.read(path)
            found.append(thumbnails(image[None]))
            if path == chosen:
                self.host = image
        self.files, self.size = files, len(files)
        self.host_sha256 = sha256(chosen.read_bytes()).hexdigest()
        self.thumbnails = torch.cat(found)
        if float(self.host.min()) == float(self.host.max()):
            raise ValueError(f"The host {chosen.name!r} is constant, it has no phase to hide in: choose another host.")

    def read(self, path: Path) -> Tensor:
        """An image of the pool, (1, *spatial) in [0, 1].

        Raises:
            ValueError: when it cannot be read.
        """
        try:
            return self._loader.prepare(str(path)).as_tensor()
        except CohortError as error:
            raise ValueError(f"The host {path.name!r}: {error}") from None
        except Exception as error:
            raise ValueError(
                f"The host {path.name!r} cannot be read ({type(error).__name__}): hosts_dir may hold images only."
            ) from error

    def nearest(self, image: Tensor) -> float:
        """Largest correlation of the image (1, *spatial) with a host of the pool, in [-1, 1]."""
        return self.nearest_each(image[None])[0]

    def nearest_each(self, images: Tensor) -> list[float]:
        """:meth:`nearest` of each image of a batch (N, 1, *spatial): together they take half the time."""
        found: list[float] = (thumbnails(images) @ self.thumbnails.T).amax(1).tolist()
        return found


def host_files(folder: Path) -> list[Path]:
    """The pool's files, sorted; those whose name starts with a dot are left out.

    Raises:
        ValueError: when there is none.
    """
    files = sorted(path for path in folder.glob("*") if path.is_file() and not path.name.startswith("."))
    if not files:
        raise ValueError(f"hosts_dir {str(folder)!r} holds no images: point it at a folder of public images.")
    return files


def thumbnails(images: Tensor, length: int = THUMBNAIL) -> Tensor:
    """Small copies with mean 0 and norm 1, so that the product of two of them is their correlation.

    Args:
        images: (N, 1, *spatial) in [0, 1].
        length: size along each axis.

    Returns:
        (N, length ** spatial axes); 0 for a constant image.
    """
    small = images[:, 0]
    for size in images.shape[:1:-1]:  # each pass averages the last axis and puts it first
        small = (small @ _area_averages(size, min(length, size))).movedim(-1, 1)
    small = small.flatten(1)
    centred = small - small.mean(1, keepdim=True)
    norms = torch.linalg.vector_norm(centred, dim=1, keepdim=True)
    return torch.where(norms > 1e-6, centred / norms, 0)


@cache
def _area_averages(size: int, length: int) -> Tensor:
    """Matrix (size, length) that averages by area, as ``interpolate`` does: a product takes a third of its time."""
    return interpolate(torch.eye(size)[None], size=length, mode="area")[0]


def refuse_near_duplicate(correlation: float, row: int) -> None:
    """Raise when a cohort image is nearly one of the hosts: a host must be nobody of the cohort.

    Args:
        correlation: see :meth:`HostPool.nearest`.
        row: its row in the cohort.

    Raises:
        CohortError: naming the row.
    """
    if correlation > NEAR_DUPLICATE:
        raise CohortError(
            f"Row {row} of the cohort nearly equals a host (correlation {correlation:.4f} > {NEAR_DUPLICATE}): hosts"
            " must be public images of nobody in the cohort. Take the host or the row out and hide again."
        )
