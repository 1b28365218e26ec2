"""Plaintext against surrogates on public images: ``python -m fesf.scripts.reproduce``.

Each run of each set hides a cohort, trains on the surrogates and on the plaintexts with the same splits, network and
seed, evaluates both, and leaves a file behind that says so; a repeated command does only what is missing. The table
goes to ``results.csv`` and ``results.md``.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import sys
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigWorkflow
from tqdm import tqdm

from fesf.scripts.data.cohort import class_names
from fesf.scripts.data.files import SHARED, to_json, write_atomic
from fesf.scripts.data.provenance import provenance
from fesf.scripts.data.public_sets import SETS, write_cohort
from fesf.scripts.data.results import ARMS, read_outcome
from fesf.scripts.data.results_page import SetResult, write_page, write_table
from fesf.scripts.data.run_folder import configs_folder
from fesf.scripts.make_demo import make_demo

DEMO, DEMO_SEEDS = "demo", 3
QUICK_EPOCHS = 3


@dataclass(frozen=True)
class Job:
    """One fold or seed of one set.

    Args:
        name: the set.
        run: fold, or number of the seed.
        source: folder of the set; empty for the demo.
        folder: where its files go.
        epochs: training epochs; None for train.json's own.
    """

    name: str
    run: int
    source: str
    folder: str
    epochs: int | None

    @property
    def image_size(self) -> tuple[int, int]:
        """Size of the surrogates."""
        return (64, 64) if self.name == DEMO else SETS[self.name].image_size

    @property
    def key(self) -> str:
        """Digest of all that decides the outcome: the settings and the configs."""
        texts = [(configs_folder() / f"{name}.json").read_text() for name in ("hide", "train", "plaintext", "evaluate")]
        settings = {name: value for name, value in asdict(self).items() if name in ("name", "run", "epochs")}
        return hashlib.sha256(to_json([settings, *texts])).hexdigest()


def run_job(job: Job) -> None:
    """Hide, train and evaluate, both arms; writes ``done.json`` last."""
    torch.set_num_threads(1)
    folder, key = Path(job.folder), job.key  # the key of what is read now, should a config change meanwhile
    folder.mkdir(parents=True, exist_ok=True)
    with _logged(folder / "log.txt"):
        withdrawn = 0
        if job.name == DEMO:
            make_demo(folder / "cohort", seed=job.run, overwrite=True, progress=False)
        else:
            withdrawn = write_cohort(SETS[job.name], Path(job.source), folder / "cohort", job.run)
        _hide(job, folder)
        cohort = folder / "cohort" / "cohort.csv"
        names = class_names(cohort)
        own = {"num_classes": len(names), "seed": job.run, "device": "$torch.device('cpu')"}
        if job.epochs is not None:
            own["epochs"] = job.epochs
        surrogate = own | {"dataset_dir": str(folder / "store")}
        splits = folder / "hospital" / "splits.csv"
        plain = own | {"cohort": str(cohort), "splits": str(splits), "image_size": list(job.image_size)}
        for arm, ids, overlay in (("plaintext", plain, ["plaintext"]), ("ihm", surrogate, [])):
            ids = ids | {"output_dir": str(folder / arm), "ckpt_dir": str(folder / arm / "models")}
            _workflow(["train", *overlay], "training", ids)
            _workflow(["train", "evaluate", *overlay], "evaluating", ids)
        clipped = json.loads((folder / "hospital" / "release.json").read_text())["clipped_share"]
        done = {"key": key, "class_names": names, "clipped_share": clipped, "withdrawn": withdrawn}
        write_atomic(folder / "done.json", to_json(done))


def _hide(job: Job, folder: Path) -> None:
    secret = folder / "secret"
    if not secret.is_file():
        write_atomic(secret, os.urandom(32).hex().encode())
    for name in ("store", "hospital"):  # of a run that was cut short, perhaps under other settings
        shutil.rmtree(folder / name, ignore_errors=True)
    paths = {
        "cohort": folder / "cohort" / "cohort.csv",
        "hosts_dir": folder / "cohort" / "hosts",
        "secret_file": secret,
    }
    places = {"store_dir": folder / "store", "hospital_dir": folder / "hospital"}
    ids: dict[str, Any] = {name: str(path) for name, path in (paths | places).items()}
    _workflow(["hide"], "hiding", ids | {"image_size": list(job.image_size), "device": "$torch.device('cpu')"}, "infer")


def _workflow(configs: Sequence[str], run_id: str, ids: dict[str, Any], kind: str = "train") -> None:
    paths = [str(configs_folder() / f"{name}.json") for name in configs]
    workflow = ConfigWorkflow(paths, workflow_type=kind, run_id=run_id, logging_file=False, **ids)
    workflow.initialize()
    workflow.run()
    workflow.finalize()


@contextlib.contextmanager
def _logged(path: Path) -> Iterator[None]:
    """Send what this process prints, its libraries included, to a file; an error's text goes there too."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    with open(path, "w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        try:
            yield
        except Exception:
            traceback.print_exc()
            raise
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(kept[0], 1)
            os.dup2(kept[1], 2)
            os.close(kept[0])
            os.close(kept[1])


