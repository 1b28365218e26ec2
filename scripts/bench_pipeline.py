"""What the workflows cost: ``python -m fesf.scripts.bench_pipeline`` writes ``docs/bench_pipeline.json``.

Ratios, each of arms measured in turn in the same run: hiding against the same pipeline with the identity in its place,
an epoch on surrogates against one on plaintexts, the later stages of the pipeline against hiding once (a generator has
no reference of its own: its cost is stated), and the memory of hiding 10,000 images against 1,000.
"""

from __future__ import annotations

import argparse
import csv
import logging
import os
import resource
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
from monai.bundle import ConfigWorkflow

from fesf.networks import EnhancementGenerator, SurrogateNet
from fesf.networks.surrogate import STAGES
from fesf.scripts.data.cohort import CohortRow
from fesf.scripts.data.files import SHARED, to_json, write_atomic
from fesf.scripts.data.phase import PhaseCheck
from fesf.scripts.data.provenance import load_average, provenance
from fesf.scripts.data.release import Release
from fesf.scripts.data.run_folder import configs_folder
from fesf.scripts.make_demo import make_demo

COMMAND = "python -m fesf.scripts.bench_pipeline"
MOST = {"hide": 1.15, "epoch": 1.05, "memory_mb": 20.0}


class BenchRelease(Release):
    """A release that times the identity too: the phase check is computed and not heeded, and nothing is published."""

    seconds = 0.0
    processor_seconds = 0.0

    def add(self, row: CohortRow, content: bytes, clipped: float, check: PhaseCheck) -> None:
        """Write as :meth:`Release.add` does, whatever the check found."""
        super().add(row, content, clipped, PhaseCheck(1.0, 0.0))

    def run(self, hide: Callable[[], Any], host_sha256: str) -> None:
        """Time the engine alone, without a process's start."""

        def timed() -> None:
            start, began = time.perf_counter(), time.process_time()
            hide()
            self.seconds, self.processor_seconds = time.perf_counter() - start, time.process_time() - began

        super().run(timed, host_sha256)

    def _publish(self, host_sha256: str) -> None:
        shutil.rmtree(self.folders.partial)
        shutil.rmtree(self.folders.hospital_dir)


def workflow(configs: Sequence[str], run_id: str, kind: str, ids: dict[str, Any]) -> ConfigWorkflow:
    """A bundle workflow on the CPU, ready to run."""
    paths = [str(configs_folder() / f"{name}.json") for name in configs]
    ids = {"device": "$torch.device('cpu')"} | ids
    made = ConfigWorkflow(paths, workflow_type=kind, run_id=run_id, logging_file=False, **ids)
    made.initialize()
    return made


def hide_ids(folder: Path, size: int) -> dict[str, Any]:
    """Ids of hide.json for a demo cohort in ``folder``."""
    return {
        "cohort": str(folder / "cohort.csv"),
        "hosts_dir": str(folder / "hosts"),
        "secret_file": str(folder / "secret"),
        "store_dir": str(folder / "out" / "store"),
        "hospital_dir": str(folder / "hospital"),
        "image_size": [size, size],
    }


def bench_hide(work: Path, size: int, patients: int, repeats: int) -> dict[str, Any]:
    """Seconds an image of the hide workflow, with the IHM and with the identity, and the median of paired ratios."""
    folder = work / f"hide-{size}"
    make_demo(folder, patients=patients, size=size)
    images = len(list((folder / "images").iterdir()))
    ids = hide_ids(folder, size) | {"release#_target_": "fesf.scripts.bench_pipeline.BenchRelease"}
    arms = {"ihm": {}, "identity": {"network_def": {"_target_": "torch.nn.Identity"}}}
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    for repeat in range(repeats + 1):  # the first warms up
        for name in sorted(arms, reverse=bool(repeat % 2)):
            run = workflow(["hide"], "hiding", "infer", ids | arms[name])
            run.run()
            if repeat:
                seconds[name].append(run.parser.get_parsed_content("release").seconds / images)
    ratios = [first / second for first, second in zip(seconds["ihm"], seconds["identity"], strict=True)]
    times = {f"{name}_ms": round(1000 * statistics.median(values), 3) for name, values in seconds.items()}
    return {"size": size, "images": images} | times | _verdict(statistics.median(ratios), MOST["hide"])


def bench_epoch(work: Path, cache_rate: float, patients: int, repeats: int) -> dict[str, Any]:
    """Seconds of a training epoch on surrogates and on plaintexts of the same cohort, and the median paired ratio."""
    folder = work / f"epoch-{cache_rate}"
    make_demo(folder, patients=patients)
    workflow(["hide"], "hiding", "infer", hide_ids(folder, 64)).run()
    own = {"epochs": 3, "cache_rate": cache_rate, "tensorboard": False}
    splits = str(folder / "hospital" / "splits.csv")
    arms: dict[str, tuple[list[str], dict[str, Any]]] = {
        "surrogate": (["train"], {"dataset_dir": str(folder / "out" / "store")}),
        "plaintext": (["train", "plaintext"], {"cohort": str(folder / "cohort.csv"), "splits": splits}),
    }
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    for repeat in range(repeats):
        for name in sorted(arms, reverse=bool(repeat % 2)):
            configs, ids = arms[name]
            places = {"output_dir": str(folder / name), "ckpt_dir": str(folder / name)}
            run = workflow(configs, "training", "train", ids | own | places)
            epochs = time_epochs(run.parser.get_parsed_content("train#trainer"))
            run.run()
            seconds[name].append(statistics.median(epochs[1:]))
    ratios = [first / second for first, second in zip(seconds["surrogate"], seconds["plaintext"], strict=True)]
    times = {f"{name}_s": round(statistics.median(values), 3) for name, values in seconds.items()}
    return {"cache_rate": cache_rate} | times | _verdict(statistics.median(ratios), MOST["epoch"])


