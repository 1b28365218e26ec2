"""A vision transformer of MONAI as a classifier that returns logits, for images of any size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.layers import Conv
from monai.networks.nets import ViT
from monai.utils import ensure_tuple_rep, optional_import
from torch import Tensor, nn
from torch.nn.functional import pad

__all__ = ["ViTClassifier"]


def sincos_positions(grid: list[int], hidden_size: int, device: torch.device) -> Tensor:
    """Return the sine-cosine embedding of every place of a grid, ``(1, places, hidden_size)``.

    The numbers and their order are those of MONAI's ``build_sincos_position_embedding``.

    Args:
        grid: two or three lengths.
        hidden_size: a multiple of twice their number.
        device: of the result.
    """
    count = hidden_size // (2 * len(grid))
    frequencies = torch.pow(10000.0, -torch.arange(count, dtype=torch.float32, device=device) / count)
    axes = [torch.arange(length, dtype=torch.float32, device=device) for length in grid]
    places = torch.meshgrid(axes, indexing="ij")
    order = [1, 0, 2]  # MONAI's: the second axis comes first
    columns: list[Tensor] = []
    for axis in order[: len(grid)]:
        angles = places[axis].flatten()[:, None] * frequencies
        columns += [angles.sin(), angles.cos()]
    return torch.cat(columns, dim=1)[None]


class PatchEmbedding(nn.Module):
    """Patches of an image as tokens with sine-cosine positions.

    MONAI's ``PatchEmbeddingBlock`` keeps a table of positions for one image size; here they are computed for the grid
    that an image has. A side that is not a multiple of the patch is padded with zeros at its end.

    Args:
        in_channels: channels C of the image.
        patch_size: side of a patch for each of the two or three axes.
        hidden_size: length of a token.
        dropout_rate: share of the tokens' entries that training sets to 0.

    Shape:
        - Input: ``(B, C, *spatial)``
        - Output: ``(B, patches, hidden_size)``
    """

    def __init__(self, in_channels: int, patch_size: Sequence[int], hidden_size: int, dropout_rate: float) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.patch_size = list(patch_size)
        self.hidden_size = hidden_size
        convolution = Conv[Conv.CONV, len(patch_size)]
        self.patch_embeddings = convolution(in_channels, hidden_size, kernel_size=patch_size, stride=patch_size)
        self.dropout = nn.Dropout(dropout_rate)

    def forward(self, image: Tensor) -> Tensor:
        """Return the tokens of a batch.

        Raises:
            ValueError: if the batch is not ``(B, in_channels, *spatial)``.
        """
        axes = len(self.patch_size)
        if image.ndim != axes + 2 or image.shape[1] != self.in_channels:
            raise ValueError(
                f"the batch has shape {list(image.shape)}: expected (B, {self.in_channels}, *spatial) with {axes} "
                "spatial axes; give the network the spatial_dims and in_channels of the images."
            )
        padding: list[int] = []
        for axis in range(axes - 1, -1, -1):
            patch = self.patch_size[axis]
            padding += [0, (patch - image.shape[axis + 2] % patch) % patch]
        patches = self.patch_embeddings(pad(image, padding))
        positions = sincos_positions(patches.shape[2:], self.hidden_size, patches.device).to(patches.dtype)
        return self.dropout(patches.flatten(2).transpose(1, 2) + positions)


class ViTClassifier(nn.Module):
    """Classify images by MONAI's ``ViT``, small and without its final Tanh (Dosovitskiy et al., arXiv 2010.11929).

    Its positions are sines and cosines, not learned (Beyer et al., arXiv 2205.01580), so that neither the network nor
    its weights depend on the size of the images.

    Args:
        in_channels: channels of the image.
        num_classes: number of logits.
        spatial_dims: 2 or 3.
        patch_size: side of a patch, or one for each axis.
        hidden_size: length of a token.
        mlp_dim: width of the feed-forward layers.
        num_layers: number of transformer blocks.
        num_heads: number of attention heads.
        dropout_rate: of tokens, attention and feed-forward layers, in [0, 1].

    Raises:
        ValueError: if an argument is outside its range or einops, which MONAI's ``ViT`` is made of, is not installed.

    Shape:
        - Input: ``(B, in_channels, *spatial)``, any size
        - Output: ``(B, num_classes)``, logits

    Examples:
        >>> ViTClassifier(num_classes=3)(torch.rand(2, 1, 64, 48)).shape
        torch.Size([2, 3])
    """

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 2,
        spatial_dims: int = 2,
        patch_size: Sequence[int] | int = 8,
        hidden_size: int = 192,
        mlp_dim: int = 384,
        num_layers: int = 4,
        num_heads: int = 3,
        dropout_rate: float = 0.0,
    ) -> None:
        super().__init__()
        if not optional_import("einops")[1]:
            raise ValueError("ViTClassifier needs the package einops: pip install einops, or choose another network.")
        if spatial_dims not in (2, 3):
            raise ValueError(f"spatial_dims must be 2 or 3, got {spatial_dims!r}.")
        if hidden_size % num_heads or hidden_size % (2 * spatial_dims):
            raise ValueError(
                f"hidden_size must be a multiple of num_heads={num_heads} and of {2 * spatial_dims} (sine and cosine "
                f"of each axis), got {hidden_size!r}: choose 192 with 3 heads, for example."
            )
        if not 0 <= dropout_rate <= 1:
            raise ValueError(f"dropout_rate must be in [0, 1], got {dropout_rate!r}.")
        patch = ensure_tuple_rep(patch_size, spatial_dims)
        if min(patch) < 1:
            raise ValueError(f"patch_size must be at least 1 on every axis, got {patch_size!r}.")
        self.vit = ViT(
            in_channels=in_channels,
            img_size=patch,
            patch_size=patch,
            hidden_size=hidden_size,
            mlp_dim=mlp_dim,
            num_layers=num_layers,
            num_heads=num_heads,
            pos_embed_type="none",
            classification=True,
            num_classes=num_classes,
            dropout_rate=dropout_rate,
            spatial_dims=spatial_dims,
            post_activation="",
        )
        self.vit.add_module("patch_embedding", PatchEmbedding(in_channels, patch, hidden_size, dropout_rate))
        for name, parameter in self.vit.named_parameters():
            if "cross_attn" in name:  # unused here, and DistributedDataParallel would wait for its gradient
                parameter.requires_grad_(False)

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits of a batch.

        Raises:
            ValueError: if the batch is not ``(B, in_channels, *spatial)``.
        """
        logits, _ = self.vit(image)
        return logits
