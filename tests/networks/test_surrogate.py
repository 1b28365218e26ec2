"""SurrogateNet: the transforms' own numbers, one image at a time, and the second pass."""

from __future__ import annotations

import copy
import doctest
import importlib
import math

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from torch import nn

from fesf.networks import SurrogateNet
from fesf.transforms import HideImage, hide


def smooth(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """Seeded images in [0, 1] with a falling spectrum."""
    noise = np.random.default_rng(seed).random(shape)
    for axis in range(-2, 0):
        noise = noise + np.roll(noise, 1, axis) + np.roll(noise, 2, axis)
    return torch.from_numpy((noise - noise.min()) / (noise.max() - noise.min())).float()


@pytest.fixture(scope="module")
def host():
    return smooth((1, 16, 12), 0)


@pytest.fixture(scope="module")
def plain():
    return smooth((5, 1, 16, 12), 1)


@pytest.mark.parametrize("alpha", [0.1, 0.5])
def test_equals_the_transform(host, plain, alpha):
    out = SurrogateNet(host, alpha, 0.6)(plain)
    transform = HideImage(host, alpha, 0.6)
    assert torch.equal(out, torch.stack([transform(image) for image in plain]))
    assert out.min() >= 0
    assert out.max() <= 1


@pytest.mark.parametrize("size", [(64, 64), (128, 128), (16, 16, 16)])
def test_a_result_does_not_depend_on_its_batch(size):
    net = SurrogateNet(smooth((1, *size), 0), 0.2, 0.5)
    plain = smooth((4, 1, *size), 1)
    batch = net(plain)
    for i in range(4):
        assert torch.equal(batch[i : i + 1], net(plain[i : i + 1]))


def test_phase_blind(host, plain):
    net = SurrogateNet(host, 0.3, 0.7)
    shifted = torch.roll(plain, (3, 5), (-2, -1))
    torch.testing.assert_close(net(shifted), net(plain), rtol=0, atol=1e-6)


def test_volumes_and_channels():
    host, plain = smooth((2, 6, 7, 8), 0), smooth((3, 2, 6, 7, 8), 1)
    out = SurrogateNet(host, 0.3, 0.5)(plain)
    torch.testing.assert_close(out, hide(plain, host, 0.3, 0.5, spatial_dims=3, clip=True), rtol=0, atol=2e-7)


def test_metatensor_leaves_no_trace(host, plain):
    assert (
        type(SurrogateNet(host, 0.1, 0.5)(MetaTensor(plain, meta={"filename_or_obj": "schmidt.png"}))) is torch.Tensor
    )


def test_host_is_the_buffer(host, plain):
    net = SurrogateNet(host, 0.2, 0.5)
    assert list(net.state_dict()) == ["host"]
    assert torch.equal(net.state_dict()["host"], host)
    assert not list(net.parameters())
    other = SurrogateNet(smooth((1, 16, 12), 9), 0.2, 0.5)
    before = other(plain)
    other.load_state_dict(net.state_dict())
    assert torch.equal(other(plain), net(plain))  # the tables follow the buffer
    assert not torch.equal(other(plain), before)
    assert torch.equal(copy.deepcopy(net)(plain), net(plain))


def test_dtype_follows_the_module(host, plain):
    net = SurrogateNet(host, 0.2, 0.5)
    single = net(plain)
    double = net.double()(plain.double())
    assert double.dtype == torch.float64
    torch.testing.assert_close(double.float(), single, rtol=0, atol=1e-6)
    expected = hide(plain.double(), host.double(), 0.2, 0.5, clip=True)
    torch.testing.assert_close(double, expected, rtol=0, atol=1e-12)


class Darken(nn.Module):
    """A generator that is known in closed form and has a parameter to train."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.5))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image * self.scale + 0.1 * image**2


def test_second_pass(host, plain):
    generator = Darken()
    net = SurrogateNet(host, 0.2, 0.5, generator, second_alpha=0.1, second_beta=0.9)
    for image, out in zip(plain, net(plain), strict=True):
        enhanced = generator(hide(image, host, 0.2, 0.5, clip=True))
        torch.testing.assert_close(out, hide(image, enhanced, 0.1, 0.9, clip=True), rtol=0, atol=2e-7)
    assert (net.second_alpha, net.second_beta) == (0.1, 0.9)


def test_second_pass_defaults_to_the_first(host, plain):
    net = SurrogateNet(host, 0.2, 0.7, Darken())
    assert (net.second_alpha, net.second_beta) == (0.2, 0.7)
    assert torch.equal(net(plain), SurrogateNet(host, 0.2, 0.7, Darken(), 0.2, 0.7)(plain))


def test_gradient_reaches_the_generator_and_the_plaintext(host, plain):
    net = SurrogateNet(host, 0.2, 0.5, Darken())
    given = plain.clone().requires_grad_()
    net(given).square().sum().backward()
    assert given.grad.abs().sum() > 0
    assert net.generator.scale.grad.abs() > 0


def test_narrow_bands_are_real_arithmetic(host):
    """Matrix products with constant real tables export as they are."""
    net = SurrogateNet(host, 0.2, 0.5)
    prepared = net.prepared()
    kinds = {t.dtype for t in vars(prepared.band).values() if isinstance(t, torch.Tensor)}
    assert kinds == {torch.float32}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alpha": 0.6}, r"alpha must be a number in \[0, 0\.5\].*got 0\.6"),
        ({"beta": math.nan}, "beta must be a number.*got nan"),
        ({"second_alpha": 0.1}, r"second_alpha=0\.1 and second_beta=None describe a second pass.*pass one, or leave"),
        ({"second_beta": 0.1}, "needs a generator"),
        ({"generator": nn.Identity(), "second_alpha": 0.7}, r"got 0\.7"),
        ({"generator": nn.Identity(), "second_beta": -1}, "got -1"),
        ({"host": torch.ones(1, 8, 8)}, "the host is constant"),
    ],
)
def test_refuses_arguments(host, arguments, message):
    with pytest.raises(ValueError, match=message):
        SurrogateNet(**({"host": host, "alpha": 0.1, "beta": 0.5} | arguments))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda x: x[0], r"batch has shape \(1, 16, 12\): expected \(B, C, \*spatial\).*image\[None\]"),
        (lambda x: x.expand(-1, 3, -1, -1), r"plaintext has 3 channel\(s\) and the host 1"),
        (lambda x: x[..., 1:], r"plaintext has shape \(1, 16, 11\) and the host \(1, 16, 12\)"),
        (lambda x: x * 2, r"outside \[0, 1\]"),
        (lambda x: (x * 255).byte(), "ScaleIntensityRange"),
        (lambda x: x * math.nan, "non-finite"),
    ],
)
def test_refuses_batches(host, plain, spoil, message):
    with pytest.raises(ValueError, match=message):
        SurrogateNet(host, 0.1, 0.5)(spoil(plain))


def test_docstring_example():
    result = doctest.testmod(importlib.import_module("fesf.networks.surrogate"))
    assert result.attempted > 0
    assert result.failed == 0
