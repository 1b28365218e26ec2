"""The hospital's cohort: ``cohort.csv`` and the images it names.

Errors name the row of the table as a spreadsheet shows it (the header is row 1), never a path or a patient.
"""

from __future__ import annotations

import csv
import math
import os
import warnings
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Orientation, Resize, ResizeWithPadOrCrop
from torch.utils.data import Dataset

from fesf.scripts.data.core_dumps import forbid_core_dumps
from fesf.scripts.data.files import UNSHOWN
from fesf.scripts.data.flags import flag
from fesf.scripts.data.intensity import WINDOW, check_rule, limits
from fesf.scripts.data.spacing import check_spacing, spacing
from fesf.scripts.data.splits import read_splits
from fesf.scripts.data.store import SECTIONS
from fesf.transforms import load_image
from fesf.transforms.dicom import DicomError
from fesf.transforms.text import MaskText, TextDetector

REQUIRED = ("image", "label", "patient")
OPTIONAL = ("study", "series", "frame", "split")


class CohortError(ValueError):
    """A row of the cohort, or its image, cannot be used; the text names the row and nothing of the patient."""


@dataclass(frozen=True, slots=True)
class CohortRow:
    """One image of the cohort.

    Args:
        row: number of the row in the table, the header being row 1.
        image: image as the table names it, relative to the table.
        label: class name; empty when unknown.
        patient: patient as the table names them.
        study: study as the table names it; may be empty.
        frame: slice or frame along the last axis; None for the whole file.
        split: "training", "validation", "test", or empty when the product splits.
    """

    row: int
    image: str
    label: str
    patient: str
    study: str = ""
    frame: int | None = None
    split: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """What makes the row's image one of its kind: the image and its frame."""
        return self.image, "" if self.frame is None else str(self.frame)


@dataclass(frozen=True)
class Cohort:
    """A read ``cohort.csv``; see :func:`read_cohort`."""

    folder: Path
    rows: list[CohortRow]
    class_names: list[str] = field(default_factory=list)

    def item(self, row: CohortRow) -> dict[str, Any]:
        """The row as a MONAI data set takes it: "image", "row", "frame", "id" and, where known, "label"."""
        label = {"label": self.class_names.index(row.label)} if row.label else {}
        image = str(self.folder / row.image)
        return {
            "image": image,
            "row": row.row,
            "frame": row.frame,
            "id": f"row-{row.row}",
            "patient": row.patient,
        } | label

    def labels_of_patients(self) -> dict[str, Counter[str]]:
        """Per patient, how many images of each label."""
        patients: dict[str, Counter[str]] = {}
        for row in self.rows:
            patients.setdefault(row.patient, Counter())[row.label] += 1
        return patients


def read_cohort(path: str | Path) -> Cohort:
    """Read and check ``cohort.csv``.

    Args:
        path: table with the columns image, label, patient, optionally study, series, frame, split, and attributes
            (sex, age group, site), which this reader leaves alone. Images are relative to the table. A label may be
            empty. Class names are the labels in order (numbers by value).

    Raises:
        CohortError: when the table or a row cannot be used.
    """
    path = Path(path)
    if not path.is_file():
        raise CohortError(f"cohort {str(path)!r} is not a file: pass the path of a cohort.csv.")
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        missing = [name for name in REQUIRED if name not in (reader.fieldnames or [])]
        if missing:
            raise CohortError(f"The cohort's header lacks {', '.join(missing)}: it needs {', '.join(REQUIRED)}.")
        rows = [_parse(number, record) for number, record in enumerate(reader, start=2)]
    if not rows:
        raise CohortError("The cohort has no rows: add one line per image.")
    _check(rows)
    names = sorted({row.label for row in rows if row.label}, key=lambda name: (not name.isdigit(), name.zfill(9), name))
    return Cohort(path.parent, rows, names)


def _parse(number: int, record: Mapping[str, str | None]) -> CohortRow:
    if None in record:
        raise CohortError(f"Row {number} of the cohort has more cells than the header: quote cells that hold commas.")
    cells = {name: (record.get(name) or "").strip() for name in REQUIRED + OPTIONAL}
    for name in ("image", "patient"):
        if not cells[name]:
            raise CohortError(f"Row {number} of the cohort has no {name}: fill it in or delete the row.")
    if cells["split"] not in ("", *SECTIONS):
        raise CohortError(
            f"Row {number} of the cohort has an unknown split: use {', '.join(SECTIONS)} or leave it empty. {UNSHOWN}"
        )
    if cells["frame"] and not cells["frame"].isdecimal():
        raise CohortError(
            f"Row {number} of the cohort has a frame that is no number: use 0, 1, 2, ... or leave it empty. {UNSHOWN}"
        )
    frame = int(cells["frame"]) if cells["frame"] else None
    return CohortRow(number, cells["image"], cells["label"], cells["patient"], cells["study"], frame, cells["split"])


def _check(rows: Sequence[CohortRow]) -> None:
    images: dict[tuple[str, str], int] = {}
    splits: dict[str, CohortRow] = {}
    for row in rows:
        first = images.setdefault(row.key, row.row)
        if first != row.row:
            raise CohortError(f"Rows {first} and {row.row} of the cohort name the same image: delete one of them.")
        other = splits.setdefault(row.patient, row)
        if other.split != row.split:
            raise CohortError(
                f"Rows {other.row} and {row.row} of the cohort are one patient in two splits ({other.split!r} and "
                f"{row.split!r}): patients, not images, are split."
            )
    if len({bool(row.split) for row in rows}) > 1:
        empty = next(row.row for row in rows if not row.split)
        raise CohortError(f"Row {empty} of the cohort has no split, others have: fill the column or empty it.")


def class_names(cohort: str | Path) -> list[str]:
    """Names of the cohort's classes, in the order of their indices (see :func:`read_cohort`)."""
    return read_cohort(cohort).class_names


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
    ) -> None:
        forbid_core_dumps()
        super().__init__(keys, allow_missing_keys)
        self.spatial_size = tuple(int(length) for length in spatial_size)
        self.intensity_range = check_rule(intensity_range)
        self.pixel_spacing = check_spacing(pixel_spacing, len(self.spatial_size))
        self.mask_text = MaskText(TextDetector()) if flag("mask_text", mask_text) else None
        self._limits = limits(self.intensity_range, "hosts" if hosts else "range")
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
            raise CohortError(f"Row {row} of the cohort: its image cannot be read ({type(error).__name__}).") from None

    def prepare(self, path: str, frame: int | None = None) -> MetaTensor:
        """Read one file without a row's name; ``HostPool`` reads hosts the same way."""
        try:
            image: Any = load_image(
                path, scale=self._limits is None, window=self.intensity_range == WINDOW, frame=frame, regions=True
            )
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
        if self.mask_text is not None:
            image = self.mask_text(image)
        if image.ndim == 4:
            image = self.orient(image)
        if self.pixel_spacing is not None:
            image = self._resample(image, self.pixel_spacing)
        elif image.shape[1:] != self.spatial_size:
            image = self.resize(image)
        return MetaTensor(image.as_tensor().contiguous(), affine=image.affine)

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
