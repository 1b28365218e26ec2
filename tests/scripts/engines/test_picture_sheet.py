"""The sheet of pictures: which epochs, which images, and who can read it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from PIL import Image
from torch import nn

from fesf.scripts.engines.picture_sheet import PictureSheet


class Half(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(0.5))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.factor * images


def stack(count: int, first: int, shape: tuple[int, ...] = (96, 100)) -> torch.Tensor:
    """Images of one grey level each: first / 255, and so on."""
    levels = torch.arange(first, first + count).double() / 255
    return levels.reshape(count, 1, *[1] * len(shape)).expand(count, 1, *shape)


def run(sheet: PictureSheet, epochs: int) -> None:
    trainer = Engine(lambda engine, batch: None)
    sheet.attach(trainer)
    trainer.run([0], max_epochs=epochs)


def test_every_few_epochs(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    run(PictureSheet(folder, Half(), stack(3, 100), stack(3, 200), interval=2), 5)
    assert sorted(path.name for path in folder.iterdir()) == ["epoch_0002.png", "epoch_0004.png"]
    assert folder.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in folder.iterdir())


@pytest.mark.parametrize("shape", [(96, 100), (96, 100, 3)])
def test_rows_are_hosts_synthetic_and_enhanced(tmp_path: Path, shape: tuple[int, ...]) -> None:
    network = Half()
    run(PictureSheet(tmp_path / "p", network, stack(9, 100, shape), stack(5, 200, shape), interval=1, count=4), 1)
    shown = np.asarray(Image.open(tmp_path / "p" / "epoch_0001.png"))
    assert shown.shape == (3 * 102, 4 * 98)
    middles = shown[50::102, 48::98]
    assert middles.tolist() == [[200, 201, 202, 203], [100, 101, 102, 103], [50, 50, 51, 52]]
    assert network.factor.grad is None


def test_as_many_as_there_are(tmp_path: Path) -> None:
    run(PictureSheet(tmp_path / "p", Half(), stack(2, 100), stack(5, 200), interval=1), 1)
    assert np.asarray(Image.open(tmp_path / "p" / "epoch_0001.png")).shape == (3 * 102, 2 * 98)


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="interval=0 must be at least 1: give the epochs between two sheets"):
        PictureSheet(tmp_path, Half(), stack(1, 0), stack(1, 0), interval=0)
    (tmp_path / "open").mkdir(mode=0o755)
    with pytest.raises(ValueError, match="can be read by other users"):
        run(PictureSheet(tmp_path / "open", Half(), stack(1, 0), stack(1, 0), interval=1), 1)
