"""A sheet of pictures each few epochs: hosts, synthetic images, and what the generator makes of them."""

from __future__ import annotations

from pathlib import Path

import torch
from ignite.engine import Engine, Events
from torch import Tensor, nn

from fesf.scripts.data.files import make_private_folder, write_atomic
from fesf.scripts.data.pictures import sheet


class PictureSheet:
    """Handler that writes ``epoch_0010.png`` (0600): rows of hosts, synthetic images and enhanced images.

    It stays in the hospital: the images were made from patients'.

    Args:
        folder: where to write.
        network: the generator.
        synthetic: images (N, 1, *spatial); the first few are shown.
        hosts: images (M, 1, *spatial); the first few are shown.
        interval: epochs between two sheets, at least 1.
        count: images of a row.
    """

    def __init__(
        self,
        folder: str | Path,
        network: nn.Module,
        synthetic: Tensor,
        hosts: Tensor,
        interval: int = 5,
        count: int = 8,
    ) -> None:
        if interval < 1:
            raise ValueError(f"{interval=} must be at least 1: give the epochs between two sheets.")
        self.folder = Path(folder)
        self.network = network
        self.interval = interval
        count = min(count, len(synthetic), len(hosts))
        self.synthetic, self.hosts = synthetic[:count], hosts[:count]

    def attach(self, engine: Engine) -> None:
        """Watch a trainer."""
        engine.add_event_handler(Events.EPOCH_COMPLETED(every=self.interval), self)

    def __call__(self, engine: Engine) -> None:
        device = next(self.network.parameters()).device
        with torch.no_grad():
            enhanced = self.network(self.synthetic.to(device)).cpu()
        rows = [list(images[:, 0].double().numpy()) for images in (self.hosts, self.synthetic, enhanced)]
        make_private_folder(self.folder)
        write_atomic(self.folder / f"epoch_{engine.state.epoch:04d}.png", sheet(rows))
