"""Find text in images and cover it, before anything is hidden: a text in the pixels survives hiding.

Only where text is counts: a detector gives boxes, and nothing here reads, keeps or logs what is written.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform
from monai.utils import TransformBackends
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["MaskText", "MaskTextD", "MaskTextDict", "MaskTextd", "TextDetector", "cover", "widen"]

Boxes = NDArray[np.int64]
Detector = Callable[[NDArray[np.uint8]], Boxes]
"""From a grey picture (rows, columns) to boxes (n, 4) of text: left, top, right, bottom; right and bottom exclusive."""

MARGIN = 0.25
"""Share of a box's shorter side by which it grows on each side (our choice), at least :data:`LEAST_MARGIN` pixels."""
LEAST_MARGIN = 2
TALLEST = 0.2
"""A line of text is at most so high, as a share of the picture's shorter side (our choice); the rest is anatomy."""


def widen(boxes: Boxes, margin: float, shape: tuple[int, int]) -> Boxes:
    """Boxes (n, 4) grown on each side by a share of their shorter side, cut at a picture of ``shape``."""
    boxes = np.asarray(boxes, dtype=np.int64).reshape(-1, 4)
    sides = np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    grow = np.maximum(LEAST_MARGIN if margin > 0 else 0, np.ceil(margin * sides).astype(np.int64))[:, None]
    rows, columns = shape
    low, high = np.maximum(boxes[:, :2] - grow, 0), np.minimum(boxes[:, 2:] + grow, [columns, rows])
    return np.concatenate([low, high], axis=1)


def cover(image: Tensor, boxes: Boxes, value: float) -> Tensor:
    """A copy of an image (C, x, y) in which boxes (left, top, right, bottom), in x and y, hold one value."""
    covered = image.clone()
    for left, top, right, bottom in boxes.tolist():
        covered[:, left:right, top:bottom] = value
    return covered


