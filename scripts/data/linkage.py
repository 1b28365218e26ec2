"""Reading what :mod:`fesf.scripts.link` joins: the hospital's linkage, and predictions that come from outside.

The predictions are not believed: every cell is checked before it is used or written.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from fesf.scripts.data.core_dumps import forbid_core_dumps
from fesf.scripts.data.files import UNSHOWN
from fesf.scripts.data.store_format import MANIFEST, SECTIONS

LINKAGE_COLUMNS = ("id", "row", "patient", "study", "label", "split")
PREFIX = "p_"
ENCRYPTED = ".enc"
SHOWN = 5  # ids named in one error
SUM_TOLERANCE = 0.01
MAX_CLASSES = 1000

_ID = re.compile(r"[0-9a-f]{32}")
# A cell that a spreadsheet would run, or that would move the cursor of a terminal.
_UNSAFE = re.compile(r"^[=+\-@]|[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class LinkError(ValueError):
    """Predictions or linkage cannot be joined."""


@dataclass(frozen=True)
class Prediction:
    """One checked row of ``predictions.csv``.

    Args:
        probabilities: one a class, in [0, 1], summing to 1.
        decision: index of the decided class.
    """

    probabilities: tuple[float, ...]
    decision: int


@dataclass(frozen=True)
class Linked:
    """Predictions joined with the linkage, in the linkage's order.

    Args:
        class_names: names of the classes, in the order of the prediction's columns.
        rows: pairs of the linkage's row and the prediction.
    """

    class_names: list[str]
    rows: list[tuple[dict[str, str], Prediction]]


def refuse_inside_store(path: str | Path) -> None:
    """Refuse a path that lies in a surrogate store: what is written there leaves the hospital.

    Raises:
        LinkError: when the path's folder, or a folder above it, holds a manifest.json.
    """
    for folder in Path(path).resolve().parents:
        if (folder / MANIFEST).exists():
            raise LinkError(
                f"out {str(path)!r} lies in a surrogate store (there is a {MANIFEST} in {str(folder)!r}): patients "
                "must not be written there. Choose a path in the hospital folder."
            )


def _table(file: TextIO, name: str) -> tuple[list[str], Iterator[tuple[int, dict[str, str]]]]:
    """Header and numbered records of a table (the header is row 1); every record has exactly the header's cells."""
    reader = csv.reader(file, strict=True)

    def read() -> Iterator[list[str]]:
        try:
            yield from reader
        except (csv.Error, UnicodeDecodeError) as error:
            raise LinkError(f"{name}, line {reader.line_num + 1}: not UTF-8 CSV ({type(error).__name__}).") from None

    rows = read()
    header = next(rows, [])
    twice = sorted(column for column, count in Counter(header).items() if count > 1)
    if twice:
        raise LinkError(f"{name} has the column {twice[0]!r} twice: each column must have its own name.")

    def records() -> Iterator[tuple[int, dict[str, str]]]:
        for number, cells in enumerate(rows, start=2):
            if len(cells) != len(header):
                raise LinkError(f"Row {number} of {name} has {len(cells)} cells, its header {len(header)}.")
            yield number, dict(zip(header, cells, strict=True))

    return header, records()


def _need(header: Sequence[str], columns: Sequence[str], name: str) -> None:
    missing = [column for column in columns if column not in header]
    if missing:
        raise LinkError(f"{name} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}.")


def _open(path: str | Path, name: str) -> TextIO:
    try:
        return open(path, encoding="utf-8-sig", newline="")
    except OSError as error:
        raise LinkError(f"{name} {str(path)!r} cannot be read ({error.strerror}).") from None


def encrypted_path(path: str | Path) -> Path:
    """Where the linkage lies encrypted: ``linkage.csv`` gives ``linkage.csv.enc``."""
    path = Path(path)
    return path if path.suffix == ENCRYPTED else path.with_name(path.name + ENCRYPTED)


def _open_linkage(path: Path, secret_file: str | Path | None) -> TextIO:
    encrypted = encrypted_path(path)
    if not encrypted.is_file() or (path.is_file() and path != encrypted):
        return _open(path, "linkage")
    from fesf.scripts.data.encrypted_table import decrypt  # cryptography: what the analyst runs does without it
    from fesf.scripts.data.keys import load_secret

    content = decrypt(encrypted.read_bytes(), load_secret(secret_file))
    return io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", newline="")


