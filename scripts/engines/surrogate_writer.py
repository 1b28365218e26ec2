"""The handler that turns the hide engine's output into the files of a store."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.utils import CommonKeys
from torch import Tensor

from fesf.scripts.data.cohort import CohortError
from fesf.scripts.data.hosts import HostPool, refuse_near_duplicate
from fesf.scripts.data.phase import check_phase
from fesf.scripts.data.release import Release
from fesf.scripts.data.store import encode_image


class SurrogateWriter:
    """Checks every surrogate and hands its file to the release, in the engine's order.

    Args:
        release: takes the files.
        pool: the hosts; a cohort image that nearly equals one stops the run.
    """

    def __init__(self, release: Release, pool: HostPool) -> None:
        self.release = release
        self.pool = pool
        self.levels = 2**release.recipe.bit_depth - 1

    def attach(self, engine: Engine) -> None:
        """Work after each iteration of an engine whose batches come from ``CohortDataset`` one by one."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Check, encode and hand over the image of this iteration.

        Raises:
            CohortError: when the row cannot be used and the recipe says stop, its image nearly equals a host, or its
                surrogate fails the phase check.
        """
        batch: Any = engine.state.batch
        output: Any = engine.state.output
        row = self.release.pending[int(batch["index"][0])]
        if batch["error"][0]:
            self.release.exclude(row, batch["error"][0])
            return
        plain = batch[CommonKeys.IMAGE][0]
        try:
            refuse_near_duplicate(self.pool, plain, row.row)
        except CohortError as error:
            if not self.release.dry_run:
                raise
            self.release.exclude(row, str(error))
            return
        surrogate = output[CommonKeys.PRED][0].float().cpu()
        clipped = float(((surrogate == 0) | (surrogate == 1)).float().mean())
        content = encode_image(surrogate.numpy(), self.release.recipe.encoding, batch["spacing"][0].tolist())
        self.release.add(row, content, clipped, check_phase(self._as_written(surrogate), self.pool.host, plain))

    def _as_written(self, surrogate: Tensor) -> Tensor:
        """The grey levels that the file holds; compared with the encoder in the tests."""
        return torch.from_numpy(np.rint(surrogate.numpy() * self.levels) / self.levels)