class TextDetector:
    """The detector of RapidOCR, a PP-OCRv4 network in the wheel of ``rapidocr-onnxruntime``, on the CPU.

    Chosen because the network lies in the wheel (nothing is fetched) and finds text without reading it; tesseract
    finds only what it can read. The wheel's recogniser is never loaded. It needs the extra ``text``.

    Args:
        shortest: pictures are enlarged until their shorter side has so many pixels, which is what finds small letters,
        longest: unless the longer side would pass this; larger pictures are reduced to it.
        threshold: of the network's map, (0, 1).
        box_threshold: of a box's mean in that map, (0, 1).

    Raises:
        ValueError: when the extra is not installed.
    """

    def __init__(
        self, shortest: int = 960, longest: int = 2000, threshold: float = 0.3, box_threshold: float = 0.5
    ) -> None:
        if find_spec("rapidocr_onnxruntime") is None:
            raise ValueError("mask_text needs the package rapidocr-onnxruntime: pip install 'fesf[text]'.")
        self.shortest, self.longest = shortest, longest
        self.threshold, self.box_threshold = threshold, box_threshold
        self._loaded: tuple[int, Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_loaded": None}  # each process has a session of its own

    def __call__(self, picture: NDArray[np.uint8]) -> Boxes:
        """Boxes of the text in a grey picture (rows, columns), any orientation, upright boxes around it."""
        import cv2

        rows, columns = picture.shape
        scale = min(max(1.0, self.shortest / min(rows, columns)), self.longest / max(rows, columns))
        size = [max(32, round(length * scale / 32) * 32) for length in (columns, rows)]
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        found, _ = self._network()(cv2.cvtColor(cv2.resize(picture, size, interpolation=method), cv2.COLOR_GRAY2RGB))
        corners = np.asarray(found if found is not None else [], dtype=np.float64).reshape(-1, 4, 2)
        corners = corners * [columns / size[0], rows / size[1]]
        sides = np.linalg.norm(corners[:, [1, 3]] - corners[:, :1], axis=2).min(axis=1)
        corners = corners[sides <= TALLEST * min(rows, columns)]
        low, high = np.floor(corners.min(axis=1)), np.ceil(corners.max(axis=1)) + 1
        boxes = np.concatenate([np.maximum(low, 0), np.minimum(high, [columns, rows])], axis=1)
        return boxes.astype(np.int64)

    def _network(self) -> Any:
        if self._loaded is None or self._loaded[0] != os.getpid():
            import rapidocr_onnxruntime
            from rapidocr_onnxruntime.ch_ppocr_det import TextDetector as Network

            model = Path(rapidocr_onnxruntime.__file__).parent / "models" / "ch_PP-OCRv4_det_infer.onnx"
            settings = {"model_path": str(model), "use_cuda": False, "use_dml": False}
            settings |= {"intra_op_num_threads": 1, "inter_op_num_threads": 1}
            settings |= {"limit_side_len": 32, "limit_type": "min", "mean": [0.5] * 3, "std": [0.5] * 3}
            settings |= {"thresh": self.threshold, "box_thresh": self.box_threshold, "unclip_ratio": 1.6}
            self._loaded = (os.getpid(), Network(settings))
        return self._loaded[1]


class MaskText(Transform):
    """Cover the text that a detector finds: each box, widened, holds one value.

    It belongs before any resizing: small letters are found at full size only. What the detector misses stays, and
    what it takes for text is lost. A MetaTensor keeps its affine and loses all other metadata.

    Args:
        detector: such as a :class:`TextDetector`; see :data:`Detector`.
        margin: share of a box's shorter side by which it grows on each side, at least 2 pixels; 0 for none.
        value: what the boxes hold; 0 is black.

    Raises:
        ValueError: if the margin is negative, or either is no finite number.
    """

    backend = [TransformBackends.TORCH]  # noqa: RUF012  (MONAI declares it so)

    def __init__(self, detector: Detector, margin: float = MARGIN, value: float = 0.0) -> None:
        if not 0 <= margin < float("inf") or not np.isfinite(value):
            raise ValueError(f"margin={margin!r}, value={value!r}: give a margin of 0 or more and a finite value.")
        self.detector, self.margin, self.value = detector, margin, value

    def boxes(self, image: NdarrayOrTensor) -> Boxes:
        """Widened boxes (n, 4) of the text in one slice (1, x, y)."""
        return widen(self.detector(picture(image[0])), self.margin, (image.shape[2], image.shape[1]))

    def __call__(self, img: NdarrayOrTensor, looked_at: NdarrayOrTensor | None = None) -> Tensor:
        """Return the image without the text that was found.

        Args:
            img: (1, x, y), or a volume (1, x, y, z) that is looked through slice by slice; finite values, brighter is
                larger; x first, as :func:`~fesf.transforms.loading.load_image` gives it.
            looked_at: where to look for the text: the same image before parts of it were made black, which would cut
                letters; None for ``img`` itself.

        Returns:
            An image of the same shape and dtype.

        Raises:
            ValueError: for another shape, or two shapes.
        """
        looked_at = img if looked_at is None else looked_at
        if img.ndim not in (3, 4) or img.shape[0] != 1 or looked_at.shape != img.shape:
            raise ValueError(f"the image has shape {tuple(img.shape)}: expected (1, x, y) or (1, x, y, z).")
        plain, seen = (
            each.as_tensor() if isinstance(each, MetaTensor) else torch.as_tensor(each) for each in (img, looked_at)
        )
        slices = zip(*(([each] if each.ndim == 3 else each.unbind(-1)) for each in (plain, seen)), strict=True)
        covered = [cover(one, self.boxes(other), self.value) for one, other in slices]
        out = covered[0] if plain.ndim == 3 else torch.stack(covered, dim=-1)
        return MetaTensor(out, affine=img.affine) if isinstance(img, MetaTensor) else out


def picture(image: NdarrayOrTensor) -> NDArray[np.uint8]:
    """A slice (x, y) as a grey picture (rows, columns) whose darkest pixel is 0 and whose brightest is 255."""
    values = np.asarray(image, dtype=np.float32).T
    low, high = float(values.min()), float(values.max())
    return np.rint((values - low) * (255 / (high - low) if high > low else 0.0)).astype(np.uint8)


class MaskTextd(MapTransform):
    """Dictionary form of :class:`MaskText`.

    Args:
        keys: keys of the images.
        detector, margin, value: see :class:`MaskText`.
        allow_missing_keys: do not raise if a key is missing.
    """

    backend = MaskText.backend

    def __init__(
        self,
        keys: KeysCollection,
        detector: Detector,
        margin: float = MARGIN,
        value: float = 0.0,
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        self.transform = MaskText(detector, margin, value)

    def __call__(self, data: Mapping[Hashable, NdarrayOrTensor]) -> dict[Hashable, NdarrayOrTensor]:
        """Return a copy of ``data`` with the text in every keyed image covered."""
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.transform(d[key])
        return d


MaskTextD = MaskTextDict = MaskTextd
