"""Every batch norm becomes a group norm; what stays is the network's function of one image alone."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import DenseNet121, ResNet
from torch.nn.modules.batchnorm import _BatchNorm

from fesf.networks.norms import with_group_norm


def small(**options: object) -> ResNet:
    return ResNet("basic", [1, 1, 1, 1], [8, 16, 16, 16], spatial_dims=2, n_input_channels=1, num_classes=2, **options)


@pytest.mark.parametrize("make", [small, lambda: DenseNet121(2, 1, 2)], ids=["resnet", "densenet121"])
def test_no_batch_norm_is_left(make: object) -> None:
    network = make()  # type: ignore[operator]
    before = sum(isinstance(module, _BatchNorm) for module in network.modules())
    assert with_group_norm(network) is network
    assert not any(isinstance(module, _BatchNorm) for module in network.modules())
    assert sum(isinstance(module, torch.nn.GroupNorm) for module in network.modules()) == before > 1


def test_why_it_is_needed() -> None:
    """MONAI's own argument reaches the first norm only; once this fails, use it and drop with_group_norm."""
    network = small(norm=("group", {"num_groups": 8}))
    assert isinstance(network.bn1, torch.nn.GroupNorm)
    assert isinstance(network.layer1[0].bn1, _BatchNorm)


def test_an_image_does_not_depend_on_its_batch() -> None:
    torch.manual_seed(0)
    network = with_group_norm(small()).train()
    images = torch.rand(3, 1, 32, 32)
    torch.testing.assert_close(network(images)[:1], network(images[:1]))
    torch.testing.assert_close(network(images), network.eval()(images))


def test_groups_divide_the_channels() -> None:
    network = with_group_norm(torch.nn.Sequential(torch.nn.BatchNorm2d(12), torch.nn.BatchNorm3d(7)), 8)
    assert [(norm.num_groups, norm.num_channels) for norm in network] == [(4, 12), (1, 7)]


def test_bad_groups() -> None:
    with pytest.raises(ValueError, match="num_groups=0 must be at least 1"):
        with_group_norm(torch.nn.BatchNorm2d(4), 0)
