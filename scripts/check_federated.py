"""Federated learning from end to end: ``python -m fesf.scripts.check_federated --out docs``.

Two hospitals hide their halves of a set. FedAvg over the two stores runs by MONAI's client in this process and by
``nvflare simulator`` on the same stores from the same weights: the last global weights must agree, and so must what
they predict. Everything that the server's folder holds is searched for the stores. Writes ``federated.json``: what was
sent, what came back, and how long it took. Ends non-zero where a check fails. Runs where NVFLARE is (``make
federated``).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from fesf.scripts.data.grid import DEMO
from fesf.scripts.data.platform_check import PlatformCheck, write_page
from fesf.scripts.data.public_sets import SETS
from fesf.scripts.data.store import load_datalist
from fesf.scripts.federated.averaging import largest_difference, to_arrays, to_state
from fesf.scripts.federated.hospitals import Choice
from fesf.scripts.federated.job import GLOBAL_MODEL, allow, write_job
from fesf.scripts.federated.rounds import State
from fesf.scripts.federated.simulation import FEDERATED, Federation, federations

PACKAGES = ("fesf", "monai", "torch", "numpy", "nvflare", "monai-nvflare")
TOLERANCE = 1e-6
"""Of a weight and of a probability: the arithmetic is the same, and two parts give one sum in either order."""
MOVED = 1e-2
"""A training moves some weight by more than this."""
NVFLARE = "nvflare"
SECONDS = 3600
SHARE, SIZE = 0.6, 32
WORKSPACE, LOG = "workspace", "simulator.log"


class FederatedCheck(PlatformCheck):
    """The check of the first run of each set.

    Args:
        work: an empty folder.
        template: recipes, rounds and the like.
        sets: names.
        shared: folder that holds ``data/``.
    """

    def __init__(self, work: Path, template: Federation, sets: Sequence[str], shared: Path) -> None:
        super().__init__(work)
        self.jobs = federations(sets, shared, self.work, template, runs=1)

    def run(self) -> dict[str, Any]:
        """Each set in turn; returns what was sent and what came back."""
        return {"sets": {job.name: self.compare(job) for job in self.jobs}}

    def compare(self, job: Federation) -> dict[str, Any]:
        """One federation both ways."""
        job.folder.mkdir(parents=True)
        initial = self._timed(f"{job.name}: hiding", job.prepare)
        ours = self._timed(f"{job.name}: in this process", lambda: job.train(FEDERATED, initial))
        theirs = self._timed(f"{job.name}: nvflare simulator", lambda: self.simulate(job, initial))
        job.evaluate(NVFLARE, theirs)
        one, other = (job.outcomes(arm)["both"] for arm in (FEDERATED, NVFLARE))
        difference = largest_difference(ours.weights, theirs)
        probabilities = float(abs(one.probabilities - other.probabilities).max())
        accepted = log_of(job).count("ACCEPTED by the aggregator")
        files, hits = search(job, "server")
        _, at_site = search(job, job.hospitals[0].name)
        checks = {
            "the last global weights agree": difference <= TOLERANCE,
            "so do the predictions on the test images": probabilities <= TOLERANCE,
            "the training moved the weights": largest_difference(initial, theirs, counters=False) > MOVED,
            "the server took every site's part in every round": accepted == len(job.hospitals) * job.rounds,
            "nothing of a store on the server": not hits,
            "the same search finds the store's folder at a site": bool(at_site),
        }
        self.checks |= {f"{job.name}: {name}": passed for name, passed in checks.items()}
        return {
            "images": job.images(),
            "rounds": job.rounds,
            "local_epochs": job.local_epochs,
            "steps": ours.steps,
            "sent": {
                "tensors": len(initial),
                "bytes_each_way_a_round_and_site": sum(array.nbytes for array in to_arrays(initial).values()),
                "parts_taken": accepted,
            },
            "largest_difference": {"weights": difference, "probabilities": probabilities, "tolerance": TOLERANCE},
            "auc": {arm: float(found.metrics()["auc"][0]) for arm, found in ((FEDERATED, one), (NVFLARE, other))},
            "searched": {"files_on_the_server": files, "hits": hits, "hits_at_a_site": at_site},
        }

    def simulate(self, job: Federation, initial: State) -> State:
        """The federation by NVFLARE's simulator; returns the last global weights.

        Raises:
            RuntimeError: when it does not end well.
        """
        folder, workspace = job.folder / "job", job.folder / WORKSPACE
        stores = {own.name: own.store for own in job.hospitals}
        write_job(folder, stores, job.rounds, job.local_epochs, initial, job.ids)
        allow(folder, workspace)
        command = [str(Path(sys.executable).with_name("nvflare")), "simulator", str(folder), "-w", str(workspace)]
        command += ["-n", str(len(stores)), "-t", str(len(stores))]
        with open(job.folder / LOG, "wb") as log:
            status = self._execute(command, log)
        if status or not (workspace / GLOBAL_MODEL).is_file():
            raise RuntimeError(f"nvflare simulator ended with {status}: {log_of(job)[-2000:]}")
        state = torch.load(workspace / GLOBAL_MODEL, weights_only=True)["model"]
        return to_state(to_arrays(state), initial)

    def _execute(self, command: Sequence[str], log: Any) -> int:
        return subprocess.run(
            command, stdout=log, stderr=subprocess.STDOUT, env=self.environment, timeout=SECONDS, check=False
        ).returncode


def log_of(job: Federation) -> str:
    """What the simulator printed."""
    return (job.folder / LOG).read_text(errors="replace")


def search(job: Federation, place: str) -> tuple[int, list[str]]:
    """Every byte in a folder of the workspace, for the stores' folders and for the id of any image.

    Returns:
        The number of files, and the names of those in which something was found.
    """
    sought = [str(own.store).encode() for own in job.hospitals]
    sought += [item["id"].encode() for own in job.hospitals for item in load_datalist(own.store, "all")]
    files = [path for path in (job.folder / WORKSPACE / place).rglob("*") if path.is_file()]
    hits = {path.name for path in files if any(text in path.read_bytes() for text in sought)}
    return len(files), sorted(hits)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m fesf.scripts.check_federated", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for federated.json")
    parser.add_argument("--sets", nargs="+", choices=[DEMO, *SETS], default=[DEMO], help="sets (default: demo)")
    parser.add_argument("--shared", default=os.environ.get("FESF_SHARED", "../shared"), help="folder that holds data/")
    parser.add_argument("--patients", type=int, default=40, help="of the demo (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="of the federation (default: %(default)s)")
    parser.add_argument("--local-epochs", type=int, default=2, help="of each round (default: %(default)s)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    template = Federation(
        DEMO, 0, "", "", (Choice(0.1, 0.5), Choice(0.15, 0.6)), options.rounds, options.local_epochs, SHARE,
        options.patients, SIZE,
    )  # fmt: skip
    command = f"python -m fesf.scripts.check_federated --out docs --sets {' '.join(options.sets)}"
    command += f" --patients {options.patients} --rounds {options.rounds} --local-epochs {options.local_epochs}"
    try:
        return write_page(
            lambda work: FederatedCheck(work, template, options.sets, Path(options.shared)),
            Path(options.out) / "federated.json",
            command,
            PACKAGES,
        )
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
