"""Whether anything leaks: ``python -m fesf.scripts.canaries`` sends a made-up export through every stage and searches.

Each text, name, date, UID and pixel array of the export is a marker. Every command runs with debug logging and all
warnings on, and each stage again with faults forced into it. Then every byte that leaves the hospital, that the
analyst's side holds, and that a command printed or left in a temporary folder or cache is searched for each marker in
each form. What stays in the hospital by its purpose (cohort, linkage, report, ...) is not searched.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from fesf.scripts.canaries.page import page
from fesf.scripts.canaries.run import HOST, PLACE, USER, Course, StageError
from fesf.scripts.canaries.search import Found, Needles
from fesf.scripts.canaries.verdict import as_shown, document, kinds, needles_of, planted
from fesf.scripts.data.files import SHARED, to_json, write_atomic
from fesf.scripts.data.provenance import provenance

COMMAND = "python -m fesf.scripts.canaries"
FILES = 216
PACKAGES = ("fesf", "monai", "torch", "pydicom", "pylibjpeg", "mlflow", "tensorboard")


LOGS = "output and logs of the hospital's commands"
FOLDERS = "the hospital's home, caches, temporary and working folders"
ALLOWED = {LOGS: (PLACE,), FOLDERS: (PLACE, USER, HOST)}
"""Its operator types the path of the hospital's folder; libraries name temporary folders after the user."""


def places(course: Course) -> dict[str, list[Path]]:
    """What is searched, by what the page calls it."""
    model = course.analyst / "model"
    return {
        "store, archive and what failed releases left of them": [course.run.store, course.out],
        "the analyst's copy of the store": [course.analyst / "got", course.analyst / "altered"],
        "checkpoints, metrics, histories, TensorBoard, MLflow database and artefacts": [
            model, *sorted(course.analyst.glob("*train-*")), course.analyst / "broken",
        ],
        "predictions": [*sorted(course.analyst.glob("infer*"))],
        "the analyst's home, caches, temporary and working folders": [course.analyst / "zone"],
        "output and logs of the analyst's commands": [course.logs / "analyst"],
        LOGS: [course.logs / "hospital"],
        FOLDERS: [course.root / "zone"],
    }  # fmt: skip


def search_all(course: Course, needles: Needles) -> dict[str, Found]:
    """Search every place; of what may be said in one see :data:`ALLOWED`."""
    found = {}
    for name, roots in places(course).items():
        found[name] = Found()
        for root in roots:
            needles.search(root, found[name], str(root.relative_to(course.work)).replace(course.root.name, "hospital"))
        allowed = ALLOWED.get(name, ())
        found[name].hits = [hit for hit in found[name].hits if not hit.what.endswith(allowed)]
    return found


def control(course: Course, needles: Needles) -> int:
    """Markers that the search finds in the hospital's own tables, where they belong: it would find them elsewhere."""
    found = Found()
    for table in ("cohort.csv", "quarantine.csv", "hospital/linkage.csv", "hospital/splits.csv"):
        needles.search(course.root / table, found)
    return len({hit.what for hit in found.hits})


def measure(work: Path, files: int, seed: int, quick: bool = False, quiet: bool = False) -> dict[str, Any]:
    """Run and search; see the module.

    Args:
        work: an empty folder.
        files: DICOM files of the export.
        seed: of markers and pixels.
        quick: see :meth:`fesf.scripts.canaries.run.Course.go`.
        quiet: no line a stage.
    """
    course = Course(work, files, seed, say=(lambda _: None) if quiet else print)
    course.go(quick)
    listed = list(needles_of(course.export, as_shown(course.root / "cohort.csv", course.image_size)))
    needles = Needles(listed)
    found = search_all(course, needles)
    (work / "planted").mkdir()
    proof = planted(listed, work / "planted")
    stages = [f"{s.zone}: {s.name}{f' ({s.fault})' if s.fault else ''}: status {s.status}" for s in course.stages]
    total = sum(len(item.hits) for item in found.values())
    seen = control(course, needles)
    return {
        "files": len(course.export.files),
        "transfer_syntaxes": dict(sorted(course.export.syntaxes.items())),
        "markers": kinds(course.export.mint.made),
        "arrays": len({needle[2] for needle in listed if needle[1].startswith("pixels")}),
        "needles": len(needles),
        "forms": dict(sorted(Counter(needle[1] for needle in listed).items())),
        "stages": stages,
        "unexpected": course.unexpected,
        "places": {name: document(item) for name, item in found.items()},
        "found": total,
        "found_in_the_hospitals_own_tables": seen,
        "planted": proof,
        "clean": total == 0 and seen > 0 and not course.unexpected and not proof["missed"],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of :func:`measure`; 0 when nothing leaked and every planted marker was found, 1 otherwise."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--files", type=int, default=FILES, help="DICOM files of the export (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    parser.add_argument(
        "--quick", action="store_true", help="no generator, release, tracking or report, and one failure"
    )
    parser.add_argument("--out", metavar="DIR", help="write canaries.json and canaries.md there")
    parser.add_argument(
        "--work", metavar="DIR", help="an empty folder to work in and to keep (default: a temporary one)"
    )
    parser.add_argument("--quiet", action="store_true", help="no line a stage")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(options.work or temporary)
        work.mkdir(parents=True, exist_ok=True)
        if any(work.iterdir()):
            print("error: --work is not empty: name a new folder.", file=sys.stderr)
            return 2
        try:
            found = measure(work, options.files, options.seed, options.quick, options.quiet)
        except (StageError, ValueError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
    asked = f"{COMMAND} --files {options.files} --seed {options.seed}{' --quick' * options.quick}"
    result = {**provenance(asked, PACKAGES), "seed": options.seed, "quick": options.quick, **found}
    if options.out:
        Path(options.out).mkdir(parents=True, exist_ok=True)
        write_atomic(Path(options.out) / "canaries.json", to_json(result), SHARED)
        write_atomic(Path(options.out) / "canaries.md", page(result).encode(), SHARED)
    print(summary(found))
    return 0 if found["clean"] else 1


def summary(found: dict[str, Any]) -> str:
    """The result in lines: counts, and what was found where."""
    proof, places_ = found["planted"], found["places"]
    size = sum(place["bytes"] + place["bytes_in_containers"] for place in places_.values())
    lines = [
        f"{sum(found['markers'].values())} markers and {found['arrays']} arrays in {found['files']} files,"
        f" {len(found['stages'])} commands, {size} bytes searched: {found['found']} found."
        f" Planted: {proof['found']} of {proof['planted']} found."
    ]
    lines += [f"  {name}: {hit}" for name, place in places_.items() for hit in place["hits"]]
    lines += [f"  planted and missed: {name}" for name in proof["missed"]]
    return "\n".join([*lines, *(f"  {text}" for text in found["unexpected"])])


if __name__ == "__main__":
    sys.exit(main())
