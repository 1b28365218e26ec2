"""How the low band is visited: one fixed rule on shape and band chooses a route, and all routes agree to rounding.

``FourierBand`` transforms axis by axis and drops what lies outside the band as soon as it can: the next axis then has
fewer lines to transform. On the way back it puts the host's own values in their place, so that the host costs no pass
of its own. ``MatrixBand`` multiplies with thin cosine and sine tables, in real arithmetic only (it traces without
complex numbers), which wins where the band has few frequencies.

Both have the same three methods: ``make`` from a host and its half spectrum in float64, ``embed`` for a plaintext, and
``to`` another device or dtype.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

PHASE_THRESHOLD = 1e-12
"""Bins whose amplitude is at most this share of the spectrum's maximum have phase 0 (our choice)."""

MATRIX_HALF_WIDTH = 11
"""Widest band, as a half-width on both axes, that takes the matrix route; measured once, see docs/bench.md."""


def choose_route(shape: Sequence[int], half: Sequence[int]) -> type[FourierBand] | type[MatrixBand]:
    """Return the route for spatial sizes ``shape`` and half-widths ``half``: the one place where it is chosen.

    A fixed rule, never a timing: float32 results of two routes differ by some 1e-7, and files must not.
    """
    return MatrixBand if len(shape) == 2 and max(half) <= MATRIX_HALF_WIDTH else FourierBand


@dataclass(frozen=True)
class FourierBand:
    """Pruned FFT route, 2D and 3D.

    The band's axes lie as the transforms leave them: last spatial axis (a half spectrum of k columns) first, then the
    others from the last to the first, so ``(..., k, rows)`` or ``(..., k, rows, planes)``.

    Attributes:
        shape: spatial sizes.
        half: half-widths of the band.
        amplitude: host amplitude in the band.
        unit: ``exp(j * P_ho)`` in the band, complex.
        rest: for each axis, last spatial axis first, the host's values outside the band after that axis's transform.
    """

    shape: tuple[int, ...]
    half: tuple[int, ...]
    amplitude: Tensor
    unit: Tensor
    rest: tuple[Tensor, ...]

    @classmethod
    def make(cls, host: Tensor, amplitude: Tensor, unit: Tensor, half: tuple[int, ...]) -> FourierBand:
        """Build the tables.

        Args:
            host: ``(..., *spatial)``, float64.
            amplitude: its half spectrum's amplitude, ``(..., *spatial[:-1], spatial[-1] // 2 + 1)``.
            unit: ``exp(j * P_ho)`` on the same half spectrum, complex128.
            half: half-widths of the band.
        """
        dims, columns = len(half), half[-1] + 1
        values = torch.fft.rfft(host)
        rest = [values[..., columns:]]
        values, amplitude, unit = values[..., :columns], amplitude[..., :columns], unit[..., :columns]
        for axis in range(2, dims + 1):
            width = half[-axis]
            values = torch.fft.fft(values.movedim(-axis, -1))
            rest.append(values[..., width + 1 : values.shape[-1] - width])
            values = _crop(values, width)
            amplitude, unit = (_crop(part.movedim(-axis, -1), width) for part in (amplitude, unit))
        tables = (amplitude.contiguous(), unit.contiguous(), tuple(part.contiguous() for part in rest))
        return cls(tuple(host.shape[-dims:]), half, *tables)

    def embed(self, plain: Tensor, host: Tensor, beta: float) -> Tensor:
        """Return the synthetic image of ``plain`` as a new tensor, not clipped.

        Args:
            plain: ``(..., *spatial)``; the host's leading axes broadcast to its.
            host: the host in the dtype of ``plain`` (here its values are in the tables already).
            beta: the plaintext's share of the amplitude.
        """
        dims = len(self.shape)
        band = torch.fft.rfft(plain)[..., : self.half[-1] + 1]
        for axis in range(2, dims + 1):
            band = _crop(torch.fft.fft(band.movedim(-axis, -1)), self.half[-axis])
        mixed = _amplitude(band).lerp_(self.amplitude, 1.0 - beta)
        band = mixed * self.unit if mixed.requires_grad else torch.mul(mixed, self.unit, out=band)
        for axis in range(dims, 1, -1):
            band = torch.fft.ifft(_fill(band, self.rest[axis - 1], self.half[-axis] + 1)).movedim(-1, -axis)
        return torch.fft.irfft(_fill(band, self.rest[0], band.shape[-1]), n=self.shape[-1])

    def to(self, device: torch.device, dtype: torch.dtype) -> FourierBand:
        """Return the band on ``device`` for images of ``dtype``."""
        values = dtype.to_complex()
        rest = tuple(part.to(device, values) for part in self.rest)
        return FourierBand(self.shape, self.half, self.amplitude.to(device, dtype), self.unit.to(device, values), rest)


