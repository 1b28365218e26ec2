"""ExportableSurrogateNet: SurrogateNet's numbers in eager mode, in TorchScript and on onnxruntime."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from fesf.networks import EnhancementGenerator, ExportableSurrogateNet, SurrogateNet
from fesf.networks.surrogate import STAGES

CASES = [  # size, alpha, second alpha, second beta
    ((64, 64), 0.1, 0.3, 0.9),
    ((33, 30), 0.5, 0.2, 0.3),
    ((48, 40), 0.25, 0.5, 0.8),
]
each_case = pytest.mark.parametrize("case", CASES, ids=str)
Make = Callable[..., SurrogateNet]


def images(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def make(randomise: Callable[[nn.Module, float], nn.Module]) -> Make:
    """A pipeline with a generator of random weights."""

    def pipeline(
        size: tuple[int, ...],
        alpha: float,
        second_alpha: float,
        second_beta: float,
        stage: str = "surrogate",
        channels: tuple[int, ...] = (16, 32, 64),
    ) -> SurrogateNet:
        generator = randomise(EnhancementGenerator(len(size), channels=channels), 0.05)
        return SurrogateNet(images(1, *size), alpha, 0.5, generator, second_alpha, second_beta, stage).eval()

    return pipeline


@each_case
@pytest.mark.parametrize("stage", STAGES)
def test_eager_and_traced_equal_the_pipeline(make: Make, case: tuple, stage: str) -> None:
    net = make(*case, stage)
    exportable = ExportableSurrogateNet(net)
    assert not exportable.training
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("error", torch.jit.TracerWarning)  # nothing of the example is frozen in
        traced = torch.jit.trace(exportable, images(2, 1, *case[0], seed=1))
    file = io.BytesIO()
    torch.jit.save(traced, file)
    file.seek(0)
    loaded = torch.jit.load(file)
    for count in (1, 5):
        plain = images(count, 1, *case[0], seed=2)
        with torch.no_grad():
            expected = net(plain)
            for module in (exportable, loaded):
                out = module(plain)
                torch.testing.assert_close(out, expected, rtol=0, atol=1e-5)
                assert out.min() >= 0
                assert out.max() <= 1
    assert len({made.sum().item() for made in net.stages(plain).values()}) == STAGES.index(stage) + 1


class Stages(nn.Module):
    """All stages in one graph: an export takes seconds whatever its size."""

    def __init__(self, nets: list[ExportableSurrogateNet]) -> None:
        super().__init__()
        self.nets = nn.ModuleList(nets)

    def forward(self, plain: Tensor) -> list[Tensor]:
        return [net(plain) for net in self.nets]


@each_case
def test_onnx_equals_the_pipeline(
    make: Make, to_onnx: Callable[..., Callable[[Tensor], list[np.ndarray]]], case: tuple
) -> None:
    nets = [make(*case, stage, channels=(16, 32)) for stage in STAGES]
    run = to_onnx(Stages([ExportableSurrogateNet(net) for net in nets]).eval(), images(2, 1, *case[0], seed=1))
    for count in (1, 5):
        plain = images(count, 1, *case[0], seed=2)
        outputs = run(plain)
        for net, out in zip(nets, outputs, strict=True):
            with torch.no_grad():
                np.testing.assert_allclose(out, net(plain).numpy(), rtol=0, atol=1e-5)
            assert out.min() >= 0
            assert out.max() <= 1


def test_one_pass_without_a_generator() -> None:
    host, plain = images(2, 20, 21), images(3, 2, 20, 21, seed=1)
    net = SurrogateNet(host, 0.4, 0.7)
    torch.testing.assert_close(ExportableSurrogateNet(net)(plain), net(plain), rtol=0, atol=1e-6)


class Blur(nn.Module):
    """Leaves hardly any amplitude in a wide band."""

    def forward(self, image: Tensor) -> Tensor:
        for _ in range(3):
            image = avg_pool2d(image, 7, 1, 3, count_include_pad=False)
        return image


def test_a_blurred_host_stays_near() -> None:
    net = SurrogateNet(images(1, 64, 64), 0.5, 0.5, Blur())
    plain = images(4, 1, 64, 64, seed=1)
    torch.testing.assert_close(ExportableSurrogateNet(net)(plain), net(plain), rtol=0, atol=1e-3)


def test_images_do_not_see_each_other(make: Make) -> None:
    exportable = ExportableSurrogateNet(make(*CASES[0]))
    plain = images(4, 1, 64, 64, seed=2)
    with torch.no_grad():
        torch.testing.assert_close(exportable(plain)[1:2], exportable(plain[1:2]), rtol=0, atol=1e-6)


def test_tables_follow_dtype_and_weights(make: Make) -> None:
    net = make(*CASES[2])
    exportable = ExportableSurrogateNet(net)
    other = SurrogateNet(images(1, 48, 40, seed=9), 0.25, 0.5, EnhancementGenerator(2, channels=(16, 32, 64)), 0.5, 0.8)
    exportable.load_state_dict(other.state_dict())
    plain = images(2, 1, 48, 40, seed=1)
    with torch.no_grad():
        torch.testing.assert_close(exportable(plain), other(plain), rtol=0, atol=1e-5)
        assert (exportable(plain) - make(*CASES[2])(plain)).abs().max() > 0.1
        double = exportable.double()(plain.double())
        torch.testing.assert_close(double, other.double()(plain.double()), rtol=0, atol=1e-11)


def test_refuses_volumes(make: Make) -> None:
    with pytest.raises(
        ValueError, match=r"host has shape \(1, 8, 9, 8\): only 2D pipelines, \(C, H, W\), are exported"
    ):
        ExportableSurrogateNet(make((8, 9, 8), 0.2, 0.2, 0.5))