def read_linkage(path: str | Path, secret_file: str | Path | None = None) -> dict[str, dict[str, str]]:
    """Read ``linkage.csv``, which hide.json writes into the hospital folder.

    Args:
        path: table with the columns id, row, patient, study, label (class name, may be empty) and split. Where there is
            only ``linkage.csv.enc`` it is read instead.
        secret_file: the hospital's secret for an encrypted one; None reads the environment.

    Returns:
        Rows by id, in the table's order.

    Raises:
        LinkError: when the table lacks a column, or an id is malformed or there twice.
        ValueError: when it is encrypted and the secret does not fit.
    """
    forbid_core_dumps()
    rows: dict[str, dict[str, str]] = {}
    with _open_linkage(Path(path), secret_file) as file:
        header, records = _table(file, "linkage")
        _need(header, LINKAGE_COLUMNS, "linkage")
        for number, record in records:
            if not _ID.fullmatch(record["id"]) or record["id"] in rows:
                raise LinkError(f"Row {number} of linkage: its id is not 32 hex digits, or there twice. {UNSHOWN}")
            if record["split"] not in SECTIONS:
                raise LinkError(f"Row {number} of linkage: its split is none of {', '.join(SECTIONS)}. {UNSHOWN}")
            rows[record["id"]] = {column: record[column] for column in LINKAGE_COLUMNS}
    if not rows:
        raise LinkError("linkage has no rows: it is not the file that hide.json wrote.")
    return rows


def _classes(header: Sequence[str], labels: set[str]) -> list[str]:
    names = [column.removeprefix(PREFIX) for column in header if column.startswith(PREFIX)]
    if not 2 <= len(names) <= MAX_CLASSES:
        raise LinkError(f"predictions has {len(names)} columns {PREFIX}<class>: at least 2 are needed.")
    for name in names:
        if name not in labels and (not name or _UNSAFE.search(name)):
            raise LinkError(
                f"predictions has the class name {name!r}: it is empty, a formula, or holds control characters."
            )
    unknown = sorted(labels - set(names))
    if unknown:
        raise LinkError(
            f"The cohort's label {unknown[0]!r} is not among the predicted classes ({', '.join(names)}): these "
            "predictions are of another task."
        )
    return names


def _probabilities(record: dict[str, str], names: Sequence[str], number: int) -> tuple[float, ...]:
    values = []
    for name in names:
        cell = record[PREFIX + name]
        try:
            value = float(cell)
        except ValueError:
            value = math.nan
        if not 0.0 <= value <= 1.0:  # False for NaN
            raise LinkError(f"Row {number} of predictions: {PREFIX}{name} is {cell[:40]!r}, not a number in [0, 1].")
        values.append(value)
    if abs(sum(values) - 1.0) > SUM_TOLERANCE:
        raise LinkError(f"Row {number} of predictions: the probabilities sum to {sum(values):.4g}, not to 1.")
    return tuple(values)


def read_predictions(path: str | Path, linkage: dict[str, dict[str, str]]) -> tuple[list[str], dict[str, Prediction]]:
    """Read and check ``predictions.csv``; other columns than id, p_<class> and decision are left behind.

    Args:
        path: the table.
        linkage: from :func:`read_linkage`.

    Returns:
        Class names and the predictions by id.

    Raises:
        LinkError: when a column is missing, an id is unknown (ids are named: they are keyed) or there twice, a
            probability is not finite or outside [0, 1], a row does not sum to 1, or a decision is no class.
    """
    found: dict[str, Prediction] = {}
    unknown: list[str] = []
    with _open(path, "predictions") as file:
        header, records = _table(file, "predictions")
        _need(header, ("id", "decision"), "predictions")
        names = _classes(header, {row["label"] for row in linkage.values() if row["label"]})
        index = {name: position for position, name in enumerate(names)}
        for number, record in records:
            identity = record["id"]
            if identity not in linkage:
                unknown.append(identity[:64])
                if len(unknown) > SHOWN:  # enough to say; the rest of the file is not read
                    break
                continue
            if identity in found:
                raise LinkError(f"Row {number} of predictions: the id {identity} is there twice.")
            if record["decision"] not in index:
                raise LinkError(f"Row {number} of predictions: the decision {record['decision'][:40]!r} is no class.")
            found[identity] = Prediction(_probabilities(record, names, number), index[record["decision"]])
    if unknown:
        more = ", ..." if len(unknown) > SHOWN else ""
        raise LinkError(
            f"predictions names ids that linkage does not know: {', '.join(map(repr, unknown[:SHOWN]))}{more}. Use the "
            "linkage.csv of the release that was predicted."
        )
    if not found:
        raise LinkError("predictions has no rows.")
    return names, found


def join(predictions: str | Path, linkage: str | Path, secret_file: str | Path | None = None) -> Linked:
    """Join the two tables; images without a prediction are left out.

    Args:
        predictions: path of ``predictions.csv``.
        linkage: path of ``linkage.csv``, or of ``linkage.csv.enc``.
        secret_file: the hospital's secret for an encrypted linkage; None reads the environment.

    Raises:
        LinkError: see :func:`read_linkage` and :func:`read_predictions`.
    """
    rows = read_linkage(linkage, secret_file)
    names, found = read_predictions(predictions, rows)
    return Linked(names, [(row, found[identity]) for identity, row in rows.items() if identity in found])
