"""A network as an ONNX file, run by onnxruntime, which shares no code with PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Run = Callable[[Tensor], list[NDArray[np.float32]]]


@pytest.fixture
def to_onnx(tmp_path: Path) -> Callable[[nn.Module, Tensor], Run]:
    """Export a module as it stands for batches of any length; returns a function from a batch to all outputs."""

    def export(module: nn.Module, example: Tensor) -> Run:
        batch = ({0: torch.export.Dim("batch")},)
        program = torch.onnx.export(module, (example,), dynamo=True, dynamic_shapes=batch, verbose=False)
        program.save(tmp_path / "module.onnx")
        session = onnxruntime.InferenceSession(tmp_path / "module.onnx", providers=["CPUExecutionProvider"])
        (name,) = (node.name for node in session.get_inputs())
        return lambda images: session.run(None, {name: images.numpy()})

    return export


@pytest.fixture
def randomise() -> Callable[[nn.Module, float], nn.Module]:
    """Give every parameter a seeded normal value of this deviation: a network that is far from where it starts."""

    def draw(module: nn.Module, deviation: float) -> nn.Module:
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.normal_(0.0, deviation, generator=generator)
        return module.eval()

    return draw
