"""Make a demo cohort of synthetic chest radiographs and a host pool: ``python -m fesf.scripts.make_demo --out DIR``.

Nothing is downloaded and no picture shows a person: see :mod:`fesf.scripts.data.anatomy`. The folder holds

- ``cohort.csv``: image, label ("normal" or "opacity"), patient, study, sex, site; one row an image, sorted by image;
- ``images/``: the cohort's pictures, numbered in an order that follows neither patient nor label;
- ``hosts/``: the public host pool, other synthetic people without a finding, from a random stream of its own;
- ``secret``: the demo's secret, which follows from the seed and says that it is a demo's;
- ``README.txt``: says that all of it is synthetic;
- with ``--export`` also ``export/`` and ``labels.csv``: the same films as DICOM, as a PACS would give them, for
  :mod:`fesf.scripts.make_cohort`; needs the extra ``hospital``.

The same options give the same bytes, and one patient's anatomy follows from the seed and the patient's number alone.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from fesf.scripts.data.anatomy import SEXES, draw_anatomy
from fesf.scripts.data.demo_export import write_export
from fesf.scripts.data.keys import DEMO_SECRET_PREFIX, DEMO_TITLE
from fesf.scripts.data.phantom import (
    MAX_SIZE,
    MIN_SIZE,
    SITES,
    draw_opacities,
    draw_view,
    render,
    scale_opacities,
)

CLASS_NAMES = ("normal", "opacity")
COLUMNS = ("image", "label", "patient", "study", "sex", "site")
README_TITLE = DEMO_TITLE
SICK_SHARE = 0.7  # share of patients who have opacities in at least one study
_COHORT_STREAM, _HOST_STREAM, _ORDER_STREAM = 0, 1, 2


@dataclass(frozen=True)
class Film:
    """One picture of the cohort and its row."""

    pixels: NDArray[np.uint8]
    label: str
    patient: str
    study: str
    sex: str
    site: str


def draw_course(rng: np.random.Generator) -> list[tuple[int, float]]:
    """A patient's films: (number of the study, severity), severity 0 for no finding.

    Two to four films in one to four studies. A sick patient has opacities in an unbroken run of studies, at least one:
    pneumonia is found, treated and clears, so that the studies before and after are normal. One study's films agree;
    over a run the same opacities come back, denser or fainter. Sickness depends on neither sex nor site.
    """
    count = int(rng.integers(2, 5))
    studies = np.concatenate([[0], np.cumsum(rng.random(count - 1) < 0.6)]).astype(int)
    total = int(studies[-1]) + 1
    first = int(rng.integers(total))
    last = int(rng.integers(first, total))
    severities = rng.uniform(0.85, 1.15, size=total)
    sick = rng.random() < SICK_SHARE
    return [(int(s), float(severities[s]) if sick and first <= s <= last else 0.0) for s in studies]


def _eight_bit(film: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.round(film * 255.0).astype(np.uint8)


def make_patient(seed: int, number: int, size: int) -> list[Film]:
    """All films of one patient of the cohort.

    Args:
        seed: the demo's seed.
        number: the patient's number, from 0.
        size: picture side in pixels.
    """
    rng = np.random.default_rng([seed, _COHORT_STREAM, number])
    sex, site = SEXES[rng.integers(len(SEXES))], SITES[rng.choice(len(SITES), p=(0.5, 0.3, 0.2))]
    anatomy = draw_anatomy(rng, sex)
    opacities = draw_opacities(rng, anatomy)
    films = []
    for study, severity in draw_course(rng):
        finding = scale_opacities(opacities, severity) if severity else ()
        pixels = _eight_bit(render(anatomy, draw_view(rng, site), size, finding))
        patient = f"P{number + 1:05d}"
        films.append(Film(pixels, CLASS_NAMES[bool(severity)], patient, f"{patient}-{study + 1}", sex, site))
    return films


def make_host(seed: int, number: int, size: int) -> NDArray[np.uint8]:
    """One public host: a synthetic person without a finding, from a random stream apart from the cohort's."""
    rng = np.random.default_rng([seed, _HOST_STREAM, number])
    anatomy = draw_anatomy(rng, SEXES[rng.integers(len(SEXES))])
    return _eight_bit(render(anatomy, draw_view(rng, SITES[rng.integers(len(SITES))]), size))


def demo_secret(seed: int) -> str:
    """The demo's secret: anybody can make it from the seed, and its beginning says so."""
    return DEMO_SECRET_PREFIX + hashlib.sha256(f"fesf demo cohort, seed {seed}".encode()).hexdigest()


def _readme(patients: int, size: int, seed: int, hosts: int) -> str:
    return (
        f"{README_TITLE}\n\n"
        f"Made by python -m fesf.scripts.make_demo --patients {patients} --size {size} --seed {seed} --hosts {hosts}\n"
        "from simple shapes and a random generator. No picture shows a person, alive or dead, and nothing that is\n"
        "measured on them says how well anything works, or how private it is, on real films.\n\n"
        "cohort.csv  image, label (normal or opacity), patient, study, sex, site\n"
        "images/     the cohort's pictures (label opacity: added shadows inside the lungs)\n"
        "hosts/      the public host pool: other synthetic people, no finding, nobody of the cohort\n"
        "secret      a secret for the demo only: anybody can make it from the seed. Never use it for a real release\n"
    )


