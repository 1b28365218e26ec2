"""From a folder of files to the rows of a cohort: walk, set aside, group, order, join with labels."""

from __future__ import annotations

import json
import os
import stat
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from fesf.scripts.data.inspection import DICOMDIR, Finding
from fesf.scripts.data.labels import Labels
from fesf.scripts.data.quarantine import Aside
from fesf.transforms.dicom_reader import SERIES_SUFFIX

ROWS = ("image", "slice", "volume")
Orderer = Callable[[list[str]], tuple[list[int], str]]


@dataclass
class Unit:
    """What becomes one row, or one row a slice.

    Args:
        files: paths relative to the source, first slice first.
        findings: of each.
        frame: slice of the one file; None for all of it.
    """

    files: list[str]
    findings: list[Finding]
    frame: int | None = None

    @property
    def first(self) -> Finding:
        """Finding of the first file: patient, study and series are equal in all."""
        return self.findings[0]


@dataclass
class Intake:
    """What was taken in.

    Args:
        rows: cells of the cohort's rows, in order; "image" is relative to the source, or a list file's name.
        asides: what was set aside.
        lists: content of the list files of volumes, by name.
        indices: number of DICOMDIRs that were fine, which are neither rows nor set aside.
    """

    rows: list[dict[str, str]] = field(default_factory=list)
    asides: list[Aside] = field(default_factory=list)
    lists: dict[str, list[str]] = field(default_factory=dict)
    indices: int = 0


def walk(root: str | Path, leave_out: Iterable[str | Path] = ()) -> Iterator[tuple[str, str]]:
    """Files below a folder, sorted, as (path relative to it, reason to set it aside unopened or "").

    Folders that are links are not entered: one that leads out of the source is reported, one that stays inside is
    found where it leads.

    Args:
        root: the source.
        leave_out: files and folders of our own, such as the labels.
    """
    top = os.path.realpath(root)
    skipped = {os.path.realpath(path) for path in leave_out}
    for place, folders, names in os.walk(root):
        folders.sort()
        folders[:] = [name for name in folders if os.path.realpath(os.path.join(place, name)) not in skipped]
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        for name in sorted([*names, *links]):
            path = os.path.join(place, name)
            if os.path.realpath(path) in skipped:
                continue
            relative = os.path.relpath(path, root)
            reason = _unopened(path, top)
            if name not in links or reason == "outside-source":
                yield relative, reason or ("bad-name" if not is_plain_name(relative) else "")


def _unopened(path: str, top: str) -> str:
    if os.path.islink(path) and os.path.commonpath([os.path.realpath(path), top]) != top:
        return "outside-source"
    try:
        kind = os.stat(path).st_mode
    except OSError:
        return "unreadable"
    return "" if stat.S_ISREG(kind) or stat.S_ISDIR(kind) else "not-a-file"


def is_plain_name(name: str) -> bool:
    """Whether a table can hold a path: printable text in UTF-8 without spaces at its ends."""
    return name.isprintable() and name == name.strip()


def take_in(
    found: Sequence[tuple[str, Finding]],
    labels: Labels | None,
    rows: str,
    order: Orderer,
    patient_from_folder: bool = False,
    keep_unlabelled: bool = False,
    allow: Sequence[str] = (),
) -> Intake:
    """Group, order and join.

    Args:
        found: files in order, with what was found in them.
        labels: None for none, then labels stay empty.
        rows: "image" (a file is a row), "slice" (a slice or frame is a row) or "volume" (a series, or a file with three
            axes, is a row).
        order: sorts the files of one series; see :func:`fesf.scripts.data.inspection.order_series`.
        patient_from_folder: the first folder below the source is the patient of a file that does not name one.
        keep_unlabelled: rows without a label stay, with an empty one.
        allow: signs of text in the pixels that do not set a file aside.
    """
    intake = Intake()
    kept = []
    for file, finding in found:
        reason = finding.reason or next((mark for mark in finding.marks if mark not in allow), "")
        if reason:
            intake.asides.append(Aside(file, reason))
        elif finding.form == DICOMDIR:
            intake.indices += 1
        else:
            kept.append((file, finding))
    kept = _one_of_each_instance(kept, intake.asides)
    kept = _with_patients(kept, labels, patient_from_folder, intake.asides)
    units = _units(kept, rows, order, intake.asides)
    for unit in _distinct(units, intake.asides):
        _add_row(intake, unit, labels, rows, keep_unlabelled)
    intake.asides.sort(key=lambda aside: (aside.file, aside.frame or 0))
    return intake


Found = list[tuple[str, Finding]]


