"""The generator of the Image Quality Enhancement Module (arXiv 2403.16473, section on the IQEM)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.blocks import Convolution, ResidualUnit
from torch import Tensor, nn
from torch.nn.functional import interpolate

__all__ = ["EnhancementGenerator"]


class EnhancementGenerator(nn.Module):
    """G of the IQEM: moves a synthetic image towards the host domain, image to image.

    A small residual encoder and decoder with skips predicts for each pixel a relative step r in (-1, 1), and the
    output goes that share of the way to white or to black: ``x + r (1 - x)`` for r >= 0, else ``x + r x``. Inputs in
    [0, 1] stay there without a clamp, whose gradient would vanish, and r = 0 is the identity, which is where training
    starts (the last convolution is zero). The architecture is our choice; the paper's is not known to us.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels C of the image.
        channels: features of each level; every level after the first halves the size.
        num_res_units: convolutions of each residual unit, at least 1.
        norm: MONAI's name of a normalisation, None for none. Normalisation over an image would forget its brightness.

    Raises:
        ValueError: if ``spatial_dims`` is neither 2 nor 3, or ``channels`` is empty.

    Shape:
        - Input: ``(B, C, *spatial)``, floats in [0, 1], any size of at least 1 an axis
        - Output: the same shape and dtype, in [0, 1]

    Examples:
        >>> generator = EnhancementGenerator(spatial_dims=2)
        >>> image = torch.rand(2, 1, 29, 31)
        >>> bool((generator(image) - image).abs().max() < 1e-4)
        True
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int = 1,
        channels: Sequence[int] = (8, 16, 32, 64),
        num_res_units: int = 1,
        norm: str | None = None,
    ) -> None:
        super().__init__()
        if spatial_dims not in (2, 3):
            raise ValueError(f"spatial_dims must be 2 or 3, got {spatial_dims!r}.")
        if not channels:
            raise ValueError("channels must name the features of at least one level, got none.")
        self.spatial_dims, self.in_channels = spatial_dims, in_channels
        self.mode = "bilinear" if spatial_dims == 2 else "trilinear"

        def unit(inputs: int, outputs: int, strides: int = 1) -> nn.Module:
            return ResidualUnit(
                spatial_dims, inputs, outputs, strides=strides, subunits=num_res_units, act="leakyrelu", norm=norm
            )

        self.encoder = nn.ModuleList(
            unit(inputs, outputs, strides=1 if level == 0 else 2)
            for level, (inputs, outputs) in enumerate(zip((in_channels, *channels), channels, strict=False))
        )
        self.decoder = nn.ModuleList(
            unit(deep + shallow, shallow) for deep, shallow in zip(channels[:0:-1], channels[-2::-1], strict=True)
        )
        self.last = Convolution(spatial_dims, channels[0], in_channels, conv_only=True)
        for parameter in self.last.parameters():
            nn.init.zeros_(parameter)

    def forward(self, image: Tensor) -> Tensor:
        """Return the enhanced image; see the class for shapes and ranges.

        Raises:
            ValueError: if the batch is not ``(B, in_channels, *spatial)``.
        """
        traced = torch.jit.is_tracing()  # where sizes are tensors, which no branch may depend on
        if image.ndim != self.spatial_dims + 2 or (not traced and image.shape[1] != self.in_channels):
            raise ValueError(
                f"the batch has shape {list(image.shape)}: expected (B, {self.in_channels}, *spatial) with "
                f"{self.spatial_dims} spatial axes; give the generator the spatial_dims and in_channels of the images."
            )
        features = image
        skips: list[Tensor] = []
        for level in self.encoder:
            features = level(features)
            skips.append(features)
        skips.pop()
        for level in self.decoder:
            skip = skips.pop()
            features = interpolate(features, size=skip.shape[2:], mode=self.mode, align_corners=False)
            features = level(torch.cat((features, skip), dim=1))
        step = torch.tanh(self.last(features))
        size = step.abs()  # its gradient at 0 is 0: at r = 0 black learns to rise and white to fall, at half the rate
        return image + (size + step) / 2 * (1 - image) + (step - size) / 2 * image
