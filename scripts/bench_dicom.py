"""What DICOM costs: ``python -m fesf.scripts.bench_dicom`` writes two files into ``docs``.

``bench_dicom.json``: the throughput of hiding at 224 pixels against that of the same reading, windowing, resizing and
writing with neither the IHM nor the checks that it needs, both measured in turn, in one process and with a loader
process beside it that reads (``num_workers``). ``bench_dicom_day.json``: a day's
load, 2,000 full-size radiographs, measured on 200 and scaled: the time, the share of each step, and the memory after 20
and after 200. ``--only`` measures one of them.

All images are synthetic (:mod:`fesf.scripts.data.radiographs`), a few files that the cohorts name again and again, or
come with pydicom; ``--folder`` adds DICOM files of your own. They lie in a temporary folder that is removed. With
``--mask-text`` (the extra ``text``) it is a day's load alone, its text covered: ``docs/bench_dicom_text.json``.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.utils import CommonKeys

from fesf.networks import EnhancementGenerator
from fesf.scripts.bench_pipeline import BenchRelease, hide_ids, peak_memory, workflow
from fesf.scripts.data.cohort import CohortError, LoadImageCohortd
from fesf.scripts.data.files import SHARED, to_json, write_atomic
from fesf.scripts.data.phase import PhaseCheck
from fesf.scripts.data.provenance import PACKAGES, load_average, provenance
from fesf.scripts.data.radiographs import CT_SIDES, SYNTAXES, make_link_cohort, make_radiographs
from fesf.scripts.data.step_times import profile
from fesf.scripts.data.store import encode_image
from fesf.scripts.engines.surrogate_writer import SurrogateWriter
from fesf.transforms import load_image
from fesf.transforms.dicom_reader import is_dicom

COMMAND = "python -m fesf.scripts.bench_dicom"
SIZE = 224
LEAST = 0.85
MOST_MB = 20.0
DAY = 2000
EARLY = 20
"""Images after which memory is looked at for the first time."""
READERS = ("pydicom", "pylibjpeg", "pylibjpeg-libjpeg", "pylibjpeg-openjpeg", "pylibjpeg-rle")
FILES = {"throughput": "bench_dicom", "day": "bench_dicom_day"}
ARMS: dict[str, dict[str, Any]] = {
    "hide": {},
    "plain": {
        "network_def": {"_target_": "torch.nn.Identity"},
        "writer#_target_": "fesf.scripts.bench_dicom.PlainWriter",
    },
}


class PlainWriter(SurrogateWriter):
    """Writes what was read, with none of the checks that hiding needs."""

    def __call__(self, engine: Engine) -> None:
        """Encode and hand over the images of this iteration."""
        batch: Any = engine.state.batch
        images = engine.state.output[CommonKeys.PRED]["synthetic"]  # type: ignore[index]
        for image, index, spacing in zip(images, batch["index"].tolist(), batch["spacing"].tolist(), strict=True):
            content = encode_image(image.numpy(), self.release.recipe.encoding, spacing)
            self.release.add(self.release.pending[index], content, 0.0, PhaseCheck(1.0, 0.0))


def ids_of(folder: Path, rule: str | None) -> dict[str, Any]:
    """Ids of hide.json for a cohort of DICOM in ``folder`` whose surrogates nobody gets."""
    own = {"release#_target_": "fesf.scripts.bench_pipeline.BenchRelease", "intensity_range": rule}
    return hide_ids(folder, SIZE) | own


def bench_ratio(
    work: Path, files: Sequence[Path], images: int, repeats: int, rule: str | None, workers: int = 0
) -> dict[str, Any]:
    """Throughput of hiding as a share of that of the same work without it, images of equal number, in turn.

    Args:
        work: folder to work in.
        files: DICOM files.
        images: how many a measurement reads.
        repeats: measurements of each arm; one more warms up.
        rule: intensity rule.
        workers: loader processes of both arms; with one, an image is read while the one before is hidden.

    Returns:
        The median of paired ratios of wall time with its smallest and largest, that of processor time (None with loader
        processes, whose time is not in it), and milliseconds an image of each arm.
    """
    make_link_cohort(work / "ratio", files, images, SIZE)
    wall: dict[str, list[float]] = {name: [] for name in ARMS}
    processor: dict[str, list[float]] = {name: [] for name in ARMS}
    for repeat in range(repeats + 1):
        for name in sorted(ARMS, reverse=bool(repeat % 2)):
            ids = ids_of(work / "ratio", rule) | ARMS[name] | {"num_workers": workers}
            run = workflow(["hide"], "hiding", "infer", ids)
            run.run()
            release: BenchRelease = run.parser.get_parsed_content("release")
            if repeat:
                wall[name].append(release.seconds)
                processor[name].append(release.processor_seconds)
    shutil.rmtree(work / "ratio")
    ratios = [plain / hidden for hidden, plain in zip(wall["hide"], wall["plain"], strict=True)]
    median = statistics.median(ratios)
    processor_ratio = statistics.median(processor["plain"]) / statistics.median(processor["hide"])
    return {
        "num_workers": workers,
        "images": images,
        **{f"{name}_ms": round(1000 * statistics.median(values) / images, 2) for name, values in wall.items()},
        "throughput_ratio": round(median, 3),
        "spread": [round(min(ratios), 3), round(max(ratios), 3)],
        "processor_ratio": None if workers else round(processor_ratio, 3),
        "at_least": LEAST,
        "meets": median >= LEAST,
    }


def usable(folder: Path) -> dict[str, list[Path]]:
    """The folder's DICOM files whose first frame hide.json takes without a window: "shrunk" and "enlarged" ones."""
    loader = LoadImageCohortd("image", (SIZE, SIZE))
    found: dict[str, list[Path]] = {"shrunk": [], "enlarged": []}
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and is_dicom(path)):
        try:
            loader({"image": str(path), "frame": 0})
            sides = load_image(path, frame=0).shape[1:3]
        except CohortError:
            continue
        found["shrunk" if min(sides) >= SIZE else "enlarged"].append(path)
    return {kind: paths for kind, paths in found.items() if paths}


