"""What a release costs beside hiding, by its size: ``python -m fesf.scripts.bench_scale`` writes ``docs/scale.md``.

Planning, journal, publication, opening and verifying, each in a process of its own on made-up cohorts of growing size
whose surrogates cost nothing, and what client and scheduler of a Dask cluster spend on an image. From the slope between
the two largest the page works out ten million images on paper.
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fesf.scripts.bench_pipeline import BenchRelease, hide_ids, peak_memory, workflow
from fesf.scripts.bench_store import open_store
from fesf.scripts.data.files import SHARED, to_json, write_atomic
from fesf.scripts.data.folders import LINKAGE
from fesf.scripts.data.phase import PhaseCheck
from fesf.scripts.data.provenance import PACKAGES, load_average, provenance
from fesf.scripts.data.recipe import Recipe
from fesf.scripts.data.release import Release
from fesf.scripts.data.scale_page import page
from fesf.scripts.data.store import encode_image
from fesf.scripts.data.store_format import DATASET, MANIFEST
from fesf.scripts.data.verify import verify_store
from fesf.scripts.make_demo import make_demo

COMMAND = "python -m fesf.scripts.bench_scale"
SIDE = 32  # pixels of the made-up surrogates: their bytes are read by the checks, and are no part of the question
IMAGES_OF_A_PATIENT = 4
SMALLEST = 80  # so that no split is empty
CLUSTER_SIDE = 224


def make_table(folder: Path, images: int) -> Path:
    """A cohort of names and nothing else: four images a patient, two labels, one study a patient."""
    folder.mkdir(parents=True)
    with open(folder / "cohort.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("image", "label", "patient", "study"))
        for number in range(images):
            patient = number // IMAGES_OF_A_PATIENT
            name = f"export/{patient:09d}/series-{patient:09d}/{number:09d}.dcm"
            writer.writerow((name, patient % 2, f"P{patient:09d}", f"S{patient:09d}"))
    secret = folder / "secret"
    secret.write_bytes(b"the secret of a bench, which hides nothing at all")
    secret.chmod(0o600)
    return folder


def publish(folder: Path) -> dict[str, Any]:
    """Plan and publish a release whose surrogates are noise; seconds of each part."""
    recipe = Recipe(release_id="scale", image_size=(SIDE, SIDE))
    start = time.perf_counter()
    release = Release(recipe, folder / "cohort.csv", folder / "store", folder / "hospital", folder / "secret")
    seconds, rng = {"plan": time.perf_counter() - start, "write": 0.0}, np.random.default_rng(0)

    def hide() -> None:
        for row in release.pending:
            content = encode_image(rng.random((1, SIDE, SIDE)), recipe.encoding)
            began = time.perf_counter()
            release.add(row, content, 0.0, PhaseCheck(1.0, 0.0))
            seconds["write"] += time.perf_counter() - began

        seconds["publish"] = -time.perf_counter()

    release.run(hide, "0" * 64)
    seconds["publish"] += time.perf_counter()
    return {"seconds": seconds}


def train_opens(folder: Path) -> dict[str, Any]:
    """Open the store as a training does."""
    start = time.perf_counter()
    open_store(folder / "store")
    return {"seconds": {"open": time.perf_counter() - start}}


def verify(folder: Path) -> dict[str, Any]:
    """Verify the store.

    Raises:
        RuntimeError: when it is not sound: its times would be another thing's.
    """
    start = time.perf_counter()
    if verify_store(folder / "store"):
        raise RuntimeError("The bench's store is not sound: its figures would mean nothing.")
    return {"seconds": {"verify": time.perf_counter() - start}}


def with_peak(step: Callable[[Path], dict[str, Any]], folder: Path) -> dict[str, Any]:
    """A step's seconds and the memory that it added to the process's."""
    torch.set_num_threads(1)
    before = peak_memory()
    return step(folder) | {"memory_mb": peak_memory() - before}


STEPS = {"client": publish, "training": train_opens, "verify_store": verify}


def measure_size(work: Path, images: int) -> dict[str, Any]:
    """Seconds, memory and documents of a release of so many images, each step in a process of its own."""
    folder = make_table(work / str(images), images)
    seconds: dict[str, float] = {}
    memory: dict[str, float] = {}
    for name, step in STEPS.items():
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            found = process.submit(with_peak, step, folder).result()
        seconds |= found["seconds"]
        memory[name] = found["memory_mb"]
    sizes = {name: (folder / "store" / name).stat().st_size for name in (MANIFEST, DATASET)}
    sizes[LINKAGE] = (folder / "hospital" / LINKAGE).stat().st_size
    return {"images": images, "seconds": seconds, "memory_mb": memory, "bytes": sizes}


@contextmanager
def cluster(folder: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A scheduler and one worker on the loopback, as processes: its address, and the two."""
    place = folder / "scheduler.json"
    environment = os.environ | {
        "DASK_DISTRIBUTED__WORKER__MEMORY__TARGET": "false",
        "DASK_DISTRIBUTED__WORKER__MEMORY__SPILL": "false",
        "FESF_SECRET_FILE": str(folder / "secret"),
        "OMP_NUM_THREADS": "1",
    }

    def start(command: Sequence[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=str(folder)
        )

    dask = [sys.executable, "-m", "dask"]
    shared = ["--scheduler-file", str(place), "--dashboard-address", "127.0.0.1:0"]
    scheduler = start([*dask, "scheduler", "--host", "127.0.0.1", "--port", "0", *shared])
    worker = start([*dask, "worker", "--nthreads", "1", "--no-nanny", "--host", "127.0.0.1", *shared])
    try:
        yield _address(place, scheduler), [scheduler, worker]
    finally:
        for process in (worker, scheduler):
            process.terminate()
            process.wait()


def _address(place: Path, scheduler: subprocess.Popen[bytes]) -> str:
    until = time.monotonic() + 60
    while time.monotonic() < until and scheduler.poll() is None:
        if place.is_file() and place.stat().st_size:
            return str(json.loads(place.read_bytes())["address"])
        time.sleep(0.1)
    raise RuntimeError("The bench's Dask scheduler did not start: see that the extra cluster is installed.")


def measure_cluster(work: Path, patients: int) -> dict[str, Any]:
    """Processor milliseconds that client, scheduler and worker spend on an image of 224 x 224, in and out of Dask."""
    import psutil  # type: ignore[import-untyped]  # Dask brings it

    folder = work / "cluster"
    make_demo(folder, patients=patients, size=CLUSTER_SIDE)
    images = len(list((folder / "images").iterdir()))
    ids = hide_ids(folder, CLUSTER_SIDE) | {"release#_target_": "fesf.scripts.bench_pipeline.BenchRelease"}

    def hide(**more: Any) -> BenchRelease:
        run = workflow(["hide"], "hiding", "infer", ids | more)
        run.run()
        release: BenchRelease = run.parser.get_parsed_content("release")
        return release

    alone = hide()
    with cluster(folder) as (address, processes):
        watched = [psutil.Process(process.pid) for process in processes]
        hide(scheduler=address)  # the worker imports what it needs
        before = [sum(process.cpu_times()[:2]) for process in watched]
        release = hide(scheduler=address)
        spent = [sum(process.cpu_times()[:2]) - start for process, start in zip(watched, before, strict=True)]
    each = {"client": release.processor_seconds, "scheduler": spent[0], "worker": spent[1]}
    each["one_process"] = alone.processor_seconds
    return {"images": images, "processor_ms": {name: 1000 * seconds / images for name, seconds in each.items()}}


def rounded(value: Any) -> Any:
    """Floats of a document to four significant digits."""
    if isinstance(value, dict):
        return {name: rounded(each) for name, each in value.items()}
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--out", default="docs", help="where scale.json and scale.md go (default: %(default)s)")
    parser.add_argument(
        "--images",
        nargs="+",
        type=int,
        default=[10_000, 50_000, 200_000],
        help="sizes of the releases, three or more, growing (default: %(default)s)",
    )
    parser.add_argument("--patients", type=int, default=200, help="of the cluster's cohort (default: %(default)s)")
    options = parser.parse_args(arguments)
    sizes = options.images
    if len(sizes) < 3 or sizes != sorted(set(sizes)) or sizes[0] < SMALLEST:
        shown = " ".join(map(str, sizes))
        parser.error(f"--images {shown}: give three sizes or more, growing, the first at least {SMALLEST}.")
    logging.disable(logging.INFO)
    torch.set_num_threads(1)
    given = "" if sizes == parser.get_default("images") else f" --images {' '.join(map(str, sizes))}"
    head: dict[str, Any] = provenance(COMMAND + given, (*PACKAGES, "distributed"))
    load = load_average()
    with tempfile.TemporaryDirectory() as name:
        found: dict[str, Any] = {"cluster": measure_cluster(Path(name), options.patients), "sizes": []}
        for size in sizes:
            found["sizes"].append(measure_size(Path(name), size))
            print(f"{size} images: measured.", flush=True)
    document = head | {"seed": 0, "load_average": [load, load_average()]} | rounded(found)
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    write_atomic(out / "scale.json", to_json(document), SHARED)
    write_atomic(out / "scale.md", page(document).encode(), SHARED)
    print(f"Wrote {out / 'scale.json'} and {out / 'scale.md'}.")


if __name__ == "__main__":
    main()
