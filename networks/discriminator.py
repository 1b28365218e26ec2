"""Spectral normalisation of the IQEM's discriminator, which is MONAI's PatchDiscriminator."""

from __future__ import annotations

from typing import TypeVar

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

__all__ = ["pack", "spectrally_normalised"]

Network = TypeVar("Network", bound=nn.Module)
CONVOLUTIONS = (nn.Conv2d, nn.Conv3d)


def spectrally_normalised(network: Network) -> Network:
    """Keep the largest singular value of every convolution at 1 (Miyato et al. 2018), from an orthogonal start.

    MONAI starts its PatchDiscriminator at weights of deviation 0.02, which without a normalisation layer gives logits
    too small to train on; normalisation layers would hide an image's brightness from it.

    Args:
        network: changed in place; build its PatchDiscriminator with ``norm=None``.

    Returns:
        The network.
    """
    for module in list(network.modules()):
        if isinstance(module, CONVOLUTIONS):
            nn.init.orthogonal_(module.weight)
            spectral_norm(module)
    return network


def pack(images: Tensor, count: int) -> Tensor:
    """Lay ``count`` images side by side as channels, so that D judges sets (PacGAN, Lin et al. 2018).

    With one fixed host all synthetic images look alike, which a discriminator of single images cannot see.

    Args:
        images: ``(B, C, *spatial)``; what is left over of B after division by ``count`` is dropped.
        count: images of a pack.

    Returns:
        ``(B // count, count * C, *spatial)``.
    """
    whole = len(images) // count * count
    return images[:whole].reshape(whole // count, count * images.shape[1], *images.shape[2:])
