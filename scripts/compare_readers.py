"""Compare our reading of DICOM with ITK's: ``python -m fesf.scripts.compare_readers FOLDER... --out TABLE``.

Ours is pydicom with pylibjpeg, and Pillow for JPEG Baseline; ITK reads with GDCM, which shares no decoder with them.
Both give modality values, MONOCHROME1 turned round, colour as BT.601 luma. Padding pixels, which only we mark, are left
out. The table names files: run it on public ones, or keep it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fesf.scripts.data.files import write_atomic
from fesf.scripts.data.provenance import provenance
from fesf.transforms import load_image
from fesf.transforms.dicom import is_image, stored_range
from fesf.transforms.dicom_reader import frame_count, is_dicom, quiet, read_header
from fesf.transforms.loading import LUMA

HEADER = ("file", "transfer syntax", "pixels", "bits", "frames", "largest difference", "of the range")


@dataclass(frozen=True)
class Comparison:
    """One file, read twice.

    Args:
        file: its name.
        syntax: transfer syntax.
        pixels: photometric interpretation.
        bits: bits stored; negative numbers are possible where it says "signed".
        frames: number of frames.
        difference: largest absolute difference, in the numbers that the file holds; None where a reader gives up.
        share: the same as a share of what the file can hold.
        note: which reader gave up; empty where none did.
    """

    file: str
    syntax: str
    pixels: str
    bits: str
    frames: int
    difference: float | None
    share: float | None
    note: str = ""


def compare(path: str | Path) -> Comparison | None:
    """Read a file twice; None where it is no DICOM image with a readable header."""
    if not is_dicom(path):
        return None
    try:
        header = read_header(path, pixels=True)
        if not is_image(header) or not header.get("BitsStored") or "PixelData" not in header:
            return None
        bits = f"{header.BitsStored}{' signed' if header.get('PixelRepresentation') else ''}"
        shown = (Path(path).name, header.file_meta.TransferSyntaxUID.name, str(header.PhotometricInterpretation), bits)
        frames = frame_count(header)
    except ValueError:
        return None
    try:
        ours = load_image(path, scale=False, padding=np.nan)[0].numpy().astype(np.float64)
    except ValueError:
        return Comparison(*shown, frames, None, None, "ours cannot decode it")
    theirs = _by_itk(path)
    if theirs is None:
        return Comparison(*shown, frames, None, None, "ITK cannot read it")
    low, high = stored_range(header)
    slope = abs(float(header.get("RescaleSlope") or 1.0))
    if header.PhotometricInterpretation == "PALETTE COLOR":  # ITK gives 8 bits whatever the palette has
        ours = ours * 255 / (2.0 ** int(header.RedPaletteColorLookupTableDescriptor[2]) - 1)
        low, high = 0.0, 255.0
    if ours.shape != theirs.shape:
        return Comparison(*shown, frames, None, None, "ITK reads another shape")
    difference = float(np.nanmax(np.abs(ours - theirs)))
    return Comparison(*shown, frames, difference, difference / ((high - low) * slope))


def _by_itk(path: str | Path) -> np.ndarray | None:
    """Values (x, y, frame) by ITK and GDCM; None where they give up."""
    import itk

    itk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        array = itk.array_from_image(itk.imread(str(path)))
    except (RuntimeError, KeyError, TypeError):
        return None
    if array.ndim == 4:
        array = array @ np.array(LUMA)
    return array.astype(np.float64).T


def table(rows: Iterable[Comparison]) -> str:
    """The rows as a Markdown table, then the largest difference of each transfer syntax."""
    rows = list(rows)
    lines = ["| " + " | ".join(HEADER) + " |", "| " + " | ".join("---" for _ in HEADER) + " |"]
    for row in rows:
        found = ("-", row.note) if row.difference is None else (f"{row.difference:.3g}", f"{row.share:.2g}")
        cells = (row.file, row.syntax, row.pixels, row.bits, str(row.frames), *found)
        lines.append("| " + " | ".join(cells) + " |")
    lines += [
        "",
        "| transfer syntax | files compared | largest difference | of the range |",
        "| --- | --- | --- | --- |",
    ]
    for syntax in sorted({row.syntax for row in rows}):
        of = [row for row in rows if row.syntax == syntax and row.difference is not None]
        if of:
            most, share = max(row.difference or 0.0 for row in of), max(row.share or 0.0 for row in of)
            lines.append(f"| {syntax} | {len(of)} | {most:.3g} | {share:.2g} |")
    return "\n".join(lines) + "\n"


def page(rows: Iterable[Comparison]) -> str:
    """The tables under a head that says what made them; the folders are left out, since paths can be names."""
    origin = provenance("python -m fesf.scripts.compare_readers FOLDER... --out FILE", PACKAGES)
    software = ", ".join(f"{name} {version}" for name, version in origin["software"].items())
    machine = origin["machine"]
    head = (
        f"Written by `{origin['command']}` at commit {origin['commit']} on {machine['processor']},"
        f" {machine['cores']} cores; {software}."
    )
    return "\n\n".join(["# DICOM, read by us and by ITK", head, NOTE, table(rows)])


NOTE = (
    "Differences are in the numbers that the file holds. ITK (GDCM) cuts 16-bit palette entries to 8 bits; JPEG"
    " decoders may round apart."
)
PACKAGES = ("fesf", "pydicom", "pylibjpeg", "pylibjpeg-libjpeg", "pylibjpeg-openjpeg", "pylibjpeg-rle", "itk")


def compare_folders(folders: Sequence[str | Path]) -> list[Comparison]:
    """Compare all files below folders, sorted by path within each."""
    files = [path for folder in folders for path in sorted(Path(folder).rglob("*")) if path.is_file()]
    with quiet():
        return [row for path in files if (row := compare(path)) is not None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of :func:`compare_folders`; 0 on success, 2 where there is nothing to compare."""
    parser = argparse.ArgumentParser(
        prog="python -m fesf.scripts.compare_readers",
        description="Read DICOM files twice, by pydicom and by ITK, and write the largest differences as a table.",
    )
    parser.add_argument("folders", nargs="+", metavar="FOLDER", help="folders of DICOM files")
    parser.add_argument(
        "--out", required=True, metavar="FILE", help="Markdown page to write (0600); it names the files"
    )
    options = parser.parse_args(arguments)
    rows = compare_folders(options.folders)
    compared = [row for row in rows if row.difference is not None]
    if not compared:
        print("error: the folders hold no DICOM image that both readers take.", file=sys.stderr)
        return 2
    write_atomic(options.out, page(rows).encode())
    share = max(row.share or 0.0 for row in compared)
    print(f"Compared {len(compared)} of {len(rows)} files; the largest difference is {100 * share:.3g} % of the range.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