def _save(pixels: NDArray[np.uint8], path: Path) -> None:
    Image.fromarray(pixels).save(path, format="PNG", compress_level=6)


def _write(folder: Path, patients: int, size: int, seed: int, hosts: int, progress: bool) -> None:
    for name in ("images", "hosts", "drawn"):
        (folder / name).mkdir()
    rows: list[tuple[str, ...]] = []
    with tqdm(total=patients + hosts, unit="person", desc="make_demo", disable=not progress) as bar:
        for number in range(patients):
            for film in make_patient(seed, number, size):
                _save(film.pixels, folder / "drawn" / str(len(rows)))
                rows.append((film.label, film.patient, film.study, film.sex, film.site))
            bar.update()
        for number in range(hosts):
            _save(make_host(seed, number, size), folder / "hosts" / f"{number + 1:04d}.png")
            bar.update()
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(COLUMNS)
    order = np.random.default_rng([seed, _ORDER_STREAM]).permutation(len(rows))
    for number, index in enumerate(order):
        image = f"images/{number + 1:06d}.png"
        (folder / "drawn" / str(index)).rename(folder / image)
        writer.writerow([image, *rows[index]])
    (folder / "drawn").rmdir()
    (folder / "cohort.csv").write_text(table.getvalue(), encoding="utf-8")
    (folder / "README.txt").write_text(_readme(patients, size, seed, hosts), encoding="utf-8")
    descriptor = os.open(folder / "secret", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as stream:
        stream.write(demo_secret(seed) + "\n")


def _check(patients: int, size: int, seed: int, hosts: int) -> None:
    limits = {
        "patients": (patients, 2, 99_999),
        "size": (size, MIN_SIZE, MAX_SIZE),
        "seed": (seed, 0, 2**32 - 1),
        "hosts": (hosts, 1, 9_999),
    }
    for name, (value, low, high) in limits.items():
        if not low <= value <= high:
            raise ValueError(f"{name} {value} is outside {low} to {high}: choose a whole number in that range.")


def _check_out(out: Path, overwrite: bool) -> None:
    if not out.exists():
        return
    if not out.is_dir():
        raise ValueError(f"out {str(out)!r} is a file: name a folder that is missing or empty.")
    if not any(out.iterdir()):
        return
    readme = out / "README.txt"
    is_demo = readme.is_file() and readme.read_text(encoding="utf-8", errors="replace").startswith(README_TITLE)
    if not is_demo:
        raise ValueError(f"out {str(out)!r} holds other files: name a folder that is missing or empty.")
    if not overwrite:
        raise ValueError(f"out {str(out)!r} already holds a demo cohort: name another folder, or say --overwrite.")


def make_demo(
    out: str | Path,
    patients: int = 240,
    size: int = 64,
    seed: int = 0,
    hosts: int = 48,
    overwrite: bool = False,
    progress: bool = False,
    export: bool = False,
) -> Path:
    """Write a demo cohort; the folder appears when it is complete, or not at all.

    Args:
        out: folder to make: missing or empty, or with ``overwrite`` an earlier demo cohort, which is then replaced.
        patients: number of patients, 2 to 99999; each has two to four pictures.
        size: picture side in pixels, 32 to 1024; another size shows the same people.
        seed: 0 to 2**32 - 1; the same options give the same bytes.
        hosts: number of public hosts, 1 to 9999.
        overwrite: replace an earlier demo cohort.
        progress: show a progress bar on the standard error stream.
        export: also write the films as an export of a PACS, see :mod:`fesf.scripts.data.demo_export`.

    Returns:
        Path of the written ``cohort.csv``.

    Raises:
        ValueError: for an option outside its range, or a folder that holds anything else.
    """
    _check(patients, size, seed, hosts)
    out = Path(out).absolute()
    _check_out(out, overwrite)
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))  # private (0700) and on the same file system
    try:
        made = work / "made"
        made.mkdir()
        _write(made, patients, size, seed, hosts, progress)
        if export:
            write_export(made)
        if out.exists():
            out.rename(work / "earlier")
        made.rename(out)
    finally:
        shutil.rmtree(work)
    return out / "cohort.csv"


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of :func:`make_demo`."""
    parser = argparse.ArgumentParser(
        prog="python -m fesf.scripts.make_demo",
        description="Make a demo cohort of SYNTHETIC chest radiographs and a public host pool. Nothing is downloaded.",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to make (missing or empty)")
    parser.add_argument(
        "--patients", type=int, default=240, help="patients, 2 to 4 pictures each (default: %(default)s)"
    )
    parser.add_argument(
        "--size", type=int, default=64, help=f"picture side, {MIN_SIZE} to {MAX_SIZE} (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="same seed, same bytes (default: %(default)s)")
    parser.add_argument("--hosts", type=int, default=48, help="pictures in the public host pool (default: %(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier demo cohort in DIR")
    parser.add_argument(
        "--export", action="store_true", help="also write export/ (DICOM, as from a PACS) and labels.csv"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    options = parser.parse_args(arguments)
    try:
        cohort = make_demo(
            options.out,
            patients=options.patients,
            size=options.size,
            seed=options.seed,
            hosts=options.hosts,
            overwrite=options.overwrite,
            progress=not options.quiet,
            export=options.export,
        )
    except (ValueError, OSError) as error:
        parser.error(str(error))
    print(f"Synthetic demo cohort written: {cohort}", file=sys.stdout)


if __name__ == "__main__":
    main()
