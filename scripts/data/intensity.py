"""The intensity rule of a release: how the numbers of a file become [0, 1], and the percentiles that it may need.

The rule is one of

- None: integers are divided by what they can hold (their dtype's maximum; of DICOM, by bits and rescale);
- ``(lowest, highest)``: these become 0 and 1, what lies outside is clipped (DICOM: after rescale);
- ``"window"``: each DICOM file's own VOI lookup table or first window; other formats as with None;
- ``{"percentiles": (p, q)}``: the p-th and q-th percentile of the training patients' images become 0 and 1. The numbers
  are computed once, by :func:`settle`, and kept in the hospital's ``intensity.json`` and in ``release.json``.

No rule depends on the image that it is applied to, but for a window that its file states.
"""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from fesf.scripts.data.files import make_private_folder, to_json, write_atomic
from fesf.scripts.data.memory import READING, memory_limit
from fesf.transforms import load_image

if TYPE_CHECKING:
    from fesf.scripts.data.recipe import Recipe

INTENSITY = "intensity.json"
WINDOW = "window"
IMAGES, PIXELS = 2000, 10_000
"""At most so many images, drawn by the seed, and so many pixels of each make the percentiles."""

Rule = tuple[float, float] | str | dict[str, tuple[float, float]] | None


def check_rule(value: Any) -> Rule:
    """Return a rule in its one form.

    Raises:
        ValueError: naming the value and what it may be.
    """
    if value is None or value == WINDOW:
        return value
    if isinstance(value, Mapping) and "percentiles" in value and set(value) <= {"percentiles", "range", "hosts"}:
        rule = {name: _interval(value[name], name) for name in ("percentiles", "range", "hosts") if name in value}
        if not 0 <= rule["percentiles"][0] < rule["percentiles"][1] <= 100:
            raise ValueError(f"intensity_range={value!r}: percentiles lie in [0, 100], such as [0.5, 99.5].")
        return rule
    return _interval(value, "intensity_range")


def _interval(value: Any, name: str) -> tuple[float, float]:
    pair = isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2
    if not pair or not all(isinstance(n, int | float) and math.isfinite(n) for n in value) or not value[0] < value[1]:
        raise ValueError(
            f"{name}={value!r}: give the lowest and the highest intensity, such as [0, 4095], 'window', "
            "{'percentiles': [0.5, 99.5]}, or null."
        )
    return float(value[0]), float(value[1])


def limits(rule: Rule, of: str = "range") -> tuple[float, float] | None:
    """The numbers that become 0 and 1; None where the rule has none.

    Args:
        rule: from :func:`check_rule`.
        of: "range" for the cohort's images, "hosts" for the host pool's.

    Raises:
        ValueError: when the rule's percentiles have not been settled.
    """
    if isinstance(rule, dict):
        if of not in rule:
            raise ValueError("intensity_range asks for percentiles, which are not known here: hide the cohort first.")
        return rule[of]
    return rule if isinstance(rule, tuple) else None


def settle(
    recipe: Recipe,
    cohort: str | Path,
    hosts_dir: str | Path,
    hospital_dir: str | Path,
    previous_splits: str | Path | None = None,
    withdrawn: str | Path | None = None,
    dry_run: bool | str = False,
) -> Recipe:
    """A recipe whose percentiles are numbers: those kept in the hospital, else computed now and kept.

    Kept ones are those of ``hospital_dir``, else those beside ``previous_splits``: a later release then scales as the
    earlier one did, whoever joined or withdrew. The host pool, which may count in other units, is scaled by the same
    percentiles of its own images.

    Args:
        recipe: one without percentiles is returned as it is, and nothing is read.
        cohort: path of ``cohort.csv``; the images of its training patients are read, up to :data:`IMAGES` of them.
        hosts_dir: folder of the public hosts.
        hospital_dir: where ``intensity.json`` (0600) is kept.
        previous_splits: ``splits.csv`` of an earlier release.
        withdrawn: table of patients who do not count.
        dry_run: keep nothing.

    Raises:
        ValueError: when an image cannot be read (the text names its row), or the two percentiles are equal.
    """
    rule = recipe.intensity_range
    if not isinstance(rule, dict) or "range" in rule:
        return recipe
    from fesf.scripts.data.flags import flag

    places = [Path(hospital_dir), *([] if previous_splits is None else [Path(previous_splits).parent])]
    kept = [settled for place in places if (settled := _read(place / INTENSITY)) is not None]
    if kept and kept[0]["percentiles"] != rule["percentiles"]:
        raise ValueError(
            f"intensity_range asks for percentiles {list(rule['percentiles'])}, {INTENSITY} of the hospital holds "
            f"{list(kept[0]['percentiles'])}: ask for these, or choose another hospital_dir."
        )
    settled = (
        kept[0]
        if kept
        else _compute(recipe, rule, Path(cohort), Path(hosts_dir), hospital_dir, previous_splits, withdrawn)
    )
    if not flag("dry_run", dry_run):
        write_atomic(make_private_folder(hospital_dir) / INTENSITY, to_json(settled))
    return replace(recipe, intensity_range=settled)


