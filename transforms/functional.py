"""The Image Hidden Module as pure functions (arXiv 2403.16473, section on the IHM, equations 1 to 3).

With F the DFT over the spatial axes, A = abs F and P = arg F, a plaintext is hidden in a host by mixing amplitudes in
the low band M and keeping the host's phase everywhere::

    A_sy = M * ((1 - beta) * A_ho + beta * A_pl) + (1 - M) * A_ho
    x_sy = Re F^-1(A_sy * exp(j * P_ho))

What ships computes the host's spectrum once, in float64, and visits only the low band of each plaintext
(:mod:`fesf.transforms.routes`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from fesf.transforms.checks import check_alpha, check_beta, check_float, check_spatial
from fesf.transforms.routes import PHASE_THRESHOLD, FourierBand, MatrixBand, choose_route

PIECE_PIXELS = 2**20
"""Pixels of a batch that go through the CPU together (our choice: 4 MiB in float32)."""


def low_frequency_mask(shape: Sequence[int], alpha: float, device: torch.device | str | None = None) -> Tensor:
    """Return the mask M of the low band (the paper's M; its half-width rule is our choice).

    M(u) = 1 where ``|u_d| <= floor(alpha * N_d)`` on every axis d, with u_d the signed integer frequency. FDA and
    FedDG-ELCFS take the half-width ``floor(min(H, W) * L)`` on both axes instead: for square images their L is this
    alpha, for others this band keeps the image's proportions.

    Args:
        shape: spatial sizes, for example ``(H, W)`` or ``(D, H, W)``.
        alpha: band half-width as a share of each axis, in [0, 0.5]; 0 keeps DC alone, 0.5 is the whole spectrum.
        device: where the mask is made; None for the default device.

    Returns:
        Boolean tensor of ``shape`` in FFT order (DC first, not shifted), symmetric about DC.

    Raises:
        ValueError: if alpha is outside [0, 0.5] or NaN, or a size is below 1.
    """
    mask = torch.ones((), dtype=torch.bool, device=device)
    for size, half in zip(shape, half_widths(shape, alpha), strict=True):
        frequency = torch.fft.fftfreq(size, d=1.0 / size, dtype=torch.float64, device=device)
        mask = mask[..., None] & (frequency.abs().round() <= half)
    return mask


def half_widths(shape: Sequence[int], alpha: float) -> tuple[int, ...]:
    """Return ``floor(alpha * N_d)`` for every axis; two alphas with the same half-widths are the same band.

    Raises:
        ValueError: if alpha is outside [0, 0.5] or NaN, or a size is below 1.
    """
    alpha = check_alpha(alpha)
    if not shape or min(shape) < 1:
        raise ValueError(f"shape must hold one size of at least 1 an axis, got {tuple(shape)}.")
    return tuple(math.floor(alpha * size) for size in shape)


@dataclass(frozen=True)
class PreparedHost:
    """A host ready for any number of calls of :func:`hide`; make it with :func:`prepare_host`.

    Attributes:
        image: the host, ``(..., *spatial)``.
        alpha: the share that was asked for; :func:`hide` accepts every alpha of the same band.
        band: half-widths, host amplitude and unit phase in the band, and the tables of the chosen route.
        spatial_dims: 2 or 3.
    """

    image: Tensor
    alpha: float
    band: FourierBand | MatrixBand
    spatial_dims: int

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> PreparedHost:
        """Return this host with its tables on ``device`` and in ``dtype`` (float32 or float64)."""
        image = self.image.to(device=device, dtype=dtype)
        return replace(self, image=image, band=self.band.to(image.device, image.dtype))


def prepare_host(
    host: Tensor, alpha: float, spatial_dims: int = 2, route: type[FourierBand] | type[MatrixBand] | None = None
) -> PreparedHost:
    """Compute once what :func:`hide` needs of a host: its low band and the tables of the route.

    The phase is taken in float64 whatever the dtype of ``host``. Where the amplitude is at most 1e-12 of the
    spectrum's maximum (zero to rounding) the phase is 0, so that the result is determined (our choice).

    Args:
        host: ``(..., *spatial)``, float32 or float64, intensities in [0, 1]; leading axes broadcast with the
            plaintext's.
        alpha: band half-width as a share of each axis, in [0, 0.5].
        spatial_dims: number of trailing spatial axes, 2 or 3.
        route: how the band is visited; None for the fixed rule of :func:`~fesf.transforms.routes.choose_route`.

    Returns:
        The prepared host, on the device and in the dtype of ``host``. Differentiable with respect to ``host``.

    Raises:
        ValueError: if alpha is outside its range or NaN, if ``host`` is not a float tensor with enough axes, holds
            non-finite values, or is constant (it has no usable phase).
    """
    host = host.as_subclass(Tensor)
    shape = check_spatial("host", host, spatial_dims)
    check_float("host", host)
    half = half_widths(shape, alpha)
    axes = tuple(range(-spatial_dims, 0))
    spectrum = torch.fft.rfftn(host.double(), dim=axes)
    amplitude = spectrum.abs()
    peak = amplitude.detach().amax(dim=axes, keepdim=True)
    if not bool(torch.isfinite(peak).all()):
        raise ValueError("the host has non-finite values: replace NaN and infinity, for example with torch.nan_to_num.")
    usable = amplitude.detach() > PHASE_THRESHOLD * peak
    constant = ~usable.flatten(-spatial_dims)[..., 1:].any(dim=-1)  # nothing but DC
    if bool(constant.any()):
        value = float(host.detach().flatten(-spatial_dims)[constant][0, 0])
        raise ValueError(
            f"the host is constant (value {value:g} in an image of {shape}) and has no usable phase: "
            "choose a host with structure in every image and channel."
        )
    safe = torch.where(usable, amplitude, torch.ones_like(amplitude))
    unit = torch.where(usable, spectrum / safe, torch.ones_like(spectrum))
    band = (route or choose_route(shape, half)).make(host.double(), amplitude, unit, half).to(host.device, host.dtype)
    return PreparedHost(image=host, alpha=float(alpha), band=band, spatial_dims=spatial_dims)


def hide(
    plain: Tensor,
    host: Tensor | PreparedHost,
    alpha: float,
    beta: float,
    spatial_dims: int = 2,
    clip: bool = False,
) -> Tensor:
    """Hide plaintexts in a host: mix amplitudes in the low band, keep the host's phase (IHM, equations 1 to 3).

    The plaintext enters through its amplitude on the band alone: a circular shift, a 180-degree rotation or a scrambled
    phase of it give the same result. This is not encryption: who holds host, alpha and beta recovers that amplitude.
    FedDG-ELCFS's ratio weights the other image: its lambda is ``1 - beta``.

    Args:
        plain: ``(..., *spatial)``, float32 or float64, intensities meant to be in [0, 1] (not checked here).
        host: tensor of the same spatial shape whose leading axes broadcast, or the result of :func:`prepare_host`.
        alpha: band half-width as a share of each axis, in [0, 0.5]; 0 is DC alone, 0.5 the whole spectrum.
        beta: the plaintext's share of the amplitude, in [0, 1]; 0 returns the host.
        spatial_dims: number of trailing spatial axes, 2 or 3.
        clip: clamp the result to [0, 1]. Never rescales: no step depends on the plaintext's own extrema.

    Returns:
        The synthetic image, ``(broadcast leading axes, *spatial)``, in the dtype and on the device of ``plain``.
        Differentiable with respect to ``plain`` and a host given as a tensor.

    Raises:
        ValueError: if alpha or beta is outside its range or NaN, if shapes differ or do not broadcast, if ``plain`` is
            not float32 or float64, or if a prepared host has another band or other spatial axes.
    """
    plain = plain.as_subclass(Tensor)  # a MetaTensor's history must not reach the result
    shape = check_spatial("plaintext", plain, spatial_dims)
    check_float("plaintext", plain)
    beta = check_beta(beta)
    if isinstance(host, Tensor):
        check_float("host", host)
        exact = host.to(torch.promote_types(host.dtype, plain.dtype))  # the phase keeps the finer dtype
        host = prepare_host(exact, alpha, spatial_dims)
    if host.image.dtype != plain.dtype or host.image.device != plain.device:
        host = host.to(plain.device, plain.dtype)
    whole = _check_match(plain, shape, host, alpha, spatial_dims)
    if whole != plain.shape:
        plain = plain.expand(whole)
    pieces = [host.band.embed(piece, host.image, beta) for piece in _pieces(plain, host.image)]
    out = pieces[0] if len(pieces) == 1 else torch.cat(pieces)
    return out.clamp_(0.0, 1.0) if clip else out


def enhance(synthetic: Tensor, generator: Callable[[Tensor], Tensor]) -> Tensor:
    """Enhance synthetic images: ``x_su = G(x_sy)``, clamped to [0, 1] so that it can serve as a host (our choice).

    Args:
        synthetic: ``(B, C, *spatial)``, intensities in [0, 1].
        generator: the IQEM's generator G.

    Returns:
        The enhanced images, same shape.
    """
    return generator(synthetic).clamp(0.0, 1.0)


def _pieces(plain: Tensor, host: Tensor) -> tuple[Tensor, ...]:
    """Split a large batch on the CPU, where temporaries beyond the cache cost more than a few more calls."""
    shared = host.ndim < plain.ndim or host.shape[0] == 1  # the same host along the first axis
    if plain.device.type != "cpu" or not shared or plain.numel() <= PIECE_PIXELS:
        return (plain,)
    return plain.split(max(1, PIECE_PIXELS // plain[0].numel()))


def _check_match(
    plain: Tensor, shape: tuple[int, ...], host: PreparedHost, alpha: float, spatial_dims: int
) -> tuple[int, ...]:
    """Return the broadcast shape; raise ``ValueError`` unless ``plain``, alpha and the axes fit the prepared host."""
    host_shape = tuple(host.image.shape)
    if host.spatial_dims != spatial_dims or host_shape[-spatial_dims:] != shape:
        raise ValueError(
            f"the plaintext has shape {tuple(plain.shape)} and the host {host_shape}, prepared for {host.spatial_dims} "
            f"spatial axes: the last {spatial_dims} sizes must be equal; resize or pad one to the other."
        )
    try:
        whole = np.broadcast_shapes(plain.shape, host_shape)  # torch's takes 40 us
    except ValueError:
        raise ValueError(
            f"the plaintext has shape {tuple(plain.shape)} and the host {host_shape}: channels and leading axes must "
            "be equal or broadcast; bring both to the same number of channels."
        ) from None
    half = half_widths(shape, alpha)
    if half != host.band.half:
        raise ValueError(
            f"the host was prepared for alpha {host.alpha} (half-widths {host.band.half}), got alpha {alpha} "
            f"(half-widths {half}): prepare the host for this alpha."
        )
    return whole
