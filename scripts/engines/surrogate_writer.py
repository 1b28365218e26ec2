"""The handler that turns the hide engine's output into the files of a store."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.inferers import Inferer
from monai.utils import CommonKeys
from torch import Tensor

from fesf.networks.surrogate import SurrogateNet
from fesf.scripts.data.cohort import CohortError
from fesf.scripts.data.hosts import HostPool, refuse_near_duplicate
from fesf.scripts.data.phase import check_phase, whiten
from fesf.scripts.data.release import Release
from fesf.scripts.data.store import encode_image

SHIFTED = "shifted"


class StagesInferer(Inferer):
    """Run the hospital's pipeline and keep what the phase check wants: the stages, and a shifted plaintext's last."""

    def __call__(self, inputs: Tensor, network: Any, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Stages of a batch by name, in order, the last one to be written; another network's output as it is.

        Where a generator takes part, "shifted" holds what becomes of the plaintext shifted round by a third of each
        axis: the same image, unless something of the plaintext but its amplitude comes through.
        """
        if not isinstance(network, SurrogateNet):
            return {"synthetic": network(inputs)}
        made = network.stages(inputs)
        if "enhanced" in made:
            axes = tuple(range(2, inputs.ndim))
            made[SHIFTED] = network(inputs.roll(tuple(inputs.shape[axis] // 3 for axis in axes), axes))
        return made


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
        self._host = whiten(pool.host, pool.host.ndim - 1)

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
        stages = {name: images[0].float().cpu() for name, images in output[CommonKeys.PRED].items()}
        shifted = stages.pop(SHIFTED, None)
        surrogate = stages[next(reversed(stages))]
        change = 0.0 if shifted is None else float((surrogate - shifted).abs().max())
        clipped = float(((surrogate == 0) | (surrogate == 1)).float().mean())
        spacing, identity = batch["spacing"][0].tolist(), self.release.id_of(row)
        content = encode_image(surrogate.numpy(), self.release.recipe.encoding, spacing, identity)
        host = stages.get("enhanced", self._host)
        self.release.add(row, content, clipped, check_phase(self._as_written(surrogate), host, plain, change))

    def _as_written(self, surrogate: Tensor) -> Tensor:
        """The grey levels that the file holds; compared with the encoder in the tests."""
        return torch.from_numpy(np.rint(surrogate.numpy() * self.levels) / self.levels)
