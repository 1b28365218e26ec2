"""MatrixBand.rehost: the tables of another host without complex numbers equal those that prepare_host computes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from fesf.transforms import prepare_host
from fesf.transforms.routes import FourierBand, MatrixBand

SHAPES = [(16, 16), (15, 17), (12, 15), (9, 8), (33, 6), (1, 7), (6, 1), (2, 2), (3, 2)]
each_shape = pytest.mark.parametrize("shape", SHAPES)
each_alpha = pytest.mark.parametrize("alpha", [0.0, 0.1, 0.25, 0.4, 0.5])


def band_of(host: Tensor, alpha: float) -> MatrixBand:
    band = prepare_host(host, alpha, route=MatrixBand).band
    assert isinstance(band, MatrixBand)
    return band


def waves(shape: tuple[int, int]) -> Tensor:
    """A host with one wave along each axis: the amplitude of all other bins is zero to rounding."""
    y, x = (torch.arange(n, dtype=torch.float64) * (2 * torch.pi / n) for n in shape)
    return 0.5 + 0.2 * torch.cos(y + 0.3)[:, None] + 0.2 * torch.sin(x + 0.8)


def assert_same_tables(rehosted: MatrixBand, expected: MatrixBand) -> None:
    torch.testing.assert_close(rehosted.amplitude, expected.amplitude, rtol=0, atol=1e-11)
    torch.testing.assert_close(rehosted.weight, expected.weight, rtol=0, atol=1e-12)
    assert rehosted.half == expected.half


@each_alpha
@each_shape
def test_rehost_equals_prepare_host(images, shape, alpha):
    first, other = images(shape, 1, torch.float64), images(shape, 2, torch.float64)
    assert_same_tables(band_of(first, alpha).rehost(other), band_of(other, alpha))


@each_alpha
@each_shape
def test_rehost_embeds_as_the_formula(reference, images, shape, alpha):
    first, other, plain = (images(shape, seed, torch.float64) for seed in (1, 2, 3))
    out = band_of(first, alpha).rehost(other).embed(plain, other, 0.7)
    expected = reference(plain.numpy(), other.numpy(), alpha, 0.7).real
    np.testing.assert_allclose(out.numpy(), expected, rtol=0, atol=1e-12)


@each_alpha
@pytest.mark.parametrize("shape", [(16, 16), (15, 12), (9, 7)])
def test_bins_without_amplitude(reference, images, shape, alpha):
    """Their phase is 0 in the new host, and a bin that was empty in the old host is as any other."""
    empty, full, plain = waves(shape), images(shape, 1, torch.float64), images(shape, 3, torch.float64)
    assert_same_tables(band_of(full, alpha).rehost(empty), band_of(empty, alpha))
    assert_same_tables(band_of(empty, alpha).rehost(full), band_of(full, alpha))
    out = band_of(full, alpha).rehost(empty).embed(plain, empty, 0.7)
    np.testing.assert_allclose(
        out.numpy(), reference(plain.numpy(), empty.numpy(), alpha, 0.7).real, rtol=0, atol=1e-12
    )


def test_black_has_phase_zero():
    """Nothing is divided by zero where prepare_host would refuse the host."""
    band = band_of(waves((8, 9)), 0.5).rehost(torch.zeros(8, 9, dtype=torch.float64))
    assert torch.equal(band.amplitude, torch.zeros_like(band.amplitude))
    assert torch.equal(band.weight[:, 1], torch.zeros_like(band.weight[:, 1]))
    assert band.weight[:, 0].sum() == pytest.approx(1.0)  # the shares of all bins make up the inverse at pixel 0


def test_a_host_each_in_their_own_dtype(images):
    band = band_of(images((10, 11), 1), 0.4)
    hosts = images((10, 11), 2, lead=(3, 2))
    rehosted = band.rehost(hosts)
    assert rehosted.amplitude.shape == (3, 2, *band.amplitude.shape)
    assert rehosted.weight.dtype == rehosted.amplitude.dtype == torch.float32
    for i in range(3):
        expected = band_of(hosts[i].double(), 0.4)
        torch.testing.assert_close(rehosted.weight[i].double(), expected.weight, rtol=0, atol=1e-6)
        torch.testing.assert_close(rehosted.amplitude[i].double(), expected.amplitude, rtol=1e-5, atol=1e-5)


def test_a_route_can_be_asked_for(images):
    host = images((24, 30), 1)
    assert type(prepare_host(host, 0.1).band) is MatrixBand
    assert type(prepare_host(host, 0.1, route=FourierBand).band) is FourierBand
    assert type(prepare_host(host, 0.5, route=MatrixBand).band) is MatrixBand
