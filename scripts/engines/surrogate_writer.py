"""The handler that turns the hide engine's output into the files of a store."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.inferers import Inferer
from monai.utils import CommonKeys
from numpy.typing import NDArray
from torch import Tensor

from fesf.networks.surrogate import SurrogateNet
from fesf.scripts.data.cohort import CohortError, CohortRow
from fesf.scripts.data.hosts import HostPool, refuse_near_duplicate
from fesf.scripts.data.phase import PhaseCheck, Whitened, check_phase, whiten
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
        """Work after each iteration of an engine whose batches come from ``CohortDataset``."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Check, encode and hand over the images of this iteration.

        All are checked before the first is encoded: each step's code and tables are then fetched once a batch, which
        takes a quarter off the cost of an image. What is before a row that stops the run is handed over all the same.

        Raises:
            CohortError: when a row cannot be used and the recipe says stop, its image nearly equals a host, or its
                surrogate fails the phase check.
        """
        batch: Any = engine.state.batch
        output: Any = engine.state.output
        made = {name: images.float().cpu() for name, images in output[CommonKeys.PRED].items()}
        checked: list[tuple[CohortRow, NDArray[np.float32], list[float], PhaseCheck]] = []
        try:
            nearest = self.pool.nearest_each(batch[CommonKeys.IMAGE])
            for place, index in enumerate(batch["index"].tolist()):
                row = self.release.pending[index]
                if self._is_usable(row, nearest[place], batch["error"][place]):
                    stages = {name: images[place] for name, images in made.items()}
                    check = self._check(batch[CommonKeys.IMAGE][place], stages)
                    pixels = stages[next(reversed(stages))].numpy()
                    checked.append((row, pixels, batch["spacing"][place].tolist(), check))
        finally:
            for row, pixels, spacing, check in checked:
                self._hand_over(row, pixels, spacing, check)

    def _is_usable(self, row: CohortRow, nearest: float, error: str) -> bool:
        if error:
            self.release.exclude(row, error)
            return False
        try:
            refuse_near_duplicate(nearest, row.row)
        except CohortError as near:
            if not self.release.dry_run:
                raise
            self.release.exclude(row, str(near))
            return False
        return True

    def _check(self, plain: Tensor, stages: dict[str, Tensor]) -> PhaseCheck:
        return check_stages(stages, plain, self._host, self.levels)

    def _hand_over(self, row: CohortRow, pixels: NDArray[np.float32], spacing: list[float], check: PhaseCheck) -> None:
        clipped = float(np.count_nonzero(pixels == 0) + np.count_nonzero(pixels == 1)) / pixels.size
        content = encode_image(pixels, self.release.recipe.encoding, spacing, self.release.id_of(row))
        self.release.add(row, content, clipped, check)


def check_stages(stages: dict[str, Tensor], plain: Tensor, host: Whitened, levels: int) -> PhaseCheck:
    """The phase check of one image, on the grey levels that its file will hold.

    Args:
        stages: of :class:`StagesInferer`, without their batch axis; "shifted" is taken out.
        plain: the plaintext (1, *spatial).
        host: the host, as :func:`fesf.scripts.data.phase.whiten` leaves it.
        levels: the largest grey level.
    """
    shifted = stages.pop(SHIFTED, None)
    surrogate = stages[next(reversed(stages))]
    change = 0.0 if shifted is None else float((surrogate - shifted).abs().max())
    return check_phase(as_written(surrogate.numpy(), levels), stages.get("enhanced", host), plain, change)


def as_written(pixels: NDArray[np.float32], levels: int) -> Tensor:
    """The grey levels that a file holds, in [0, 1]; compared with the encoder in the tests."""
    written = pixels * np.float32(levels)
    return torch.from_numpy(np.divide(np.rint(written, out=written), levels, out=written))