def is_done(job: Job) -> bool:
    """Whether the job was done with the settings and configs of now."""
    path = Path(job.folder) / "done.json"
    return path.is_file() and json.loads(path.read_text())["key"] == job.key


def result(name: str, jobs: Sequence[Job]) -> SetResult:
    """What the finished jobs of one set found."""
    done = [json.loads((Path(job.folder) / "done.json").read_text()) for job in jobs]
    pairs = []
    for job, item in zip(jobs, done, strict=True):
        folder = Path(job.folder)
        linkage, names = folder / "hospital" / "linkage.csv", item["class_names"]
        plain, hidden = (read_outcome(folder / arm / "predictions_test.csv", linkage, names) for arm in ARMS)
        pairs.append((plain, hidden))
    clipped = [item["clipped_share"]["mean"] for item in done]
    seeds, unit = (True, "patients") if name == DEMO else (SETS[name].own_splits, SETS[name].unit)
    return SetResult(name, seeds, pairs, clipped, done[0]["withdrawn"], unit)


def plan(shared: Path, work: Path, names: Sequence[str], quick: bool) -> list[Job]:
    """All jobs.

    Args:
        shared: folder that holds ``data/``.
        work: where the runs go.
        names: sets to run.
        quick: one run a set and three epochs, to see that everything works; its figures mean nothing.

    Raises:
        ValueError: when a set is unknown or absent.
    """
    jobs = []
    for name in names:
        source = "" if name == DEMO else str(shared / "data" / name)
        if source and not Path(source).is_dir():
            raise ValueError(f"{name} is not there: set --shared or FESF_SHARED to the folder that holds data/.")
        runs = DEMO_SEEDS if name == DEMO else SETS[name].runs
        for run in range(1 if quick else runs):
            folder = str(work / ("quick" if quick else "full") / name / str(run))
            jobs.append(Job(name, run, source, folder, QUICK_EPOCHS if quick else None))
    return jobs


def run_jobs(jobs: Sequence[Job], workers: int) -> list[str]:
    """Do what is missing, side by side; returns a line for each job that failed."""
    pending = [job for job in jobs if not is_done(job)]
    os.environ["OMP_NUM_THREADS"] = "1"  # two processes with two threads each take several times longer
    failed = []
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        running = {pool.submit(run_job, job): job for job in pending}
        for future in tqdm(as_completed(running), total=len(pending), desc="Runs"):
            job, error = running[future], future.exception()
            if error is not None:
                failed.append(f"{job.name} run {job.run}: {error} (see {job.folder}/log.txt)")
    return failed


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m fesf.scripts.reproduce", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--shared", default=os.environ.get("FESF_SHARED", "../shared"), help="folder that holds data/")
    parser.add_argument("--work", default="run/reproduce", help="where the runs go (default: %(default)s)")
    parser.add_argument("--out", default="docs", help="where the tables go (default: %(default)s)")
    parser.add_argument("--metadata", help="metadata.json whose eval_metrics the demo's figures go to")
    parser.add_argument("--sets", nargs="+", choices=[DEMO, *SETS], default=[DEMO, *SETS], help="default: all")
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="one run a set, three epochs: a check, not a result")
    options = parser.parse_args(arguments)
    try:
        jobs = plan(Path(options.shared), Path(options.work), options.sets, options.quick)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    failed = run_jobs(jobs, options.jobs)
    for line in failed:
        print(f"error: {line}", file=sys.stderr)
    if failed:
        return 1
    flags = " --quick" if options.quick else ""
    flags += f" --sets {' '.join(options.sets)}" if len(options.sets) <= len(SETS) else ""
    results = [result(name, [job for job in jobs if job.name == name]) for name in options.sets]
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    page = write_page(results, provenance("python -m fesf.scripts.reproduce" + flags))
    write_atomic(out / "results.csv", write_table(results), SHARED)
    write_atomic(out / "results.md", page, SHARED)
    demo = [item for item in results if item.name == DEMO]
    if options.metadata and demo and not options.quick:
        path = Path(options.metadata)
        metadata = json.loads(path.read_text()) | {"eval_metrics": demo[0].means()}
        write_atomic(path, (json.dumps(metadata, indent=4) + "\n").encode(), SHARED)
    print(page.decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
