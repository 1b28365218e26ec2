"""The discriminator's normalisation against a singular value decomposition, and packs of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.networks.nets import PatchDiscriminator
from torch import nn

from fesf.networks.discriminator import pack, spectrally_normalised


def make(spatial_dims: int = 2, seed: int = 0) -> PatchDiscriminator:
    torch.manual_seed(seed)
    network = PatchDiscriminator(spatial_dims=spatial_dims, channels=8, in_channels=1, num_layers_d=2, norm=None)
    return spectrally_normalised(network)


def largest(network: nn.Module) -> list[float]:
    """Largest singular value of the matrix of every convolution."""
    convolutions = [module for module in network.modules() if isinstance(module, (nn.Conv2d, nn.Conv3d))]
    assert len(convolutions) == 4
    return [np.linalg.svd(c.weight.detach().flatten(1).numpy(), compute_uv=False)[0] for c in convolutions]


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_largest_singular_value_is_one_whatever_training_does(spatial_dims: int) -> None:
    network = make(spatial_dims)
    np.testing.assert_allclose(largest(network), 1, atol=1e-4)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(5).add_(0.5 * torch.randn(parameter.shape))
    assert max(abs(value - 1) for value in largest(network)) > 0.1  # the estimate is of the weights before
    network.train()
    for _ in range(40):
        network(torch.rand(2, 1, *[16] * spatial_dims))
    np.testing.assert_allclose(largest(network), 1, atol=0.02)


def test_starts_orthogonal() -> None:
    weight = make().get_submodule("0.conv").weight.detach().flatten(1)
    np.testing.assert_allclose(weight @ weight.T, np.eye(16), atol=1e-4)


def test_brightness_reaches_the_logits() -> None:
    network = make().eval()
    dark, bright = (network(torch.full((1, 1, 32, 32), value))[-1] for value in (0.2, 0.8))
    assert (dark - bright).abs().mean() > 0.05


def test_state_goes_round_without_code(tmp_path: Path) -> None:
    first, second = make(), make(seed=1)
    first.train()
    images = torch.rand(2, 1, 16, 16)
    first(images)
    torch.save(first.state_dict(), tmp_path / "d.pt")
    second.load_state_dict(torch.load(tmp_path / "d.pt", weights_only=True))
    for network in (first, second):
        network.train()
    for _ in range(2):  # the estimate of the singular vectors goes on from where it was
        assert torch.equal(first(images)[-1], second(images)[-1])


def test_the_network_itself_comes_back() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Linear(2, 2))
    assert spectrally_normalised(network) is network
    assert not hasattr(network[1], "parametrizations")


@pytest.mark.parametrize("count", [1, 2, 3])
def test_packs_hold_neighbours_as_channels_and_drop_the_rest(count: int) -> None:
    images = torch.arange(7 * 2 * 3 * 4).reshape(7, 2, 3, 4)
    packed = pack(images, count)
    assert packed.shape == (7 // count, 2 * count, 3, 4)
    for index, whole in enumerate(packed):
        assert torch.equal(whole, torch.cat(list(images[index * count : (index + 1) * count])))
