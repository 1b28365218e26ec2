"""Dictionary transforms of the pipeline's steps: they iterate keys over the array transforms."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.transforms import MapTransform, Randomizable
from monai.utils import PostFix
from torch import Tensor, nn

from fesf.transforms.array import EnhanceImage, HideImage, Host, RandHideImage, SurrogateImage

__all__ = [
    "EnhanceImageD",
    "EnhanceImageDict",
    "EnhanceImaged",
    "HideImageD",
    "HideImageDict",
    "HideImaged",
    "RandHideImageD",
    "RandHideImageDict",
    "RandHideImaged",
    "SurrogateImageD",
    "SurrogateImageDict",
    "SurrogateImaged",
]


class _EachKey(MapTransform):
    """Replace every keyed image by what ``transform`` makes of it."""

    transform: Callable[[Any], Tensor]

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy of ``data`` with every keyed image replaced by its result."""
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.transform(d[key])
            _forget_source(d, key)
        return d


class HideImaged(_EachKey):
    """Dictionary form of :class:`~fesf.transforms.array.HideImage`: hide every keyed image in the same host.

    Entries that ``LoadImaged`` may leave beside an image (``<key>_meta_dict``, ``<key>_transforms``) are removed, for
    they name the source. There is no ``inverse``: the plaintext's phase is gone.

    Args:
        keys: keys of the images, each ``(C, *spatial)`` float in [0, 1] of the host's shape.
        host: ``(C, *spatial)`` array or tensor, or a path.
        alpha: half-width of the band as a share of each axis, in [0, 0.5].
        beta: the plaintext's share of the amplitude, in [0, 1].
        clip: clamp the result to [0, 1].
        allow_missing_keys: do not raise if a key is missing.

    Raises:
        ValueError: as :class:`~fesf.transforms.array.HideImage`.
    """

    backend = HideImage.backend

    def __init__(
        self,
        keys: KeysCollection,
        host: Host,
        alpha: float = 0.1,
        beta: float = 0.5,
        clip: bool = True,
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        self.transform = HideImage(host, alpha, beta, clip)


class EnhanceImaged(_EachKey):
    """Dictionary form of :class:`~fesf.transforms.array.EnhanceImage`: enhance every keyed synthetic image.

    Entries beside an image are removed as by :class:`HideImaged`. There is no ``inverse``.

    Args:
        keys: keys of the synthetic images, each ``(C, *spatial)`` float in [0, 1].
        generator: the IQEM's generator G; it is put in evaluation mode.
        allow_missing_keys: do not raise if a key is missing.
    """

    backend = EnhanceImage.backend

    def __init__(self, keys: KeysCollection, generator: nn.Module, allow_missing_keys: bool = False) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        self.transform = EnhanceImage(generator)


class SurrogateImaged(_EachKey):
    """Dictionary form of :class:`~fesf.transforms.array.SurrogateImage`: the whole pipeline for every keyed plaintext.

    Entries beside an image are removed as by :class:`HideImaged`. There is no ``inverse``.

    Args:
        keys: keys of the plaintexts, each ``(C, *spatial)`` float in [0, 1] of the host's shape.
        network: a :class:`~fesf.networks.surrogate.SurrogateNet`; it is put in evaluation mode.
        allow_missing_keys: do not raise if a key is missing.
    """

    backend = SurrogateImage.backend

    def __init__(self, keys: KeysCollection, network: nn.Module, allow_missing_keys: bool = False) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        self.transform = SurrogateImage(network)


class RandHideImaged(Randomizable, MapTransform):
    """Dictionary form of :class:`~fesf.transforms.array.RandHideImage`: one draw of host, alpha and beta for all keys.

    Args:
        keys: keys of the images, each ``(C, *spatial)`` float in [0, 1] of the hosts' shape.
        hosts: one or more hosts of one shape.
        alpha: range (low, high) to draw from, or one number; within [0, 0.5].
        beta: range (low, high) to draw from, or one number; within [0, 1].
        prob: probability of hiding; below 1 some calls return the plaintext.
        clip: clamp the result to [0, 1].
        allow_missing_keys: do not raise if a key is missing.

    Raises:
        ValueError: as :class:`~fesf.transforms.array.RandHideImage`.
    """

    backend = RandHideImage.backend

    def __init__(
        self,
        keys: KeysCollection,
        hosts: Sequence[Host] | Host,
        alpha: float | Sequence[float] = (0.05, 0.1),
        beta: float | Sequence[float] = (0.3, 0.7),
        prob: float = 1.0,
        clip: bool = True,
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        self.transform = RandHideImage(hosts, alpha, beta, prob, clip)

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> RandHideImaged:
        """Seed the wrapped transform, which makes every draw."""
        super().set_random_state(seed, state)
        self.transform.set_random_state(seed, state)
        return self

    def randomize(self, data: object = None) -> None:
        """Draw once from the wrapped transform's random state."""
        self.transform.randomize(None)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy of ``data`` with every keyed image hidden by the same draw."""
        d = dict(data)
        self.randomize(None)
        for key in self.key_iterator(d):
            d[key] = self.transform(d[key], randomize=False)
            _forget_source(d, key)
        return d


def _forget_source(data: dict[Hashable, Any], key: Hashable) -> None:
    """Remove the entries beside an image that hold its file name and history."""
    data.pop(PostFix.meta(str(key)), None)
    data.pop(PostFix.transforms(str(key)), None)


EnhanceImageD = EnhanceImageDict = EnhanceImaged
HideImageD = HideImageDict = HideImaged
RandHideImageD = RandHideImageDict = RandHideImaged
SurrogateImageD = SurrogateImageDict = SurrogateImaged
