"""The hospital's pipeline in real arithmetic, for TorchScript and ONNX."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from fesf.networks.surrogate import SurrogateNet
from fesf.transforms.functional import enhance, prepare_host
from fesf.transforms.routes import MatrixBand

__all__ = ["ExportableSurrogateNet"]


class ExportableSurrogateNet(nn.Module):
    """A :class:`SurrogateNet` that ``torch.jit.trace`` and ``torch.onnx.export`` take: no complex numbers, no checks.

    Both passes are thin products with cosine and sine tables whatever the band, and the second pass takes its phases
    in the image's dtype, so results differ from SurrogateNet's by rounding: below 1e-5 in float32, more where G leaves
    hardly any amplitude in the band (3e-4 after a strong blur). For runtimes outside PyTorch, never for the files of a
    store. The number of images may vary after tracing, their size may not.

    Args:
        net: the pipeline; its buffers, generator and mode (training or evaluation) are shared, its stage is fixed.

    Raises:
        ValueError: if the pipeline is not 2D.

    Shape:
        - Input: ``(B, C, H, W)``, float32, intensities in [0, 1] (not checked)
        - Output: the same shape, in [0, 1]
    """

    def __init__(self, net: SurrogateNet) -> None:
        super().__init__()
        if net.host.ndim != 3:
            raise ValueError(f"the host has shape {tuple(net.host.shape)}: only 2D pipelines, (C, H, W), are exported.")
        self.stage = net.stage
        self.alpha, self.second_alpha = net.alpha, net.second_alpha
        self.beta, self.second_beta = net.beta, net.second_beta
        self.generator = net.generator
        self.host: Tensor
        self.register_buffer("host", net.host)
        self._prepare()
        self.train(net.training)

    def _prepare(self) -> None:
        """Compute the tables for the buffer's present values, device and dtype."""
        self._first = prepare_host(self.host, self.alpha, 2, route=MatrixBand).band
        self._second = prepare_host(self.host, self.second_alpha, 2, route=MatrixBand).band

    def forward(self, plain: Tensor) -> Tensor:
        """Return the stage's images of a batch."""
        made = self._first.embed(plain, self.host, self.beta).clamp(0.0, 1.0)
        if self.stage != "synthetic" and self.generator is not None:
            made = enhance(made, self.generator)
        if self.stage == "surrogate" and isinstance(self._second, MatrixBand):
            made = self._second.rehost(made).embed(plain, made, self.second_beta).clamp(0.0, 1.0)
        return made

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> ExportableSurrogateNet:
        super()._apply(fn, recurse)
        self._prepare()  # the buffer moved or changed dtype
        return self

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args)
        self._prepare()  # the buffer took other values