def bench_stages(size: int, repeats: int, batch: int = 4) -> dict[str, Any]:
    """Milliseconds an image of the pipeline up to each stage, and the median ratio to hiding once.

    Args:
        size: picture side.
        repeats: measurements of each stage, in turn.
        batch: images of a measurement.
    """
    generator = EnhancementGenerator(2).eval()
    images = torch.rand(batch + 1, 1, size, size, generator=torch.Generator().manual_seed(0))
    networks = {stage: SurrogateNet(images[0], 0.1, 0.5, generator, stage=stage).eval() for stage in STAGES}
    seconds: dict[str, list[float]] = {stage: [] for stage in STAGES}
    with torch.no_grad():
        for repeat in range(repeats + 1):  # the first warms up
            for stage, network in networks.items():
                start = time.perf_counter()
                network(images[1:])
                if repeat:
                    seconds[stage].append((time.perf_counter() - start) / batch)
    found: dict[str, Any] = {"size": size}
    for stage, values in seconds.items():
        found[f"{stage}_ms"] = round(1000 * statistics.median(values), 3)
        ratios = [value / once for value, once in zip(values, seconds["synthetic"], strict=True)]
        found[f"{stage}_ratio"] = round(statistics.median(ratios), 1)
    return found


def time_epochs(trainer: Engine) -> list[float]:
    """Seconds of each epoch's iterations, without the validation that follows; filled while the trainer runs."""
    started, epochs = [0.0], []

    def begin() -> None:
        started[0] = time.perf_counter()

    def end(engine: Engine) -> None:
        if engine.state.iteration % (engine.state.epoch_length or 1) == 0:
            epochs.append(time.perf_counter() - started[0])

    trainer.add_event_handler(Events.EPOCH_STARTED, begin)
    trainer.add_event_handler(Events.ITERATION_COMPLETED, end)
    return epochs


def bench_memory(work: Path, counts: Sequence[int]) -> dict[str, Any]:
    """Peak resident memory of one hide process at each number of images, in MB."""
    peaks = {}
    for count in counts:
        folder = work / f"memory-{count}"
        make_demo(folder, patients=20)
        _multiply(folder, count)
        ids = hide_ids(folder, 64)  # texts and numbers: its repr is Python
        code = f"from fesf.scripts.bench_pipeline import hide_and_measure; hide_and_measure({ids!r})"
        printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
        peaks[str(count)] = float(printed.split()[-1])
        shutil.rmtree(folder)
    growth = round(peaks[str(counts[-1])] - peaks[str(counts[0])], 1)
    return {
        "peak_mb": peaks,
        "growth_mb": growth,
        "at_most_mb": MOST["memory_mb"],
        "meets": growth <= MOST["memory_mb"],
    }


def hide_and_measure(ids: dict[str, Any]) -> None:
    """Hide, and print this process's peak resident memory in MB as the last word."""
    workflow(["hide"], "hiding", "infer", ids).run()
    print(peak_memory())


def peak_memory() -> float:
    """This process's peak resident memory in MB; on Linux without what it inherited from the one that started it."""
    status = Path("/proc/self/status")
    if status.is_file():
        # getrusage's maximum survives exec: a small child of a large parent would report the parent's.
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _multiply(folder: Path, count: int) -> None:
    """A cohort of ``count`` images by linking the demo's under new names."""
    files = sorted((folder / "images").iterdir())
    with open(folder / "cohort.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("image", "label", "patient"))
        for number in range(count):
            link = folder / "images" / f"copy-{number:06d}.png"
            os.link(files[number % len(files)], link)
            writer.writerow((f"images/{link.name}", number % 2, f"P{number // 3}"))


def _verdict(ratio: float, most: float) -> dict[str, Any]:
    return {"ratio": round(ratio, 3), "at_most": most, "meets": ratio <= most}


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--out", default="docs", help="where bench_pipeline.json goes (default: %(default)s)")
    parser.add_argument("--patients", type=int, default=60, help="patients of the timed cohorts (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=7, help="paired repeats (default: %(default)s)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 256, 512], help="picture sides of the hide bench")
    parser.add_argument("--counts", type=int, nargs=2, default=[1000, 10000], help="images of the memory bench")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    logging.disable(logging.INFO)
    load = load_average()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        found = {
            **provenance(COMMAND),
            "threads": 1,
            "seed": 0,
            "repeats": options.repeats,
            "hide": [bench_hide(work, size, options.patients, options.repeats) for size in options.sizes],
            "epoch": [bench_epoch(work, rate, options.patients, options.repeats) for rate in (1.0, 0.0)],
            "stages": [bench_stages(size, options.repeats) for size in options.sizes],
            "memory": bench_memory(work, options.counts),
            "load_average": [load, load_average()],
        }
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    write_atomic(out / "bench_pipeline.json", to_json(found), SHARED)
    print(to_json({name: found[name] for name in ("hide", "epoch", "stages", "memory")}).decode())


if __name__ == "__main__":
    main()