@dataclass(frozen=True)
class MatrixBand:
    """Matrix route, 2D: ``analyse_rows @ image`` then ``@ analyse_columns``, and back the same way.

    With p = half[0] + 1 rows of frequencies u1 >= 0 (the others follow by symmetry) and b = half[1] + 1 columns, the
    band is ``(..., p, 2b)``: frequencies (u1, u2) in the first b columns, (u1, -u2) in the last b.

    Attributes:
        shape: spatial sizes (H, W).
        half: half-widths of the band.
        amplitude: host amplitude, ``(..., p, 2b)``.
        weight: real and imaginary part of ``exp(j * P_ho)`` times the bin's share of the inverse, ``(..., p, 2, 2b)``.
        analyse_rows: cosine and minus sine of each u1 in alternate rows, ``(2p, H)``.
        analyse_columns: ``(2W, 4b)``, both parts of a row to real and imaginary part of both signs of u2.
        synthesise_rows: transpose of ``analyse_rows``.
        synthesise_columns: transpose of ``analyse_columns``.
    """

    shape: tuple[int, ...]
    half: tuple[int, ...]
    amplitude: Tensor
    weight: Tensor
    analyse_rows: Tensor
    analyse_columns: Tensor
    synthesise_rows: Tensor
    synthesise_columns: Tensor

    @classmethod
    def make(cls, host: Tensor, amplitude: Tensor, unit: Tensor, half: tuple[int, ...]) -> MatrixBand:
        """Build the tables; see :meth:`FourierBand.make`."""
        height, width = host.shape[-2:]
        u1 = torch.arange(half[0] + 1, device=host.device)
        u2 = torch.arange(half[1] + 1, device=host.device)
        cos1, sin1 = _tables(u1, height)
        cos2, sin2 = (table.T for table in _tables(u2, width))
        rows = torch.stack((cos1, sin1), dim=1).flatten(0, 1)
        columns = torch.cat(
            (torch.cat((cos2, cos2, sin2, -sin2), dim=1), torch.cat((-sin2, sin2, cos2, cos2), dim=1)), dim=0
        )
        # F(u1, -u2) is the conjugate of F(-u1, u2), which the half spectrum holds in row H - u1.
        amplitude, unit = amplitude[..., : half[1] + 1], unit[..., : half[1] + 1]
        mirror = (height - u1) % height
        amplitude = torch.cat((amplitude[..., u1, :], amplitude[..., mirror, :]), dim=-1)
        unit = torch.cat((unit[..., u1, :], unit[..., mirror, :].conj()), dim=-1)
        # Each bin stands for itself and its mirror image, except that u1 = 0 and u1 = H/2 list both, and -u2 = u2 once.
        twice = 2 - ((u1 == 0) | (2 * u1 == height)).double()
        once = torch.cat((torch.ones_like(u2), (u2 > 0) & (2 * u2 < width)))
        unit = unit * (twice[:, None] * once / (height * width))
        weight = torch.stack((unit.real, unit.imag), dim=-2)
        tables = (rows, columns, rows.T.contiguous(), columns.T.contiguous())
        return cls((height, width), half, amplitude, weight, *tables)

    def embed(self, plain: Tensor, host: Tensor, beta: float) -> Tensor:
        """Return the synthetic image of ``plain``, not clipped; see :meth:`FourierBand.embed`."""
        p, width = self.half[0] + 1, self.shape[1]
        change = _amplitude_of_parts(self._analyse(plain)) - self.amplitude
        rows = (change[..., None, :] * (beta * self.weight)).flatten(-2) @ self.synthesise_columns
        return (self.synthesise_rows @ rows.reshape(*rows.shape[:-2], 2 * p, width)).add_(host)

    def rehost(self, host: Tensor) -> MatrixBand:
        """Return the band of other hosts of the same size, in real arithmetic and the dtype of ``host``.

        For what must trace without complex numbers; :func:`~fesf.transforms.functional.prepare_host` takes the phase
        in float64.

        Args:
            host: ``(..., H, W)`` in [0, 1], so that DC is the spectrum's maximum.
        """
        parts = self._analyse(host)
        amplitude = parts.square().sum(-2).sqrt()
        usable = (amplitude > PHASE_THRESHOLD * amplitude[..., :1, :1])[..., None, :]
        one = torch.stack((torch.ones_like(amplitude), torch.zeros_like(amplitude)), dim=-2)
        unit = torch.where(usable, parts / torch.where(usable, amplitude[..., None, :], 1.0), one)
        share = self.weight.square().sum(-2, keepdim=True).sqrt()
        return replace(self, amplitude=amplitude, weight=unit * share)

    def _analyse(self, image: Tensor) -> Tensor:
        """Real and imaginary part of the spectrum in the band, ``(..., p, 2, 2b)``."""
        rows = self.analyse_rows @ image
        parts = rows.reshape(*rows.shape[:-2], self.half[0] + 1, 2 * self.shape[1]) @ self.analyse_columns
        return parts.view(*parts.shape[:-1], 2, -1)

    def to(self, device: torch.device, dtype: torch.dtype) -> MatrixBand:
        """Return the band on ``device`` for images of ``dtype``."""
        tables = (self.amplitude, self.weight, self.analyse_rows, self.analyse_columns)
        back = (self.synthesise_rows, self.synthesise_columns)
        return MatrixBand(self.shape, self.half, *(table.to(device, dtype) for table in tables + back))


