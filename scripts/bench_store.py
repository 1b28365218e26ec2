"""What opening and checking a store costs: ``python -m fesf.scripts.bench_store`` writes ``docs/bench_store.json``.

A made-up store of 64-pixel noise. Opening (reading the documents, comparing the folder with the manifest) and the
digests that every read takes are compared with an epoch of ``train.json`` on all of its images; ``verify_store`` is
timed as a command, with its start.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fesf.scripts.bench_pipeline import time_epochs, workflow
from fesf.scripts.data.files import SHARED, to_json, write_atomic
from fesf.scripts.data.provenance import load_average, provenance
from fesf.scripts.data.store import LoadImageStored, class_names, encode_image, load_datalist
from fesf.scripts.data.store_format import DATASET, FORMAT, IMAGES, MANIFEST, MODIFIED, VERSION, clear_cache

COMMAND = "python -m fesf.scripts.bench_store"
MOST = {"open_share": 0.05, "verify_s": 10.0}
VALIDATION = 32


def make_store(folder: Path, images: int, size: int = 64) -> Path:
    """A store of noise: ``images`` for training, a few more for validation, two classes.

    Args:
        folder: where; it must not exist.
        images: number of training images.
        size: picture side.
    """
    (folder / IMAGES).mkdir(parents=True)
    generator, encoding = np.random.default_rng(0), {"type": "png", "bits": 8}
    names = sorted(
        f"{IMAGES}/{hashlib.sha256(str(n).encode()).hexdigest()[:32]}.png" for n in range(images + VALIDATION)
    )
    files = {}
    for name in names:
        content = encode_image(generator.random((1, size, size)), encoding)
        (folder / name).write_bytes(content)
        files[name] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    items = [{"image": name, "label": number % 2} for number, name in enumerate(names)]
    sections = {"training": items[VALIDATION:], "validation": items[:VALIDATION], "test": []}
    dataset = to_json({"class_names": ["a", "b"]} | sections)
    write_atomic(folder / DATASET, dataset, SHARED)
    files[DATASET] = {"sha256": hashlib.sha256(dataset).hexdigest(), "size": len(dataset)}
    manifest = {"format": FORMAT, "version": VERSION, "spatial_size": [size, size], "encoding": encoding}
    write_atomic(folder / MANIFEST, to_json(manifest | {"commitment": "0" * 64, "files": files}), SHARED)
    for place, _, held in os.walk(folder, topdown=False):
        for path in (*(os.path.join(place, name) for name in held), place):
            os.utime(path, (MODIFIED, MODIFIED))
    return folder


def open_store(store: Path) -> LoadImageStored:
    """What a training does with a store before its first image."""
    clear_cache()
    load_datalist(store, "training")
    load_datalist(store, "validation")
    class_names(store)
    return LoadImageStored("image", store)


def take_digests(store: Path) -> None:
    """Read every image and take its SHA-256, as the loader does, without decoding it."""
    for path in (store / IMAGES).iterdir():
        hashlib.sha256(path.read_bytes()).digest()


def read_all(store: Path) -> None:
    """Read every image, nothing else."""
    for path in (store / IMAGES).iterdir():
        path.read_bytes()


def _seconds(action: Callable[[Path], Any], store: Path, repeats: int) -> float:
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        action(store)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def _epoch(store: Path, out: Path) -> float:
    ids: dict[str, Any] = {"dataset_dir": str(store), "output_dir": str(out), "ckpt_dir": str(out)}
    ids |= {"epochs": 2, "cache_rate": 0.0, "tensorboard": False}
    run = workflow(["train"], "training", "train", ids)
    epochs = time_epochs(run.parser.get_parsed_content("train#trainer"))
    run.run()
    return epochs[-1]


def measure(store: Path, work: Path, repeats: int) -> dict[str, Any]:
    """Times in seconds and the verdicts.

    Args:
        store: the store.
        work: folder for what the training writes.
        repeats: of each short measurement; the median counts.
    """
    found = {
        "open_s": _seconds(open_store, store, repeats),
        "digests_s": _seconds(take_digests, store, repeats) - _seconds(read_all, store, repeats),
        "epoch_s": _epoch(store, work / "out"),
    }
    command = [sys.executable, "-m", "fesf.scripts.verify_store", str(store)]
    found["verify_s"] = _seconds(lambda _: subprocess.run(command, check=True, capture_output=True), store, repeats)
    share = (found["open_s"] + found["digests_s"]) / found["epoch_s"]
    rounded: dict[str, Any] = {name: round(value, 3) for name, value in found.items()}
    rounded["open_share"] = round(share, 4)
    meets = share <= MOST["open_share"] and found["verify_s"] <= MOST["verify_s"]
    return rounded | {"at_most": MOST, "meets": meets}


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--out", default="docs", help="where bench_store.json goes (default: %(default)s)")
    parser.add_argument("--images", type=int, default=10_000, help="images of the store (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="repeats of a measurement (default: %(default)s)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    logging.disable(logging.INFO)
    load = load_average()
    with tempfile.TemporaryDirectory() as name:
        store = make_store(Path(name) / "store", options.images)
        found = measure(store, Path(name), options.repeats)
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    document = {**provenance(COMMAND), "threads": 1, "images": options.images, "repeats": options.repeats, **found}
    document["load_average"] = [load, load_average()]
    write_atomic(out / "bench_store.json", to_json(document), SHARED)
    print(to_json(found).decode())


if __name__ == "__main__":
    main()
