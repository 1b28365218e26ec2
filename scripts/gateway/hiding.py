"""One original to one surrogate: the pipeline of hide.json on a single image, with the same checks."""

from __future__ import annotations

import numpy as np
import torch

from fesf.networks.surrogate import SurrogateNet
from fesf.scripts.data.cohort_table import CohortError
from fesf.scripts.data.hosts import HostPool, refuse_near_duplicate
from fesf.scripts.data.phase import PhaseCheck, whiten
from fesf.scripts.data.recipe import Recipe
from fesf.scripts.data.store import encode_image
from fesf.scripts.engines.surrogate_writer import StagesInferer, check_stages
from fesf.scripts.gateway.reading import Reader


class HideError(Exception):
    """An original cannot be hidden.

    Attributes:
        reason: a code of :mod:`fesf.scripts.gateway.reading`, "near-host" or "phase".
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"An image cannot be hidden: {reason}.")
        self.reason = reason


class Hider:
    """Hides images one by one, as their release was hidden.

    Args:
        recipe, pool, network: of :func:`fesf.scripts.gateway.hospital.load_pipeline`.
        reader: decodes originals.
    """

    def __init__(self, recipe: Recipe, pool: HostPool, network: SurrogateNet, reader: Reader) -> None:
        self.recipe, self.pool, self.network, self.reader = recipe, pool, network, reader
        self._host = whiten(pool.host, pool.host.ndim - 1)
        self._infer = StagesInferer()

    @torch.inference_mode()
    def hide(self, content: bytes, identity: str) -> tuple[bytes, PhaseCheck]:
        """Bytes of the surrogate's DICOM file, and its phase check, which passed.

        Args:
            content: bytes of the original's file.
            identity: keyed id of the surrogate.

        Raises:
            HideError: when it cannot be hidden.
        """
        pixels = self.reader.read_pixels(content, self.recipe)
        if isinstance(pixels, str):
            raise HideError(pixels)
        plain = torch.from_numpy(np.ascontiguousarray(pixels))
        try:
            refuse_near_duplicate(self.pool.nearest(plain), 0)
        except CohortError:
            raise HideError("near-host") from None
        made = self._infer(plain[None], self.network)
        stages = {name: images[0] for name, images in made.items()}
        check = check_stages(stages, plain, self._host, 2**self.recipe.bit_depth - 1)
        if not check.passed:
            raise HideError("phase")
        surrogate = stages[next(reversed(stages))].numpy()
        return encode_image(surrogate, self.recipe.encoding, None, identity), check
