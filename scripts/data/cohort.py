"""The hospital's cohort: ``cohort.csv`` and the images it names.

Errors name the row of the table as a spreadsheet shows it (the header is row 1), never a path or a patient.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Orientation, Resize, ResizeWithPadOrCrop
from torch.utils.data import Dataset

from fesf.scripts.data.cohort_table import Cohort, CohortError, CohortRow, class_names, read_cohort
from fesf.scripts.data.core_dumps import forbid_core_dumps
from fesf.scripts.data.flags import flag
from fesf.scripts.data.intensity import WINDOW, check_rule, limits
from fesf.scripts.data.memory import READING, memory_limit
from fesf.scripts.data.spacing import check_spacing, spacing
from fesf.scripts.data.splits import read_splits
from fesf.scripts.data.store_format import SECTIONS
from fesf.transforms import load_image
from fesf.transforms.dicom import DicomError
from fesf.transforms.dicom_reader import declares_regions
from fesf.transforms.text import MaskText, TextDetector

__all__ = [
    "Cohort",
    "CohortDataset",
    "CohortError",
    "CohortRow",
    "LoadImageCohortd",
    "class_names",
    "load_datalist",
    "read_cohort",
]


def load_datalist(cohort: str | Path, splits: str | Path, section: str) -> list[dict[str, Any]]:
    """Plaintext items of one section, for the trusted zone only.

    Args:
        cohort: path of ``cohort.csv``.
        splits: path of the hospital's ``splits.csv``.
        section: "training", "validation" or "test".

    Returns:
        One dict an image (see :meth:`Cohort.item`); all have a "label".

    Raises:
        CohortError: when a patient has no split, or the section is empty.
        ValueError: when the section is unknown.
    """
    if section not in SECTIONS:
        raise ValueError(f"Unknown section {section!r}: choose one of {', '.join(SECTIONS)}.")
    table, assigned = read_cohort(cohort), read_splits(splits)
    items = []
    for row in table.rows:
        if row.patient not in assigned:
            raise CohortError(f"Row {row.row} of the cohort is of a patient without a split: hide the cohort first.")
        if assigned[row.patient] == section and row.label:
            items.append(table.item(row))
    if not items:
        raise CohortError(f"The section {section!r} has no labelled image: add patients or choose other splits.")
    return items


class LoadImageCohortd(MapTransform):
    """Read an image of the cohort as the rest of the pipeline takes it: grey, in [0, 1], resized.

    Intensities become [0, 1] by the rule ``intensity_range``, colour becomes grey (:func:`fesf.transforms.load_image`),
    volumes are turned to RAS axes, and the size changes by area averaging. Of ultrasound that declares regions, all
    else is black (:func:`fesf.transforms.dicom_text.outside_regions`): that is where devices write names.

    Args:
        keys: keys of the items that hold an image's path; the item's "row" names it in errors, its "frame" (optional)
            picks one slice along the last axis.
        spatial_size: size of the result, two or three lengths, axes as MONAI's LoadImage gives them.
        intensity_range: the intensity rule; see :mod:`fesf.scripts.data.intensity`. Percentiles must be settled.
        pixel_spacing: mm along each axis; the image is resampled to it, then cropped or padded with 0 about its centre
            to ``spatial_size``. None resizes it to ``spatial_size`` whatever its spacing.
        hosts: scale by the host pool's percentiles, not the cohort's, where the rule is percentiles.
        mask_text: find text and cover it with black at full size (:class:`fesf.transforms.text.MaskText`).
        reading_memory: MiB that reading one image may take beyond what the process holds (Linux); None for no limit.
        allow_missing_keys: do not raise when a key is missing.

    Returns of a call:
        The item with MetaTensors (1, *spatial_size), float32 in [0, 1]; metadata is the affine alone.

    Raises:
        CohortError: naming the row, when its image cannot be read or used.
    """

    def __init__(
        self,
        keys: KeysCollection,
        spatial_size: Sequence[int],
        intensity_range: Any = None,
        allow_missing_keys: bool = False,
        pixel_spacing: Sequence[float] | None = None,
        hosts: bool = False,
        mask_text: bool | str = False,
        reading_memory: int | None = READING // 2**20,
    ) -> None:
        forbid_core_dumps()
        super().__init__(keys, allow_missing_keys)
        self.spatial_size = tuple(int(length) for length in spatial_size)
        self.intensity_range = check_rule(intensity_range)
        self.pixel_spacing = check_spacing(pixel_spacing, len(self.spatial_size))
        self.mask_text = MaskText(TextDetector()) if flag("mask_text", mask_text) else None
        self._limits = limits(self.intensity_range, "hosts" if hosts else "range")
        self.reading_memory = reading_memory
        self.resize = Resize(self.spatial_size, mode="area")
        self.orient = Orientation(axcodes="RAS", labels=(("L", "R"), ("P", "A"), ("I", "S")))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            item[key] = self._load(str(item[key]), item.get("row", "?"), item.get("frame"))
        return item

    def _load(self, path: str, row: int | str, frame: int | None) -> MetaTensor:
        if not os.path.isfile(path):
            raise CohortError(f"Row {row} of the cohort: its image does not exist. Correct the column image.")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # readers quote header values in their warnings
                return self.prepare(path, frame)
        except CohortError as error:
            raise CohortError(f"Row {row} of the cohort: {error}") from None
        except Exception as error:  # and paths in what they raise
            raise CohortError(
                f"Row {row} of the cohort: its image cannot be read ({type(error).__name__})."
                " Replace it, or delete the row."
            ) from None

    def prepare(self, path: str, frame: int | None = None) -> MetaTensor:
        """Read one file without a row's name; ``HostPool`` reads hosts the same way."""
        try:
            with memory_limit(None if self.reading_memory is None else self.reading_memory * 2**20):
                return self._prepare(path, frame)
        except MemoryError:
            raise CohortError(
                f"its image takes more than {self.reading_memory} MiB to read: see make_cohort's quarantine.csv whether"
                " it is sound, then raise reading_memory."
            ) from None

    def _prepare(self, path: str, frame: int | None) -> MetaTensor:
        image: Any = self._read(path, frame, regions=True)
        if self.mask_text is not None:  # letters that a region's edge cuts would not be found
            declared = declares_regions(path)
            image = self.mask_text(image, self._read(path, frame, regions=False) if declared else image)
        if image.ndim == 4:
            image = self.orient(image)
        if self.pixel_spacing is not None:
            image = self._resample(image, self.pixel_spacing)
        elif image.shape[1:] != self.spatial_size:
            image = self.resize(image)
        return MetaTensor(image.as_tensor().contiguous(), affine=image.affine)

    def _read(self, path: str, frame: int | None, regions: bool) -> MetaTensor:
        """One file at full size, grey in [0, 1], with the right number of axes."""
        window = self.intensity_range == WINDOW
        try:
            image: Any = load_image(path, self._limits is None, window, frame, regions=regions)
        except DicomError as error:  # says what is wrong and quotes nothing
            raise CohortError(f"{error}.") from None
        except IndexError:
            raise CohortError(f"frame {frame} is not one of its last axis.") from None
        if image.ndim == len(self.spatial_size) + 2 and image.shape[-1] == 1:
            image = image[..., 0]  # one frame, or a DICOM file of one slice
        image = self._scale(image)
        if image.ndim != len(self.spatial_size) + 1:
            raise CohortError(
                f"its image has {image.ndim - 1} axes, image_size {list(self.spatial_size)} has"
                f" {len(self.spatial_size)}. Give image_size as many lengths, or name a frame."
            )
        return image

    def _resample(self, image: MetaTensor, wanted: tuple[float, ...]) -> Any:
        if torch.equal(image.affine[:3, :3], torch.eye(3, dtype=image.affine.dtype)):
            raise CohortError("its file gives no pixel spacing, which pixel_spacing needs.")
        given = zip(image.shape[1:], spacing(image), wanted, strict=True)
        sizes = [max(1, round(length * old / new)) for length, old, new in given]
        return ResizeWithPadOrCrop(self.spatial_size)(Resize(sizes, mode="area")(image))

    def _scale(self, image: MetaTensor) -> MetaTensor:
        grey = image.as_tensor()
        if self._limits is not None:
            lowest, highest = self._limits
            grey = ((grey - lowest) / (highest - lowest)).clamp(0, 1)
        low, high = (float(end) for end in torch.aminmax(grey))  # NaN where any value is
        if not (math.isfinite(low) and math.isfinite(high)):
            raise CohortError("its image holds NaN or infinite values.")
        if low < 0 or high > 1:
            raise CohortError(
                f"its intensities span [{low:g}, {high:g}], outside [0, 1]: give intensity_range, e.g. '[0, 4095]'."
            )
        return MetaTensor(grey, affine=image.affine)


class CohortDataset(Dataset):
    """Rows of a cohort as the hide workflow takes them.

    A row that cannot be read is not an exception here, which a loader's worker would wrap in a traceback, but an item
    with a text under "error" and an empty image.

    Args:
        data: the rows.
        transform: a :class:`LoadImageCohortd` on "image".
        folder: folder that the rows' images are relative to.

    Returns of indexing:
        "image" (1, *spatial) float32, "index" into ``data``, "spacing" in mm (one number an axis), "error".
    """

    def __init__(self, data: Sequence[CohortRow], transform: LoadImageCohortd, folder: str | Path) -> None:
        self.data = data
        self.transform = transform
        self.folder = Path(folder)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = self.data[index]
        item: dict[Hashable, Any] = {"image": str(self.folder / row.image), "row": row.row, "frame": row.frame}
        try:
            image = self.transform(item)["image"]
        except CohortError as error:
            size = self.transform.spatial_size
            blank = {"image": torch.zeros(1, *size), "spacing": torch.ones(len(size))}
            return {**blank, "index": index, "error": str(error)}
        return {"image": image.as_tensor(), "index": index, "spacing": torch.tensor(spacing(image)), "error": ""}
