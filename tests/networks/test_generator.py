"""EnhancementGenerator: where it starts, where it can go, and that it leaves PyTorch unchanged."""

from __future__ import annotations

import doctest
import importlib
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fesf.networks import EnhancementGenerator

SIZES = [(29, 31), (5, 7), (28, 28), (1, 6), (9, 13, 8)]
SMALL = {"channels": (4, 8, 12)}


def images(*shape: int) -> Tensor:
    """Seeded images in [0, 1]; the first pixel is exactly 0, the last exactly 1."""
    made = torch.rand(shape, generator=torch.Generator().manual_seed(1))
    made.view(-1)[0], made.view(-1)[-1] = 0.0, 1.0
    return made


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(16, 20), (8, 9, 6)])
def test_starts_as_the_identity(size: tuple[int, ...], channels: int) -> None:
    image = images(2, channels, *size)
    out = EnhancementGenerator(len(size), channels)(image)
    torch.testing.assert_close(out, image, rtol=0, atol=1e-4)
    assert out.flatten()[0] == 0
    assert out.flatten()[-1] == 1


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", SIZES)
def test_stays_in_the_unit_interval_at_every_size(
    size: tuple[int, ...], channels: int, randomise: Callable[[nn.Module, float], nn.Module]
) -> None:
    image = images(2, channels, *size)
    for deviation in (0.3, 3.0):
        out = randomise(EnhancementGenerator(len(size), channels, **SMALL), deviation)(image)
        assert out.shape == image.shape
        assert out.min() >= 0
        assert out.max() <= 1
        assert (out - image).abs().max() > 0.1  # it does something


def test_a_step_goes_its_share_of_the_way_to_white_or_black() -> None:
    generator = EnhancementGenerator(2)
    image = torch.tensor([0.0, 0.25, 0.8, 1.0]).expand(1, 1, 4, 4)
    for step, expected in ((0.6, [0.6, 0.7, 0.92, 1.0]), (-0.6, [0.0, 0.1, 0.32, 0.4])):
        nn.init.constant_(generator.last.conv.bias, float(np.arctanh(step)))
        out = generator(image)[0, 0]
        torch.testing.assert_close(out, torch.tensor(expected).expand(4, 4), rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [(8, 8), (6, 5, 4)])
@pytest.mark.parametrize(("value", "target"), [(0.0, 1.0), (1.0, 0.0), (0.5, 1.0), (0.5, 0.0)])
def test_a_first_step_moves_every_pixel_the_right_way(size: tuple[int, ...], value: float, target: float) -> None:
    """A clamp would stop black and white where they start."""
    torch.manual_seed(0)
    generator = EnhancementGenerator(len(size))
    image = torch.full((1, 1, *size), value)
    (generator(image) - target).square().mean().backward()
    conv = generator.last.conv
    assert torch.sign(-conv.bias.grad).item() == (1 if target > value else -1)  # the way a descent goes
    assert conv.weight.grad.abs().max() > 1e-3
    with torch.no_grad():
        for parameter in conv.parameters():
            parameter -= 0.1 * parameter.grad
    moved = generator(image) - image
    assert (moved * (target - value)).min() > 0.01


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_is_small(spatial_dims: int) -> None:
    assert sum(p.numel() for p in EnhancementGenerator(spatial_dims).parameters()) < 1_000_000


@pytest.mark.parametrize("channels", [(6,), (4, 8, 12, 16)])
def test_any_number_of_levels(channels: tuple[int, ...], randomise: Callable[[nn.Module, float], nn.Module]) -> None:
    generator = randomise(EnhancementGenerator(2, channels=channels, num_res_units=1, norm="instance"), 0.3)
    assert len(generator.encoder) == len(channels)
    assert len(generator.decoder) == len(channels) - 1
    assert generator(images(2, 1, 21, 16)).shape == (2, 1, 21, 16)
    assert any(isinstance(module, nn.InstanceNorm2d) for module in generator.modules())


def test_one_image_does_not_see_another(randomise: Callable[[nn.Module, float], nn.Module]) -> None:
    generator = randomise(EnhancementGenerator(2), 0.1)
    batch = images(4, 1, 13, 18)
    torch.testing.assert_close(generator(batch)[2:3], generator(batch[2:3]), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("example", "other"), [((2, 1, 29, 31), (3, 1, 12, 17)), ((1, 1, 9, 13, 8), (2, 1, 6, 5, 7))])
def test_torchscript_equals_eager(
    example: tuple[int, ...], other: tuple[int, ...], randomise: Callable[[nn.Module, float], nn.Module]
) -> None:
    generator = randomise(EnhancementGenerator(len(example) - 2), 0.1)
    scripted = torch.jit.script(generator)
    traced = torch.jit.trace(generator, images(*example))
    for shape in (example, other):
        with torch.no_grad():
            expected = generator(images(*shape))
            torch.testing.assert_close(scripted(images(*shape)), expected, rtol=0, atol=1e-6)
            assert (expected - images(*shape)).abs().max() > 0.1
    more = images(4, *example[1:])
    torch.testing.assert_close(traced(more), generator(more), rtol=0, atol=1e-6)


def test_onnx_equals_eager(
    to_onnx: Callable[..., Callable[[Tensor], list[np.ndarray]]], randomise: Callable[[nn.Module, float], nn.Module]
) -> None:
    generator = randomise(EnhancementGenerator(2, **SMALL), 0.2)
    run = to_onnx(generator, images(2, 1, 29, 31))
    for count in (1, 2, 5):
        batch = images(count, 1, 29, 31)
        expected = generator(batch).detach().numpy()
        (out,) = run(batch)
        np.testing.assert_allclose(out, expected, rtol=0, atol=1e-5)
        assert np.abs(expected - batch.numpy()).max() > 0.1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"spatial_dims": 1}, "spatial_dims must be 2 or 3, got 1"),
        ({"spatial_dims": 2, "channels": ()}, "channels must name the features of at least one level, got none"),
    ],
)
def test_refuses_arguments(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EnhancementGenerator(**arguments)


@pytest.mark.parametrize("shape", [(1, 16, 16), (2, 3, 16, 16), (1, 1, 8, 8, 8), (16,)])
def test_refuses_batches(shape: tuple[int, ...]) -> None:
    message = rf"has shape \[{', '.join(map(str, shape))}\]: expected \(B, 1, \*spatial\) with 2 spatial axes; give"
    with pytest.raises(ValueError, match=message):
        EnhancementGenerator(2)(torch.zeros(shape))


def test_docstring_example() -> None:
    result = doctest.testmod(importlib.import_module("fesf.networks.generator"))
    assert result.attempted > 0
    assert result.failed == 0