def _one_of_each_instance(found: Found, asides: list[Aside]) -> Found:
    groups: dict[str, Found] = defaultdict(list)
    for file, finding in found:
        groups[finding.instance or f"file {file}"].append((file, finding))
    kept = []
    for group in groups.values():
        if len({finding.digest for _, finding in group}) > 1:
            asides.extend(Aside(file, "instance-conflict") for file, _ in group)
            continue
        kept.append(group[0])
        asides.extend(Aside(file, "duplicate-instance") for file, _ in group[1:])
    return kept


def _with_patients(found: Found, labels: Labels | None, from_folder: bool, asides: list[Aside]) -> Found:

    kept: Found = []
    for file, finding in found:
        patient = finding.patient
        if not patient and labels is not None:
            joined = labels.find(file=file, series=finding.series, study=finding.study)
            patient = joined.get("patient", "")
        if not patient and from_folder and os.sep in file:
            patient = file.split(os.sep)[0]
        if patient and is_plain_name(patient):
            kept.append((file, replace(finding, patient=patient)))
        else:
            asides.append(Aside(file, "no-patient"))
    patients: dict[str, set[str]] = defaultdict(set)
    for _, finding in kept:
        patients[finding.study].add(finding.patient)
    mixed = {study for study, names in patients.items() if study and len(names) > 1}
    asides.extend(Aside(file, "study-of-two-patients") for file, finding in kept if finding.study in mixed)
    return [(file, finding) for file, finding in kept if finding.study not in mixed]


def _units(found: Found, rows: str, order: Orderer, asides: list[Aside]) -> list[Unit]:
    series: dict[tuple[str, ...], Found] = defaultdict(list)
    for file, finding in found:
        single = finding.series and not finding.is_volume
        series[(finding.patient, finding.study, finding.series, "" if single else file)].append((file, finding))
    units = []
    for _, group in sorted(series.items()):
        reason = ""
        if len(group) > 1:
            indices, reason = order([file for file, _ in group])
            group = [group[index] for index in indices]
        if rows == "volume":
            if len(group) == 1 and not group[0][1].is_volume:
                reason = "not-a-volume"
            if reason:
                asides.extend(Aside(file, reason) for file, _ in group)
            else:
                units.append(Unit([file for file, _ in group], [finding for _, finding in group]))
            continue
        for file, finding in group:
            frames = range(len(finding.constant)) if rows == "slice" and finding.is_volume else [None]
            units.extend(Unit([file], [finding], frame) for frame in frames)
    return units


def _distinct(units: Iterable[Unit], asides: list[Aside]) -> Iterator[Unit]:
    """Units that are neither constant nor the same pixels as one before."""
    seen: set[tuple[Any, ...]] = set()
    for unit in units:
        constant = [
            finding.constant[unit.frame] if unit.frame is not None else all(finding.constant)
            for finding in unit.findings
        ]
        pixels = (*(finding.digest for finding in unit.findings), unit.frame)
        reason = "constant" if all(constant) else "duplicate-pixels" if pixels in seen else ""
        seen.add(pixels)
        if reason:
            asides.extend(Aside(file, reason, unit.frame) for file in unit.files)
        else:
            yield unit


def _add_row(intake: Intake, unit: Unit, labels: Labels | None, rows: str, keep_unlabelled: bool) -> None:
    first = unit.first
    names = {"patient": first.patient, "study": first.study, "series": first.series}
    joined = [] if labels is None else [row for file in unit.files if (row := labels.find(file=file, **names))]
    texts = {row["label"] for row in joined} - {""}
    reason = "label-conflict" if len(texts) > 1 else ""
    if labels is not None and not texts and not keep_unlabelled:
        reason = "no-label"
    if reason:
        intake.asides.extend(Aside(file, reason, unit.frame) for file in unit.files)
        return
    image = unit.files[0]
    if len(unit.files) > 1:
        image = sha256(f"{first.patient}\0{first.study}\0{first.series}".encode()).hexdigest()[:24] + SERIES_SUFFIX
        intake.lists[image] = unit.files
    cells = {"image": image, "label": min(texts, default=""), **names}
    cells["frame"] = "" if unit.frame is None else str(unit.frame)
    if labels is not None:
        cells |= {name: joined[0].get(name, "") if joined else "" for name in labels.attributes}
    intake.rows.append(cells)


def list_file(files: Sequence[str]) -> bytes:
    """Content of a list file; :func:`fesf.transforms.dicom_reader.series_files` reads it."""
    return json.dumps({"files": list(files)}, indent=1, ensure_ascii=False).encode() + b"\n"