def _compute(
    recipe: Recipe,
    rule: dict[str, tuple[float, float]],
    cohort: Path,
    hosts_dir: Path,
    hospital_dir: str | Path,
    previous_splits: str | Path | None,
    withdrawn: str | Path | None,
) -> dict[str, tuple[float, float]]:
    from fesf.scripts.data.cohort import CohortError, read_cohort
    from fesf.scripts.data.hosts import host_files
    from fesf.scripts.data.kept_splits import plan_splits
    from fesf.scripts.data.withdrawn import read_withdrawn

    table = read_cohort(cohort)
    splits = plan_splits(table, recipe.fractions, recipe.seed, hospital_dir, previous_splits)
    gone = set() if withdrawn is None else set(read_withdrawn(withdrawn, splits))
    rows = [row for row in table.rows if splits[row.patient] == "training" and row.patient not in gone]
    order = np.random.default_rng(recipe.seed).permutation(len(rows))[:IMAGES]
    found: list[np.ndarray] = []
    for index in tqdm(sorted(order.tolist()), desc="Percentiles", mininterval=1.0):
        row = rows[index]
        try:
            found.append(_pixels(os.path.join(table.folder, row.image), row.frame, recipe.seed + index))
        except Exception as error:  # a reader's text may hold the path
            if recipe.on_bad_row == "stop":
                raise CohortError(
                    f"Row {row.row} of the cohort: its image cannot be read ({type(error).__name__})."
                ) from None
    hosts = [_pixels(str(path), None, recipe.seed) for path in host_files(hosts_dir)[:IMAGES]]
    return rule | {"range": _between(found, rule, "training images"), "hosts": _between(hosts, rule, "hosts")}


def _pixels(path: str, frame: int | None, seed: int) -> np.ndarray:
    """Up to :data:`PIXELS` grey values of an image, drawn by the seed; without padding and what is outside regions."""
    with warnings.catch_warnings(), memory_limit(READING):
        warnings.simplefilter("ignore")  # readers quote header values in their warnings
        values = load_image(path, scale=False, frame=frame, padding=np.nan, regions=True).numpy().ravel()
    values = values[np.isfinite(values)]
    return values if values.size <= PIXELS else values[np.random.default_rng(seed).integers(values.size, size=PIXELS)]


def _between(pixels: Sequence[np.ndarray], rule: dict[str, tuple[float, float]], of: str) -> tuple[float, float]:
    values = np.concatenate([*pixels, np.empty(0)]).astype(np.float64)
    if values.size == 0:
        raise ValueError(f"The percentiles of the {of} cannot be taken: none can be read.")
    low, high = (float(value) for value in np.percentile(values, rule["percentiles"]))
    if low == high:
        raise ValueError(f"The percentiles {list(rule['percentiles'])} of the {of} are equal: take them further apart.")
    return low, high


def _read(path: Path) -> dict[str, tuple[float, float]] | None:
    if not path.is_file():
        return None
    try:
        settled = check_rule(json.loads(path.read_text(encoding="utf-8")))
    except ValueError:
        settled = None
    if not isinstance(settled, dict) or set(settled) != {"percentiles", "range", "hosts"}:
        raise ValueError(f"{INTENSITY} of the hospital cannot be read: put it back, or delete it to compute it anew.")
    return settled


def kept_rule(intensity_range: Any, splits: str | Path) -> Rule:
    """The rule for who reads plaintexts beside the hospital's splits: percentiles as hide.json settled them.

    Args:
        intensity_range: the id of the config.
        splits: path of the hospital's ``splits.csv``; ``intensity.json`` lies beside it.

    Raises:
        ValueError: when percentiles are asked for that are not kept there.
    """
    rule = check_rule(intensity_range)
    if not isinstance(rule, dict) or "range" in rule:
        return rule
    settled = _read(Path(splits).parent / INTENSITY)
    if settled is None or settled["percentiles"] != rule["percentiles"]:
        raise ValueError(
            f"{INTENSITY} beside splits.csv does not hold the percentiles {list(rule['percentiles'])}: hide first."
        )
    return settled
