"""The facts of the Image Hidden Module, each against numpy.fft in float64."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor

from fesf.transforms import functional, hide, low_frequency_mask, prepare_host, routes

TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}
FLAT = [(16, 16), (15, 17), (12, 20), (9, 8), (33, 6), (1, 7), (2, 2)]
SHAPES = [*FLAT, (6, 7, 8), (8, 8, 8), (5, 1, 4)]


def each_route(*shapes: tuple[int, ...]) -> pytest.MarkDecorator:
    """Every route with every shape, but for the matrix route with volumes: the rule never sends it one."""
    cases = [
        (route, shape)
        for route in ("rule", "FourierBand", "MatrixBand")
        for shape in shapes
        if route != "MatrixBand" or len(shape) == 2
    ]
    return pytest.mark.parametrize(("route", "shape"), cases, indirect=["route"])


# --- mask ------------------------------------------------------------------------------------------------------------


def test_mask_by_hand():
    mask = low_frequency_mask((4, 5), 0.25)  # half-widths floor(1) and floor(1.25)
    rows, columns = [True, True, False, True], [True, True, False, False, True]
    assert mask.dtype == torch.bool
    assert torch.equal(mask, torch.tensor(rows)[:, None] & torch.tensor(columns))


@pytest.mark.parametrize("shape", SHAPES)
def test_mask_ends(shape):
    assert low_frequency_mask(shape, 0.0).sum() == 1
    assert low_frequency_mask(shape, 0.0).flatten()[0]
    assert low_frequency_mask(shape, 0.5).all()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=3), st.floats(0, 0.5))
def test_mask_counts_and_is_symmetric(shape, alpha):
    mask = low_frequency_mask(shape, alpha)
    assert int(mask.sum()) == math.prod(min(n, 2 * math.floor(alpha * n) + 1) for n in shape)
    mirrored = torch.roll(mask.flip(tuple(range(len(shape)))), [1] * len(shape), tuple(range(len(shape))))
    assert torch.equal(mask, mirrored)


@pytest.mark.parametrize("alpha", [-0.01, 0.51, math.nan, math.inf, "0.1", None])
def test_mask_refuses_alpha(alpha):
    with pytest.raises(ValueError, match=r"alpha must be a number in \[0, 0\.5\].*got " + re.escape(repr(alpha))):
        low_frequency_mask((8, 8), alpha)


@pytest.mark.parametrize("shape", [(), (8, 0)])
def test_mask_refuses_shape(shape):
    with pytest.raises(ValueError, match="shape must hold one size of at least 1 an axis, got"):
        low_frequency_mask(shape, 0.1)


# --- agreement with the formula --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.3, 0.5])
@each_route(*SHAPES)
def test_every_route_agrees_with_formula(reference, images, route, shape, alpha, dtype):
    plain, host = images(shape, 1, dtype), images(shape, 2, dtype)
    expected = reference(plain.numpy(), host.numpy(), alpha, 0.7)
    assert np.abs(expected.imag).max() < 1e-12
    out = hide(plain, host, alpha, 0.7, spatial_dims=len(shape))
    assert out.dtype == dtype
    np.testing.assert_allclose(out.numpy(), expected.real, rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize(
    ("shape", "alpha"),
    [((256, 256), 0.04), ((256, 255), 0.1), ((512, 512), 0.5), ((2048, 2048), 0.1), ((32, 48, 40), 0.25)],
)
def test_large_images_keep_the_tolerance(reference, images, shape, alpha):
    plain, host = images(shape, 1), images(shape, 2)
    expected = reference(plain.numpy(), host.numpy(), alpha, 0.5).real
    out = hide(plain, host, alpha, 0.5, spatial_dims=len(shape))
    np.testing.assert_allclose(out.numpy(), expected, rtol=0, atol=1e-6)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.integers(1, 14), min_size=2, max_size=3).filter(lambda s: math.prod(s) > 1),
    st.floats(0, 0.5),
    st.floats(0, 1),
    st.integers(0, 99),
)
def test_any_shape_alpha_beta(reference, images, shape, alpha, beta, seed):
    plain, host = images(shape, seed, torch.float64), images(shape, seed + 100, torch.float64)
    expected = reference(plain.numpy(), host.numpy(), alpha, beta)
    assert np.abs(expected.imag).max() < 1e-12
    out = hide(plain, host, alpha, beta, spatial_dims=len(shape))
    np.testing.assert_allclose(out.numpy(), expected.real, rtol=0, atol=1e-12)


def test_rule_depends_on_shape_and_band_alone():
    assert routes.choose_route((224, 224), (11, 11)) is routes.MatrixBand
    assert routes.choose_route((224, 224), (12, 12)) is routes.FourierBand
    assert routes.choose_route((64, 512), (6, 51)) is routes.FourierBand
    assert routes.choose_route((96, 96, 96), (2, 2, 2)) is routes.FourierBand
    assert type(prepare_host(torch.rand(64, 64), 0.1).band) is routes.MatrixBand
    assert type(prepare_host(torch.rand(64, 64), 0.25).band) is routes.FourierBand


@pytest.mark.parametrize("shape", [(8, 8), (9, 7), (8, 6, 5)])
@pytest.mark.parametrize("alpha", [0.2, 0.5])
def test_inverse_is_real_to_rounding(images, shape, alpha):
    """The imaginary part is at rounding level with our own mask; a mask off DC would leave 7 % at alpha 0.5."""
    plain, host = images(shape, 1, torch.float64), images(shape, 2, torch.float64)
    mask = low_frequency_mask(shape, alpha)
    spectrum = torch.fft.fftn(host)
    mixed = torch.where(mask, 0.5 * (spectrum.abs() + torch.fft.fftn(plain).abs()), spectrum.abs())
    assert torch.fft.ifftn(torch.polar(mixed, spectrum.angle())).imag.abs().max() < 1e-15


# --- batches, channels, devices ---------------------------------------------------------------------------------------


def test_batches_and_channels_broadcast(images, route):
    plain, host = images((8, 10), 1, lead=(3, 2)), images((8, 10), 2, lead=(2,))
    out = hide(plain, host, 0.3, 0.5)
    assert out.shape == (3, 2, 8, 10)
    for i in range(3):
        for c in range(2):
            torch.testing.assert_close(out[i, c], hide(plain[i, c], host[c], 0.3, 0.5), rtol=0, atol=2e-7)
    assert hide(plain[0, 0], host, 0.3, 0.5).shape == (2, 8, 10)
    assert hide(plain, host[:1], 0.3, 0.5).shape == (3, 2, 8, 10)


def test_a_host_each(images, route):
    plain, hosts = images((8, 9), 1, lead=(3, 1)), images((8, 9), 2, lead=(3, 1))
    out = hide(plain, hosts, 0.3, 0.5)
    for i in range(3):
        torch.testing.assert_close(out[i], hide(plain[i], hosts[i], 0.3, 0.5), rtol=0, atol=2e-7)


def test_large_batches_go_in_pieces(images, monkeypatch, route):
    plain, host = images((8, 8), 1, lead=(7, 1)), images((8, 8), 2, lead=(1,))
    whole = hide(plain, host, 0.2, 0.5, clip=True)
    monkeypatch.setattr(functional, "PIECE_PIXELS", 130)  # two images a piece
    torch.testing.assert_close(hide(plain, host, 0.2, 0.5, clip=True), whole, rtol=0, atol=2e-7)
    assert len(functional._pieces(plain, host)) == 4
    hosts = host.expand(7, 1, 8, 8).clone()
    assert len(functional._pieces(plain, hosts)) == 1  # a host each: not split
    torch.testing.assert_close(hide(plain, hosts, 0.2, 0.5, clip=True), whole, rtol=0, atol=2e-7)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("alpha", [0.1, 0.3])
def test_cuda_agrees_with_cpu(images, alpha):
    plain, host = images((32, 40), 1, lead=(2, 1)), images((32, 40), 2, lead=(1,))
    out = hide(plain.cuda(), host, alpha, 0.5)
    assert out.is_cuda
    torch.testing.assert_close(out.cpu(), hide(plain, host, alpha, 0.5), rtol=0, atol=1e-6)


def test_strided_views_are_read_right(images, route):
    wide, host = images((10, 12), 1), images((12, 10), 2)
    torch.testing.assert_close(
        hide(wide.T, host, 0.3, 0.5), hide(wide.T.contiguous(), host, 0.3, 0.5), rtol=0, atol=2e-7
    )


def test_inputs_stay_untouched(images, route):
    plain, host = images((10, 12), 1, lead=(1,)), images((10, 12), 2, lead=(1,))
    before = plain.clone(), host.clone()
    prepared = prepare_host(host, 0.5)
    first = hide(plain, prepared, 0.5, 1.0, clip=True)
    assert torch.equal(first, hide(plain, prepared, 0.5, 1.0, clip=True))
    assert torch.equal(plain, before[0])
    assert torch.equal(host, before[1])


def test_metatensor_leaves_no_trace(images):
    plain = MetaTensor(images((8, 8), 1, lead=(1,)), meta={"filename_or_obj": "schmidt.png"})
    out = hide(plain, MetaTensor(images((8, 8), 2, lead=(1,)), meta={"filename_or_obj": "host.png"}), 0.2, 0.5)
    assert type(out) is torch.Tensor


# --- the facts --------------------------------------------------------------------------------------------------------


@each_route((16, 16), (15, 12), (8, 7, 6))
@pytest.mark.parametrize("alpha", [0.1, 0.5])
def test_phase_blind(images, route, shape, alpha):
    axes = tuple(range(-len(shape), 0))
    plain, host = images(shape, 1, torch.float64), images(shape, 2, torch.float64)
    out = hide(plain, host, alpha, 0.8, len(shape))
    shifted = torch.roll(plain, (3, -2, 1)[: len(shape)], axes)
    turned = plain.flip(axes)
    phase = torch.fft.fftn(images(shape, 3, torch.float64) - 0.3).angle()  # of a real image: Hermitian
    scrambled = torch.fft.ifftn(torch.polar(torch.fft.fftn(plain).abs(), phase)).real
    assert scrambled.min() < 0  # it leaves [0, 1], which the pure function does not check
    for other in (shifted, turned, scrambled):
        assert (other - plain).abs().max() > 0.1
        torch.testing.assert_close(hide(other, host, alpha, 0.8, len(shape)), out, rtol=0, atol=1e-12)


def test_alpha_zero_moves_the_mean_alone(images, route):
    plain, host = images((12, 9), 1, torch.float64), images((12, 9), 2, torch.float64)
    expected = host + 0.25 * (plain.mean() - host.mean())
    torch.testing.assert_close(hide(plain, host, 0.0, 0.25), expected, rtol=0, atol=1e-12)


def test_beta_zero_is_the_host(images, route):
    plain, host = images((12, 9), 1, torch.float64), images((12, 9), 2, torch.float64)
    torch.testing.assert_close(hide(plain, host, 0.4, 0.0), host, rtol=0, atol=1e-12)


def test_alpha_half_beta_one_takes_every_amplitude(images, route):
    plain, host = images((12, 9), 1, torch.float64), images((12, 9), 2, torch.float64)
    spectrum = torch.fft.fft2(hide(plain, host, 0.5, 1.0))
    torch.testing.assert_close(spectrum.abs(), torch.fft.fft2(plain).abs(), rtol=0, atol=1e-11)
    expected = torch.polar(torch.fft.fft2(plain).abs(), torch.fft.fft2(host).angle())
    torch.testing.assert_close(spectrum, expected, rtol=0, atol=1e-11)


def test_outside_the_band_and_the_phase_stay_the_hosts(images, route):
    plain, host = images((16, 15), 1, torch.float64), images((16, 15), 2, torch.float64)
    mask = low_frequency_mask((16, 15), 0.2)
    spectrum, expected = torch.fft.fft2(hide(plain, host, 0.2, 0.6)), torch.fft.fft2(host)
    torch.testing.assert_close(spectrum[~mask], expected[~mask], rtol=0, atol=1e-11)
    turn = spectrum / expected  # positive and real: same phase in every bin
    assert turn.imag.abs().max() < 1e-9
    assert turn.real.min() > 0


def recover(surrogate: torch.Tensor, host: torch.Tensor, mask: torch.Tensor, beta: float) -> torch.Tensor:
    """A_pl on the band, by who holds the host, alpha and beta."""
    return ((torch.fft.fft2(surrogate).abs() - (1 - beta) * torch.fft.fft2(host).abs()) / beta)[mask]


def test_not_encryption(images, route):
    """Exact without clipping; measured with 8-bit rounding and with clipping (relative error of A_pl on the band)."""
    host = images((64, 64), 2, torch.float64) ** 3  # dark, so that it rings below zero
    plain = images((64, 64), 1, torch.float64) ** 3
    mask = low_frequency_mask((64, 64), 0.1)
    truth = torch.fft.fft2(plain).abs()[mask]
    unclipped, clipped = hide(plain, host, 0.1, 0.5), hide(plain, host, 0.1, 0.5, clip=True)
    share = float(((unclipped < 0) | (unclipped > 1)).double().mean())
    assert 0.02 < share < 0.5

    def error(surrogate: torch.Tensor) -> float:
        return float((recover(surrogate, host, mask, 0.5) - truth).norm() / truth.norm())

    assert error(unclipped) < 1e-12
    assert error(torch.round(unclipped * 255) / 255) < 0.01
    assert 1e-3 < error(clipped) < 0.2


def test_not_invertible(images):
    """Two plaintexts that differ outside the band, and in phase inside it, give one surrogate."""
    host, plain = images((16, 16), 2, torch.float64), images((16, 16), 1, torch.float64)
    mask = low_frequency_mask((16, 16), 0.2)
    other = torch.fft.ifft2(torch.fft.fft2(plain) * mask).real.flip((0, 1))
    assert (other - plain).abs().max() > 0.1
    torch.testing.assert_close(hide(other, host, 0.2, 0.5), hide(plain, host, 0.2, 0.5), rtol=0, atol=1e-12)


def test_empty_bins_have_phase_zero(images, route):
    """A host without energy in most bins: their phase is 0, not the angle of a rounding error."""
    columns = torch.arange(16, dtype=torch.float64)
    host = (0.5 + 0.4 * torch.cos(2 * torch.pi * columns / 16)).expand(16, 16)
    plain = images((16, 16), 1, torch.float64)
    spectrum = torch.fft.fft2(hide(plain, host, 0.3, 1.0))
    band = low_frequency_mask((16, 16), 0.3)
    band[0, [0, 1, 15]] = False
    torch.testing.assert_close(spectrum[band], torch.fft.fft2(plain).abs()[band].to(spectrum.dtype), rtol=0, atol=1e-11)


def test_clip_is_a_clamp(images, route):
    plain, host = images((16, 16), 1) ** 4, images((16, 16), 2) ** 4
    raw = hide(plain, host, 0.3, 0.9)
    assert raw.min() < 0
    assert torch.equal(hide(plain, host, 0.3, 0.9, clip=True), raw.clamp(0, 1))


# --- autograd ---------------------------------------------------------------------------------------------------------


@each_route((6, 5), (4, 6), (4, 3, 2))
@pytest.mark.parametrize("alpha", [0.25, 0.5])
def test_gradcheck(images, route, shape, alpha):
    plain = images(shape, 1, torch.float64, lead=(2,)).requires_grad_()
    host = images(shape, 2, torch.float64)
    prepared = prepare_host(host, alpha, len(shape))
    assert torch.autograd.gradcheck(lambda x: hide(x, prepared, alpha, 0.6, len(shape)), (plain,))
    assert torch.autograd.gradcheck(lambda h: hide(plain.detach(), h, alpha, 0.6, len(shape)), (host.requires_grad_(),))


def test_autograd_path_gives_the_same_image(images, route):
    plain, host = images((16, 15), 1, lead=(2, 1)), images((16, 15), 2, lead=(1,))
    with_grad = hide(plain.clone().requires_grad_(), host, 0.3, 0.5, clip=True)
    assert with_grad.requires_grad
    torch.testing.assert_close(with_grad.detach(), hide(plain, host, 0.3, 0.5, clip=True), rtol=0, atol=2e-7)


def test_gradient_of_a_black_image_is_finite(images, route):
    plain = torch.zeros(8, 8, requires_grad=True)
    hide(plain, images((8, 8), 2), 0.3, 0.5, clip=True).sum().backward()
    assert torch.isfinite(plain.grad).all()


# --- prepared hosts ---------------------------------------------------------------------------------------------------


def test_prepared_host_is_reused(images, route, monkeypatch):
    plain, host = images((12, 12), 1), images((12, 12), 2)
    prepared = prepare_host(host, 0.2)
    expected = hide(plain, host, 0.2, 0.5)
    monkeypatch.setattr(functional, "prepare_host", lambda *_: pytest.fail("prepared again"))
    assert torch.equal(hide(plain, prepared, 0.2, 0.5), expected)
    assert torch.equal(hide(plain, prepared, 0.21, 0.5), expected)  # the same band


def test_prepared_host_follows_the_dtype(images, reference, route):
    plain, host = images((12, 11), 1, torch.float64), images((12, 11), 2, torch.float64)
    expected = reference(plain.numpy(), host.numpy(), 0.3, 0.5).real
    single = hide(plain.float(), prepare_host(host, 0.3), 0.3, 0.5)
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single.numpy(), expected, rtol=0, atol=1e-6)
    moved = prepare_host(host, 0.3).to(dtype=torch.float32)
    assert moved.image.dtype == torch.float32
    assert torch.equal(hide(plain.float(), moved, 0.3, 0.5), single)
    np.testing.assert_allclose(hide(plain, host, 0.3, 0.5).numpy(), expected, rtol=0, atol=1e-12)


def test_phase_is_taken_in_the_finer_dtype(images, reference):
    """Bins far below float32's resolution keep the float64 host's phase for a float32 plaintext."""
    rows = torch.arange(16, dtype=torch.float64)[:, None]
    host = (0.5 + 0.4 * torch.cos(2 * torch.pi * rows / 16) + 1e-9 * images((16, 16), 2, torch.float64)).clamp(0, 1)
    plain = images((16, 16), 1)
    expected = reference(plain.numpy(), host.numpy(), 0.3, 1.0).real
    np.testing.assert_allclose(hide(plain, host, 0.3, 1.0).numpy(), expected, rtol=0, atol=1e-6)


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [-0.1, 1.1, math.nan, None])
def test_refuses_beta(images, beta):
    with pytest.raises(ValueError, match=rf"beta must be a number in \[0, 1\].*got {beta}"):
        hide(images((8, 8), 1), images((8, 8), 2), 0.1, beta)


@pytest.mark.parametrize("alpha", [-0.1, 0.6, math.nan])
def test_refuses_alpha(images, alpha):
    with pytest.raises(ValueError, match=rf"alpha must be a number in \[0, 0\.5\].*got {alpha}"):
        hide(images((8, 8), 1), images((8, 8), 2), alpha, 0.5)
    with pytest.raises(ValueError, match=rf"got {alpha}"):
        prepare_host(images((8, 8), 2), alpha)


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_refuses_constant_host(images, value):
    with pytest.raises(
        ValueError, match=rf"the host is constant \(value {value:g} in an image of \(8, 9\)\).*structure"
    ):
        hide(images((8, 9), 1), torch.full((8, 9), value), 0.1, 0.5)
    mixed = torch.stack((images((8, 9), 1), torch.full((8, 9), value)))
    with pytest.raises(ValueError, match=rf"the host is constant \(value {value:g}"):
        prepare_host(mixed, 0.1)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_refuses_non_finite_host(images, bad):
    host = images((8, 8), 2)
    host[3, 3] = bad
    with pytest.raises(ValueError, match="the host has non-finite values: replace NaN"):
        prepare_host(host, 0.1)


def test_refuses_other_shapes(images):
    host = images((8, 8), 2)
    with pytest.raises(ValueError, match=r"plaintext has shape \(8, 9\) and the host \(8, 8\).*must be equal; resize"):
        hide(images((8, 9), 1), host, 0.1, 0.5)
    with pytest.raises(ValueError, match=r"shape \(3, 8, 8\) and the host \(2, 8, 8\): channels and leading axes must"):
        hide(images((8, 8), 1, lead=(3,)), images((8, 8), 2, lead=(2,)), 0.1, 0.5)
    with pytest.raises(ValueError, match=r"prepared for 2 spatial axes"):
        hide(images((8, 8, 8), 1), prepare_host(images((8, 8, 8), 2), 0.1, 2), 0.1, 0.5, spatial_dims=3)
    with pytest.raises(ValueError, match=r"the plaintext has shape \(8,\): expected \(\.\.\., H, W\)"):
        hide(torch.rand(8), host, 0.1, 0.5)
    with pytest.raises(ValueError, match=r"shape \(0, 8, 8\): expected \(\.\.\., D, H, W\)"):
        hide(torch.rand(0, 8, 8), host, 0.1, 0.5, spatial_dims=3)
    with pytest.raises(ValueError, match="spatial_dims must be 2 or 3, got 1"):
        hide(images((8, 8), 1), host, 0.1, 0.5, spatial_dims=1)


def test_refuses_another_band(images):
    prepared = prepare_host(images((10, 20), 2), 0.1)
    with pytest.raises(
        ValueError, match=r"prepared for alpha 0\.1 \(half-widths \(1, 2\)\), got alpha 0\.3 \(half-widths \(3"
    ):
        hide(images((10, 20), 1), prepared, 0.3, 0.5)


def test_refuses_other_dtypes(images):
    host = images((8, 8), 2)
    with pytest.raises(ValueError, match=r"plaintext has dtype torch\.uint8.*ScaleIntensityRange"):
        hide(torch.zeros(8, 8, dtype=torch.uint8), host, 0.1, 0.5)
    with pytest.raises(ValueError, match=r"plaintext has dtype torch\.float16: cast it to float32 or float64"):
        hide(host.half(), host, 0.1, 0.5)
    with pytest.raises(ValueError, match=r"host has dtype torch\.int16.*ScaleIntensityRange"):
        hide(host, torch.zeros(8, 8, dtype=torch.int16), 0.1, 0.5)
    with pytest.raises(ValueError, match=r"host has dtype torch\.complex64"):
        prepare_host(torch.fft.fft2(host), 0.1)
