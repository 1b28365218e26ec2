"""The hospital's pipeline from plaintext to surrogate as one module."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fesf.transforms.array import Host, read_host
from fesf.transforms.checks import check_alpha, check_beta, check_float, check_same_shape, check_unit_interval
from fesf.transforms.functional import PreparedHost, enhance, hide, prepare_host

__all__ = ["STAGES", "SurrogateNet"]

STAGES = ("synthetic", "enhanced", "surrogate")
"""What the pipeline makes of a plaintext, in order; the last two need a generator."""


def check_stage(stage: str | None, has_generator: bool) -> str:
    """Return the stage: None becomes "surrogate" where there is a generator, else "synthetic".

    Raises:
        ValueError: if it is none of :data:`STAGES`, or needs a generator where there is none.
    """
    if stage is None:
        return "surrogate" if has_generator else "synthetic"
    if stage not in STAGES:
        raise ValueError(f"stage={stage!r}: choose {', '.join(STAGES)}.")
    if stage != "synthetic" and not has_generator:
        raise ValueError(f"stage={stage!r} needs a generator: train one with enhance.json, or choose 'synthetic'.")
    return stage


class SurrogateNet(nn.Module):
    """Turn plaintexts into surrogates: ``x_su' = IHM(x_pl, host=G(IHM(x_pl, x_ho)))`` (arXiv 2403.16473).

    Without a generator it is the Image Hidden Module alone. The same :func:`fesf.transforms.functional.hide` serves
    this module and the transforms. Images are hidden one by one, so that a result does not depend on its batch.

    Args:
        host: ``(C, *spatial)`` array or tensor, or a path; kept as the buffer ``host``.
        alpha: half-width of the band as a share of each axis, in [0, 0.5].
        beta: the plaintext's share of the amplitude, in [0, 1].
        generator: the IQEM's generator G, ``(B, C, *spatial)`` to the same shape; None for no second pass. Its output
            is clamped to [0, 1] before it serves as a host (our choice).
        second_alpha: alpha of the second pass; None for the same as ``alpha`` (our choice).
        second_beta: beta of the second pass; None for the same as ``beta`` (our choice).
        stage: what a call returns: "synthetic", "enhanced" or "surrogate"; None for "surrogate" with a generator and
            "synthetic" without.

    Raises:
        ValueError: if alpha or beta is outside its range or NaN, the host is unusable, or a second pass or a later
            stage is asked for without a generator.

    Shape:
        - Input: ``(B, C, *spatial)``, float32 or float64, intensities in [0, 1]
        - Output: the same shape and dtype, a plain tensor clipped to [0, 1]

    Examples:
        >>> host = torch.linspace(0, 1, 64).reshape(1, 8, 8)
        >>> SurrogateNet(host, alpha=0.25, beta=0.5)(torch.rand(3, 1, 8, 8)).shape
        torch.Size([3, 1, 8, 8])
    """

    host: Tensor

    def __init__(
        self,
        host: Host,
        alpha: float,
        beta: float,
        generator: nn.Module | None = None,
        second_alpha: float | None = None,
        second_beta: float | None = None,
        stage: str | None = None,
    ) -> None:
        super().__init__()
        self.alpha = check_alpha(alpha)
        self.beta = check_beta(beta)
        if generator is None and (second_alpha is not None or second_beta is not None):
            raise ValueError(
                f"second_alpha={second_alpha!r} and second_beta={second_beta!r} describe a second pass, which needs a "
                "generator: pass one, or leave both None."
            )
        self.second_alpha = self.alpha if second_alpha is None else check_alpha(second_alpha)
        self.second_beta = self.beta if second_beta is None else check_beta(second_beta)
        self.stage = check_stage(stage, generator is not None)
        self.generator = generator
        self.register_buffer("host", read_host(host))
        self._prepared: PreparedHost | None = None
        self.prepared()

    def prepared(self) -> PreparedHost:
        """Return the prepared host, computed once for the buffer's present values, device and dtype."""
        if self._prepared is None:
            self._prepared = prepare_host(self.host, self.alpha, self.host.ndim - 1)
        return self._prepared

    def forward(self, plain: Tensor) -> Tensor:
        """Return what :attr:`stage` names for a batch ``(B, C, *spatial)``.

        Raises:
            ValueError: if ``plain`` is not a batch of float images in [0, 1] of the host's shape.
        """
        return self.stages(plain)[self.stage]

    def stages(self, plain: Tensor) -> dict[str, Tensor]:
        """Return every stage of a batch ``(B, C, *spatial)`` up to :attr:`stage`, in order.

        Raises:
            ValueError: as :meth:`forward`.
        """
        plain = plain.as_subclass(Tensor)  # a MetaTensor's history must not reach the result
        check_float("plaintext", plain)
        if plain.ndim != self.host.ndim + 1:
            raise ValueError(
                f"the plaintext batch has shape {tuple(plain.shape)}: expected (B, C, *spatial) with images of shape "
                f"{tuple(self.host.shape)}; add the batch axis with image[None]."
            )
        check_same_shape(plain.shape[1:], self.host.shape)
        check_unit_interval("plaintext", plain)
        images = [self._stages(image) for image in plain]
        return {name: torch.stack([made[name] for made in images]) for name in images[0]}

    def _stages(self, image: Tensor) -> dict[str, Tensor]:
        prepared = self.prepared()
        dims = prepared.spatial_dims
        made = {"synthetic": hide(image, prepared, self.alpha, self.beta, dims, clip=True)}
        if self.stage != "synthetic" and self.generator is not None:
            made["enhanced"] = enhance(made["synthetic"][None], self.generator)[0]
        if self.stage == "surrogate":
            made["surrogate"] = hide(image, made["enhanced"], self.second_alpha, self.second_beta, dims, clip=True)
        return made

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> SurrogateNet:
        self._prepared = None  # the buffer moves or changes dtype
        super()._apply(fn, recurse)
        return self

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        self._prepared = None  # the buffer takes other values
        super()._load_from_state_dict(state_dict, prefix, *args)
