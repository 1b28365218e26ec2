"""Image features that exist without training and without a download: statistics of a fixed random convolution."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from monai.networks.layers import Conv, Pool
from torch import Tensor, nn

__all__ = ["TextureFeatures"]


class TextureFeatures(nn.Module):
    """Texture and layout of an image as one vector: the features of Fréchet distance and MMD (our choice).

    Three levels of 3-wide convolutions with fixed random weights, each followed by ReLU and halved by averaging; of
    each channel its mean and its standard deviation over the image, and the image itself averaged to four cells an
    axis. Random multi-scale filters capture texture (Ustyuzhaninov et al. 2017); they are the same on every machine
    and for every data set, have seen no patient, and know nothing of findings: what they measure is the look.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels C of the image.
        channels: filters of each level.
        seed: of the weights.

    Shape:
        - Input: ``(B, C, *spatial)``, floats in [0, 1], at least 4 an axis
        - Output: ``(B, F)``; F is 240 for one channel in 2D

    Examples:
        >>> TextureFeatures(2)(torch.rand(3, 1, 28, 28)).shape
        torch.Size([3, 240])
    """

    CELLS = 4

    def __init__(
        self, spatial_dims: int, in_channels: int = 1, channels: Sequence[int] = (16, 32, 64), seed: int = 0
    ) -> None:
        super().__init__()
        rng = np.random.default_rng(seed)
        self.levels = nn.ModuleList()
        for inputs, outputs in pairwise((in_channels, *channels)):
            conv = Conv[Conv.CONV, spatial_dims](inputs, outputs, kernel_size=3, padding=1, bias=False)
            weight = rng.standard_normal(conv.weight.shape) * (2 / conv.weight[0].numel()) ** 0.5
            conv.weight = nn.Parameter(torch.from_numpy(weight).float(), requires_grad=False)
            self.levels.append(conv)
        self.halve = Pool[Pool.AVG, spatial_dims](2, ceil_mode=True)
        self.layout = Pool[Pool.ADAPTIVEAVG, spatial_dims](self.CELLS)

    def forward(self, image: Tensor) -> Tensor:
        """Return the features of a batch."""
        parts = [self.layout(image).flatten(1)]
        values = image - 0.5
        for index, level in enumerate(self.levels):
            values = torch.relu(level(self.halve(values) if index else values))
            flat = values.flatten(2)
            parts += [flat.mean(-1), flat.std(-1, correction=0)]
        return torch.cat(parts, dim=1)
