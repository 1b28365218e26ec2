"""The page of the search for canaries, from its file of figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

INTRODUCTION = """\
A made-up export of a PACS goes through every stage, and whatever leaves the hospital, lies at the analyst's, or was
printed or left behind by a command is searched for each of its markers in each form. Each text element of the DICOM
dictionary occurs in it, and private elements, nested sequences, overlays, curves, thumbnails, invalid values, names of
files and folders, names in eleven scripts, the user and the host. Logging is at DEBUG, all warnings are shown, and
faults are forced into each stage, some of which make a library quote the patient."""

QUICK = """\


**This is a quick run**: without the generator, a release, MLflow, the joined predictions and the report, and with one
forced failure alone, that of hiding. `make canaries` does it all."""

TRUSTED = """\
Not searched, since they name patients or show plaintexts by their purpose and stay in the hospital: the export,
`labels.csv`, `cohort.csv` with its volumes, the hospital's folder (`linkage.csv`, `splits.csv`, `quarantine.csv`,
`release.json`, journals, the generator, the classifier on plaintexts), the joined predictions, the report. Of the
hospital's commands the output, the home, the caches and the temporary and working folders are searched; the path of the
hospital's folder, which the operator types, may stand in their output and nowhere else.

An age of four characters (AS) is too short to be unique and is marked by an invalid one only; binary numbers (US, FD,
...) hold no text and no marker. A run of fewer than 95 bytes of an array can be missed, flat background is not looked
for, and neither are forms that are not listed: an encryption, a transliteration, what remains of a plaintext in a
surrogate's amplitudes. This page says how many identifiers were found, not that surrogates are anonymous
([limits](../README.md#privacy))."""


def page(result: Mapping[str, Any]) -> str:
    """The page in Markdown.

    Args:
        result: what :mod:`fesf.scripts.canaries` measured, with its provenance.
    """
    machine, proof = result["machine"], result["planted"]
    parts = [
        "# Canaries: what leaks",
        INTRODUCTION + QUICK * result["quick"],
        f"Written by `{result['command']}` at commit {result['commit']}, seed {result['seed']}, on"
        f" {machine['processor']}, {machine['cores']} cores. The figures are [canaries.json](canaries.json)'s.",
        f"**Found: {result['found']}.** Planted, one of each form and one in each kind of container:"
        f" {proof['planted']}, of which found: {proof['found']}. In the hospital's own tables, where they belong, the"
        f" same search finds {result['found_in_the_hospitals_own_tables']} markers.",
        _table(
            "place searched | files | bytes | bytes inside containers | not opened | found", _places(result["places"])
        ),
        "## Markers",
        f"{result['files']} files, {result['arrays']} arrays of pixels, {result['needles']} needles in"
        f" {len(result['forms'])} forms.",
        _table("kind of marker | number", result["markers"].items()),
        _table("transfer syntax | files", result["transfer_syntaxes"].items()),
        "Forms: " + "; ".join(result["forms"]) + ".",
        "## Commands",
        "\n".join(f"- {stage}" for stage in result["stages"]),
        "## What stays, and what the search cannot see",
        TRUSTED,
    ]
    return "\n\n".join(parts) + "\n"


def _places(places: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    keys = ("files", "bytes", "bytes_in_containers")
    rows = []
    for name, place in places.items():
        rows.append((name, *(place[key] for key in keys), sum(place["not_opened"].values()), place["found"]))
    return rows


def _table(header: str, rows: Any) -> str:
    columns = header.split(" | ")
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return "\n".join(
        "| " + " | ".join(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in line) + " |" for line in lines
    )
