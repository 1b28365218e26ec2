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

from fesf.networks import EnhancementGenerator, SurrogateNet
from fesf.networks.surrogate import STAGES
from fesf.transforms import HideImage, enhance, hide


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


def hide_by_formula(plain: np.ndarray, host: np.ndarray, alpha: float, beta: float) -> np.ndarray:
    """IHM of one channel as the paper writes it."""
    u = [np.abs(np.rint(np.fft.fftfreq(n) * n)) <= np.floor(alpha * n) for n in plain.shape]
    mask = u[0][:, None] & u[1]
    spectrum = np.fft.fft2(host)
    a_ho, a_pl = np.abs(spectrum), np.abs(np.fft.fft2(plain))
    a_sy = mask * ((1 - beta) * a_ho + beta * a_pl) + (1 - mask) * a_ho
    return np.clip(np.fft.ifft2(a_sy * np.exp(1j * np.angle(spectrum))).real, 0, 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("second_alpha", "second_beta"), [(0.35, 0.9), (0.1, 0.2), (0.5, 1.0)])
def test_every_stage_against_the_formula(host, plain, dtype, second_alpha, second_beta):
    """x_su' = IHM(x_pl, host=G(IHM(x_pl, x_ho))) with G known: 0.5 x + 0.1 x^2."""
    net = SurrogateNet(host, 0.2, 0.5, Darken(), second_alpha, second_beta).to(dtype)
    stages = net.stages(plain.to(dtype))
    for i, image in enumerate(plain.double().numpy()[:, 0]):
        expected = {"synthetic": hide_by_formula(image, host.double().numpy()[0], 0.2, 0.5)}
        expected["enhanced"] = 0.5 * expected["synthetic"] + 0.1 * expected["synthetic"] ** 2
        expected["surrogate"] = hide_by_formula(image, expected["enhanced"], second_alpha, second_beta)
        for name, values in expected.items():
            atol = 1e-6 if dtype == torch.float32 else 1e-7  # the host's buffer and G's factor 0.1 are what they are
            np.testing.assert_allclose(stages[name][i, 0].detach().numpy(), values, rtol=0, atol=atol)
    assert (stages["surrogate"] - stages["enhanced"]).abs().max() > 0.01


@pytest.mark.parametrize("stage", STAGES)
def test_stages_up_to_the_one_asked_for(host, plain, stage):
    everything = SurrogateNet(host, 0.2, 0.5, Darken(), 0.3, 0.9).stages(plain)
    assert tuple(everything) == STAGES
    net = SurrogateNet(host, 0.2, 0.5, Darken(), 0.3, 0.9, stage=stage)
    made = net.stages(plain)
    assert tuple(made) == STAGES[: STAGES.index(stage) + 1]
    for name, images in made.items():
        assert torch.equal(images, everything[name])
    assert torch.equal(net(plain), everything[stage])


def test_default_stage(host, plain):
    assert SurrogateNet(host, 0.2, 0.5).stage == "synthetic"
    assert tuple(SurrogateNet(host, 0.2, 0.5).stages(plain)) == ("synthetic",)
    assert SurrogateNet(host, 0.2, 0.5, Darken()).stage == "surrogate"
    assert SurrogateNet(host, 0.2, 0.5, stage="synthetic").stage == "synthetic"


def test_stage_can_be_changed_later(host, plain):
    net = SurrogateNet(host, 0.2, 0.5, Darken())
    everything = net.stages(plain)
    for stage in STAGES:
        net.stage = stage
        assert torch.equal(net(plain), everything[stage])


