"""Group normalisation in networks that were built with batch normalisation."""

from __future__ import annotations

import math

import torch
from torch.nn.modules.batchnorm import _BatchNorm


def with_group_norm(network: torch.nn.Module, num_groups: int = 8) -> torch.nn.Module:
    """Replace every batch norm of a network by a group norm, in place.

    A group norm depends on one image alone: batch size, the number of processes and the sites of a federation do not
    matter, and training and evaluation compute the same. MONAI's ResNet takes a ``norm``, but applies it to the first
    layer only (1.6.1); hence this function, which works for any network.

    Args:
        network: a network without trained weights: those of its batch norms are dropped.
        num_groups: groups of each norm; the greatest common divisor with the number of channels where it does not
            divide them.

    Returns:
        The same network.

    Raises:
        ValueError: when ``num_groups`` is not positive.

    Examples:
        >>> network = torch.nn.Sequential(torch.nn.Conv2d(1, 12, 3), torch.nn.BatchNorm2d(12))
        >>> with_group_norm(network)[1]
        GroupNorm(4, 12, eps=1e-05, affine=True, bias=True)
    """
    if num_groups < 1:
        raise ValueError(f"{num_groups=} must be at least 1, such as 8.")
    for name, child in network.named_children():
        if isinstance(child, _BatchNorm):
            groups = math.gcd(num_groups, child.num_features)
            setattr(network, name, torch.nn.GroupNorm(groups, child.num_features, child.eps, child.affine))
        else:
            with_group_norm(child, num_groups)
    return network