def bench_day(work: Path, syntax: str, images: int, iqem: bool, mask_text: bool = False) -> dict[str, Any]:
    """A part of a day's load in a process of its own, scaled to :data:`DAY` images.

    Args:
        work: folder that holds the radiographs under the syntax's name; see :func:`make_radiographs`.
        syntax: how they are stored.
        images: how many are hidden.
        iqem: with a generator and a second pass.
        mask_text: find text and cover it.
    """
    files = sorted((work / syntax).iterdir())
    folder = work / "day"
    make_link_cohort(folder, files, images, SIZE)
    ids = ids_of(folder, "window") | {"mask_text": mask_text}
    if iqem:
        torch.manual_seed(0)
        torch.save(EnhancementGenerator(2).state_dict(), folder / "generator.pt")  # untrained, which takes as long
        ids["generator_file"] = str(folder / "generator.pt")
    code = f"from fesf.scripts.bench_dicom import hide_and_profile; hide_and_profile({ids!r})"
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    shutil.rmtree(folder)
    found = json.loads(printed.splitlines()[-1])
    total, wall = found["seconds"].pop("total"), found["wall_s"]
    early, late = found["peak_mb"]
    return {
        "syntax": syntax,
        "iqem": iqem,
        "mask_text": mask_text,
        "images": images,
        "distinct_files": len(files),
        "mean_file_mb": round(statistics.mean(path.stat().st_size for path in files) / 1e6, 2),
        "image_ms": round(1000 * wall / images, 1),
        "image_processor_ms": round(1000 * total / images, 1),
        "day_minutes": round(wall / images * DAY / 60, 1),
        "day_processor_minutes": round(total / images * DAY / 60, 1),
        "share": {step: round(seconds / total, 4) for step, seconds in found["seconds"].items()},
        "peak_mb": {str(EARLY): round(early, 1), str(images): round(late, 1)},
        "growth_mb": round(late - early, 1),
        "at_most_mb": MOST_MB,
        "meets": late - early <= MOST_MB,
    }


def hide_and_profile(ids: dict[str, Any]) -> None:
    """Hide under a profile and print, as one line of JSON, the seconds of each step and this process's peak memory."""
    torch.set_num_threads(1)
    run = workflow(["hide"], "hiding", "infer", ids)
    release: BenchRelease = run.parser.get_parsed_content("release")
    evaluator: Engine = run.parser.get_parsed_content("evaluator")
    peaks: list[float] = []
    batches = math.ceil(EARLY / run.parser.get_parsed_content("hide_batch_size"))
    evaluator.add_event_handler(Events.ITERATION_COMPLETED(once=batches), lambda: peaks.append(peak_memory()))
    seconds: dict[str, float] = {}
    inner: Callable[[], Any] = evaluator.run
    release.run(lambda: seconds.update(profile(inner)), "")
    peaks.append(peak_memory())
    print(json.dumps({"seconds": seconds, "wall_s": release.seconds, "peak_mb": peaks}))