def _tables(frequencies: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return float64 tables cos and -sin of ``2 pi u n / N``, ``(frequencies, N)``; the angle is reduced exactly."""
    turns = (frequencies[:, None] * torch.arange(size, device=frequencies.device)) % size
    angle = turns.double() * (2.0 * math.pi / size)
    return angle.cos(), -angle.sin()


def _crop(values: Tensor, width: int) -> Tensor:
    """Keep the frequencies 0..width and -width..-1 of the last axis, in this order."""
    size = values.shape[-1]
    if 2 * width + 1 >= size:
        return values
    return torch.cat((values[..., : width + 1], values[..., size - width :]), dim=-1)


def _fill(band: Tensor, rest: Tensor, at: int) -> Tensor:
    """Put the host's ``rest`` into the last axis of ``band`` at position ``at``; the result is contiguous."""
    if rest.shape[-1] == 0:
        return band.contiguous()
    return torch.cat((band[..., :at], rest.expand(*band.shape[:-1], -1), band[..., at:]), dim=-1)


def _amplitude(band: Tensor) -> Tensor:
    """Return abs of a complex tensor that nobody else needs: it is overwritten unless autograd follows it.

    ``torch.abs`` guards against overflow, which images cannot reach, and is several times slower; but it knows a
    gradient at zero.
    """
    if band.requires_grad:
        return band.abs()
    squares = torch.view_as_real(band).square_()
    return torch.add(squares[..., 0], squares[..., 1]).sqrt_()


def _amplitude_of_parts(parts: Tensor) -> Tensor:
    """Return the amplitude of ``(..., 2, n)`` real and imaginary parts; like :func:`_amplitude` it may overwrite."""
    real, imag = parts.unbind(-2)
    if parts.requires_grad:
        return torch.complex(real, imag).abs()
    return torch.add(real.square_(), imag.square_()).sqrt_()