class Brighten(nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return 3 * image - 0.5


def test_enhanced_is_clamped_before_it_serves_as_a_host(host, plain):
    net = SurrogateNet(host, 0.2, 0.5, Brighten())
    stages = net.stages(plain)
    torch.testing.assert_close(stages["enhanced"], (3 * stages["synthetic"] - 0.5).clamp(0, 1), rtol=0, atol=1e-6)
    assert ((stages["enhanced"] == 0) | (stages["enhanced"] == 1)).any()
    for image, enhanced, out in zip(plain, stages["enhanced"], stages["surrogate"], strict=True):
        torch.testing.assert_close(out, hide(image, enhanced, 0.2, 0.5, clip=True), rtol=0, atol=1e-6)


@pytest.fixture(scope="module")
def trained(host):
    """A generator that learned to invert its images: far from the identity where training starts."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generator = EnhancementGenerator(2, channels=(8, 16))
    optimizer = torch.optim.Adam(generator.parameters(), 1e-2)
    examples = smooth((16, 1, 32, 24), 5)
    for step in range(60):
        batch = examples[step % 4 :: 4]
        loss = (generator(batch) - (1 - batch)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.02
    return generator.eval().requires_grad_(False)


def scramble(image: torch.Tensor, seed: int) -> torch.Tensor:
    """Another image of the same amplitude: all phases are those of noise."""
    spectrum = np.fft.fft2(image.double().numpy())
    noise = np.fft.fft2(np.random.default_rng(seed).random(image.shape))  # its phases are antisymmetric
    noise[..., 0, 0] = 1
    scrambled = np.fft.ifft2(np.abs(spectrum) * noise / np.abs(noise))
    assert np.abs(scrambled.imag).max() < 1e-12
    return torch.from_numpy(scrambled.real).to(image.dtype)


def levels(image: torch.Tensor) -> torch.Tensor:
    return (image * 255).round()


BANDS = [(0.1, 0.1), (0.2, 0.35), (0.5, 0.5)]


@pytest.mark.parametrize(("alpha", "second_alpha"), BANDS)
def test_the_whole_pipeline_is_phase_blind(trained, alpha, second_alpha):
    net = SurrogateNet(smooth((1, 32, 24), 0), alpha, 0.5, trained, second_alpha, 0.8)
    plain = smooth((4, 1, 32, 24), 1)
    first = net.stages(plain)
    assert (first["enhanced"] - first["synthetic"]).abs().mean() > 0.1
    for other in (torch.roll(plain, (5, -3), (-2, -1)), plain.flip((-2, -1))):
        assert (other - plain).abs().max() > 0.1
        for name, images in net.stages(other).items():
            torch.testing.assert_close(images, first[name], rtol=0, atol=1e-5)
            assert (levels(images) - levels(first[name])).abs().max() <= 1
    different = net.stages(plain.transpose(-2, -1).reshape(plain.shape))  # not blind to the amplitude
    assert (different["surrogate"] - first["surrogate"]).abs().max() > 0.02


@pytest.mark.parametrize(("alpha", "second_alpha"), BANDS)
def test_the_whole_pipeline_is_blind_to_a_scrambled_phase(trained, alpha, second_alpha):
    """A scrambled image leaves [0, 1], so that the module refuses it: the same steps on the pure functions."""
    host, plain = smooth((1, 32, 24), 0), smooth((4, 1, 32, 24), 1) ** 4  # a dark background, as in radiology

    def pipeline(images: torch.Tensor) -> torch.Tensor:
        enhanced = enhance(hide(images, host, alpha, 0.5, clip=True), trained)
        return hide(images, enhanced, second_alpha, 0.8, clip=True)

    expected = pipeline(plain)
    net = SurrogateNet(host, alpha, 0.5, trained, second_alpha, 0.8)
    torch.testing.assert_close(net(plain), expected, rtol=0, atol=1e-5)  # the same steps indeed
    scrambled = scramble(plain, 3)
    assert scrambled.min() < 0
    assert (scrambled - plain).abs().max() > 0.3
    out = pipeline(scrambled)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-5)
    assert (levels(out) - levels(expected)).abs().max() <= 1


def test_no_stage_depends_on_the_batch(trained):
    net = SurrogateNet(smooth((1, 64, 48), 0), 0.2, 0.5, trained, 0.3, 0.8)
    plain = smooth((4, 1, 64, 48), 1)
    together = net.stages(plain)
    for i in range(4):
        for name, images in net.stages(plain[i : i + 1]).items():
            assert torch.equal(images[0], together[name][i])
    assert torch.equal(net(plain.flip(0)), together["surrogate"].flip(0))


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
        ({"stage": "surogate"}, "stage='surogate': choose synthetic, enhanced, surrogate"),
        ({"stage": "enhanced"}, "stage='enhanced' needs a generator: train one with enhance.json, or choose 'synth"),
        ({"stage": "surrogate"}, "stage='surrogate' needs a generator"),
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