def measure(work: Path, options: argparse.Namespace) -> dict[str, Any]:
    """All figures that are asked for; see the module."""
    for syntax in options.syntaxes:
        make_radiographs(work / syntax, syntax)
    if options.mask_text:
        return {"day": [bench_day(work, syntax, options.day, False, True) for syntax in options.syntaxes]}
    found: dict[str, Any] = {}
    if options.only != "day":
        found["throughput"] = bench_throughput(work, options)
    if options.only != "throughput":
        asked = [(syntax, iqem) for syntax in options.syntaxes for iqem in (False, True)]
        found["day"] = [bench_day(work, syntax, options.day, iqem) for syntax, iqem in asked]
    return found


def bench_throughput(work: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """:func:`bench_ratio` of every source of files."""
    import pydicom.data

    small = make_radiographs(work / "ct", "uncompressed", CT_SIDES)
    sources: dict[str, tuple[Sequence[Path], int, str | None]] = {
        "synthetic CT slices, 512 x 512, uncompressed": (small, options.images, "window"),
    }
    for syntax in options.syntaxes:
        films = sorted((work / syntax).iterdir())
        sources[f"synthetic radiographs, {syntax}"] = (films, len(films), "window")
    shipped = Path(pydicom.data.__file__).parent / "test_files"
    for name, folder in (("files that pydicom brings", shipped), ("files of --folder", options.folder)):
        for kind, files in usable(Path(folder)).items() if folder else ():
            sources[f"{name}, {kind}"] = (files, max(len(files), options.images), None)
    return [
        {"source": name, "files": len(files)} | bench_ratio(work, files, images, options.repeats, rule, workers)
        for name, (files, images, rule) in sources.items()
        for workers in options.num_workers
    ]


def as_given(parser: argparse.ArgumentParser, options: argparse.Namespace) -> str:
    """The command with each option that is not its default: a folder as DIR, no ``--out``, which changes no figure."""
    words = [COMMAND]
    for name, value in vars(options).items():
        if name == "out" or value == parser.get_default(name):
            continue
        words.append(f"--{name.replace('_', '-')}")
        if value is not True:
            words += ["DIR"] if name == "folder" else map(str, value if isinstance(value, list) else [value])
    return " ".join(words)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--out", default="docs", help="where the JSON goes (default: %(default)s)")
    parser.add_argument("--folder", metavar="DIR", help="folder of DICOM files of your own, for the throughput")
    parser.add_argument("--images", type=int, default=60, help="images of a throughput (default: %(default)s)")
    parser.add_argument(
        "--num-workers",
        nargs="+",
        type=int,
        default=[0, 1],
        help="loader processes of a throughput, one figure each (default: %(default)s)",
    )
    parser.add_argument("--repeats", type=int, default=7, help="paired repeats (default: %(default)s)")
    parser.add_argument("--day", type=int, default=200, help="images that a day is scaled from (default: %(default)s)")
    parser.add_argument(
        "--syntaxes",
        nargs="+",
        choices=SYNTAXES,
        default=["jpeg-2000", "jpeg-lossless"],
        help="how the radiographs are stored (default: %(default)s)",
    )
    parser.add_argument("--mask-text", action="store_true", help="measure a day's load with its text covered instead")
    parser.add_argument("--only", choices=("throughput", "day"), help="measure one of the two (default: both)")
    options = parser.parse_args(arguments)
    if options.day <= EARLY:
        parser.error(f"--day {options.day}: give more than {EARLY}, after which memory is looked at first.")
    torch.set_num_threads(1)
    logging.disable(logging.INFO)
    head = provenance(as_given(parser, options), PACKAGES + READERS) | {
        "threads": 1,
        "seed": 0,
        "repeats": options.repeats,
        "size": SIZE,
    }
    load, start = load_average(), time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        found = measure(Path(name), options)
    head |= {"load_average": [load, load_average()], "minutes": round((time.perf_counter() - start) / 60, 1)}
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    for part, figures in found.items():
        name = "bench_dicom_text" if options.mask_text else FILES[part]
        write_atomic(out / f"{name}.json", to_json(head | {part: figures}), SHARED)
    print(to_json(found).decode())


if __name__ == "__main__":
    main()
