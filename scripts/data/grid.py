"""The cells of the reproduction: what each job does, what it waits for, and when it counts as done.

A :class:`Source` makes one fold or seed of one set: cohort, IQEM, a store for each stage, image quality. A
:class:`Cell` trains and evaluates one network on one arm of it. Each runs the bundle's configs and leaves a
``done.json`` with a digest of all that decides its outcome; :mod:`fesf.scripts.data.studies` holds further jobs.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai.bundle import ConfigWorkflow

from fesf.scripts.data.cohort import class_names
from fesf.scripts.data.files import to_json, write_atomic
from fesf.scripts.data.lock import locked
from fesf.scripts.data.provenance import commit, machine_name
from fesf.scripts.data.public_sets import SETS, write_cohort
from fesf.scripts.data.run_folder import configs_folder
from fesf.scripts.engines.best_generator import RefusedGeneratorError
from fesf.scripts.engines.errors import first_cause
from fesf.scripts.make_demo import make_demo

DEMO, DEMO_SEEDS = "demo", 3
STAGES = {"ihm": "synthetic", "iqem": "enhanced", "full": "surrogate"}
"""Arms that a store serves, and the stage that it holds."""
ARMS = ("plaintext", *STAGES)
CNN = "cnn"
NETWORKS = (CNN, "densenet121", "resnet18", "resnet50", "efficientnet_b0", "seresnet50", "vit")
OTHER_EPOCHS = 10
"""Epochs of every network but the small CNN, for time: ten times its cost an epoch."""
UNCROPPED = ("efficientnet_b0", (32, 32))
"""A network that takes no fewer than 32 pixels, and the image size of which no crop is left."""
CPU = "$torch.device('cpu')"


def run_bundle(configs: Sequence[str], run_id: str, kind: str = "train", **ids: Any) -> None:
    """Run an id of the bundle's configs in this process."""
    paths = [str(configs_folder() / f"{name}.json") for name in configs]
    ids = {name: str(value) if isinstance(value, Path) else value for name, value in ids.items()}
    workflow = ConfigWorkflow(paths, workflow_type=kind, run_id=run_id, logging_file=False, device=CPU, **ids)
    workflow.initialize()
    workflow.run()
    workflow.finalize()


def refusal(kind: type[ValueError], configs: Sequence[str], run_id: str, workflow: str = "train", **ids: Any) -> str:
    """Run an id of the bundle's configs; returns why it was refused, nothing where it was not: a finding, too.

    Args:
        kind: error of ours that is such a refusal.
        configs: see :func:`run_bundle`, as the rest.
        run_id: the id.
        workflow: MONAI's type of it.
        ids: overrides.

    Raises:
        Exception: whatever else stops it.
    """
    try:
        run_bundle(configs, run_id, workflow, **ids)
    except Exception as error:
        cause = first_cause(error)
        if not isinstance(cause, kind):
            raise
        return str(cause)
    return ""


@dataclass(frozen=True)
class Job:
    """One piece of work in its own folder."""

    @property
    def title(self) -> str:
        """Name that ``--only`` matches: set/run/..."""
        raise NotImplementedError

    @property
    def folder(self) -> Path:
        """Where its files go."""
        raise NotImplementedError

    @property
    def settings(self) -> list[Any]:
        """All that decides the outcome, but the configs' text."""
        raise NotImplementedError

    @property
    def configs(self) -> tuple[str, ...]:
        """Names of the configs that it reads."""
        raise NotImplementedError

    @property
    def after(self) -> tuple[Job, ...]:
        """Jobs that must be done before."""
        return ()

    def work(self) -> dict[str, Any]:
        """Do it; returns what ``done.json`` shall hold."""
        raise NotImplementedError

    @property
    def key(self) -> str:
        """Digest of settings and configs."""
        texts = [(configs_folder() / f"{name}.json").read_text() for name in self.configs]
        return hashlib.sha256(to_json([type(self).__name__, self.settings, texts])).hexdigest()

    @property
    def is_done(self) -> bool:
        """Whether it was done with the settings and configs of now."""
        path = self.folder / "done.json"
        return path.is_file() and self.done["key"] == self.key

    @property
    def done(self) -> dict[str, Any]:
        """What :meth:`execute` left behind."""
        found: dict[str, Any] = json.loads((self.folder / "done.json").read_text())
        return found

    def execute(self) -> None:
        """Do the work and leave ``done.json``.

        Raises:
            ValueError: when another process does it.
        """
        key, state = self.key, commit()  # of what is read now, should a config change meanwhile
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder, f"{self.title} is being done by another process: wait for it, then run this again."):
            (self.folder / "done.json").unlink(missing_ok=True)
            origin = {"key": key, "commit": state, "machine": machine_name()}
            write_atomic(self.folder / "done.json", to_json(origin | self.work()))


@dataclass(frozen=True)
class Source(Job):
    """Cohort, IQEM, stores and image quality of one fold or seed of one set; no stores where the IQEM is refused.

    Args:
        name: the set.
        run: fold, or number of the seed.
        data: folder of the set; empty for the demo.
        root: folder of all runs.
        quick: a check instead of a result: few epochs.
    """

    name: str
    run: int
    data: str
    root: str
    quick: bool = False

    @property
    def title(self) -> str:
        return f"{self.name}/{self.run}/source"

    @property
    def folder(self) -> Path:
        return Path(self.root) / self.name / str(self.run)

    @property
    def settings(self) -> list[Any]:
        return [self.name, self.run, list(self.image_size), self.quick]

    @property
    def configs(self) -> tuple[str, ...]:
        return "enhance", "hide", "quality"

    @property
    def image_size(self) -> tuple[int, int]:
        """Size of plaintexts and surrogates."""
        return (64, 64) if self.name == DEMO else SETS[self.name].image_size

    @property
    def cohort(self) -> Path:
        """``cohort.csv``."""
        return self.folder / "cohort" / "cohort.csv"

    @property
    def hospital(self) -> Path:
        """The folder with splits and generator."""
        return self.folder / "hospital"

    def store(self, arm: str) -> Path:
        """Store of an arm."""
        return self.folder / "stores" / arm

    def release(self, arm: str) -> Path:
        """The hospital's folder of an arm's release."""
        return self.hospital / "releases" / arm

    def linkage(self, arm: str) -> Path:
        """``linkage.csv`` of an arm's release; the ids are the same in all, so the order of training is, too."""
        return self.release(arm) / "linkage.csv"

    @property
    def ids(self) -> dict[str, Any]:
        """What all hospital workflows of this run share."""
        return {
            "cohort": self.cohort,
            "hosts_dir": self.folder / "cohort" / "hosts",
            "image_size": list(self.image_size),
            "seed": self.run,
        }

    @property
    def content_weight(self) -> float:
        """The IQEM's lambda: enhance.json's own, or the quick check's."""
        own = json.loads((configs_folder() / "enhance.json").read_text()) | self.training_ids
        return float(own["content_weight"])

    @property
    def training_ids(self) -> dict[str, Any]:
        """What differs from enhance.json: a quick check moves the generator a little in a hundred iterations."""
        return {"epochs": 2, "iterations": 50, "averaging": 0.1, "content_weight": 2.0} if self.quick else {}

    def work(self) -> dict[str, Any]:
        withdrawn = self._make_cohort()
        for name in ("stores", "hospital"):  # of a run that was cut short, perhaps under other settings
            shutil.rmtree(self.folder / name, ignore_errors=True)
        refused = train_generator(hospital_dir=self.hospital, **self.ids, **self.training_ids)
        if refused:
            return {"refused": refused}
        generator = self.hospital / "iqem" / "generator.pt"
        shares = {}
        for arm, stage in STAGES.items():
            folder = self.release(arm)
            own = {"hospital_dir": folder, "store_dir": self.store(arm), "stage": stage}
            own |= {"secret_file": self.secret(), "previous_splits": self.hospital / "splits.csv"}
            own |= {} if arm == "ihm" else {"generator_file": generator}
            run_bundle(["hide"], "hiding", "infer", **self.ids, **own)
            shares[arm] = json.loads((folder / "release.json").read_text())["clipped_share"]["mean"]
        measure(self, self.hospital)
        return {
            "class_names": class_names(self.cohort),
            "withdrawn": withdrawn,
            "clipped_share": shares,
            "distance": json.loads((self.hospital / "iqem" / "distance.json").read_text()),
            "quality": json.loads((self.hospital / "quality.json").read_text()),
        }

    def _make_cohort(self) -> int:
        if self.name == DEMO:
            make_demo(self.folder / "cohort", seed=self.run, overwrite=True, progress=False)
            return 0
        return write_cohort(SETS[self.name], Path(self.data), self.folder / "cohort", self.run)

    def secret(self) -> Path:
        """File with the secret. It follows from set and run, so that another machine trains on the same ids in the same
        order; the sets are public, and their stores go nowhere."""
        path = self.folder / "secret"
        if not path.is_file():  # jobs side by side read it
            write_atomic(
                path, hashlib.sha256(f"fesf reproduction {self.name} {self.run}".encode()).hexdigest().encode()
            )
        return path


def train_generator(**ids: Any) -> str:
    """Run ``enhance.json``; returns why the generator is refused, see :func:`refusal`."""
    return refusal(RefusedGeneratorError, ["enhance"], "training", **ids)


def measure(source: Source, hospital: Path, **second: Any) -> None:
    """Run ``quality.json`` on a hospital folder with a trained generator; ``second`` goes to ``hide.json``."""
    own = {"hospital_dir": hospital, "generator_file": hospital / "iqem" / "generator.pt"}
    run_bundle(["hide", "quality"], "measuring", "infer", **source.ids, **own, **second)


@dataclass(frozen=True)
class OfSource(Job):
    """What is done with a fold or seed of a set once that is there."""

    source: Source

    @property
    def after(self) -> tuple[Job, ...]:
        return (self.source,)

    @property
    def is_void(self) -> bool:
        """Whether it cannot be done, since the source's generator was refused; asked once the source is done."""
        return "refused" in self.source.done

    @property
    def predictions(self) -> Path:
        """Predictions on the test images, of what trains."""
        return self.folder / "predictions_test.csv"


@dataclass(frozen=True)
class Cell(OfSource):
    """One network trained and evaluated on one arm of a source.

    Args:
        source: the fold or seed.
        network: one of :data:`NETWORKS`.
        arm: one of :data:`ARMS`.
    """

    network: str
    arm: str

    @property
    def title(self) -> str:
        return f"{self.source.name}/{self.source.run}/{self.network}/{self.arm}"

    @property
    def folder(self) -> Path:
        return self.source.folder / self.network / self.arm

    @property
    def settings(self) -> list[Any]:
        before = self.source.key if self.arm != "plaintext" else self.source.settings
        return [before, self.network, self.arm, self.training_ids]

    @property
    def training_ids(self) -> dict[str, Any]:
        """What differs from train.json, which the small CNN takes as it is: length, and crops of plaintexts."""
        if self.source.quick:
            return {"epochs": 2}
        epochs = {} if self.network == CNN else {"epochs": OTHER_EPOCHS}
        uncropped = self.arm == "plaintext" and (self.network, self.source.image_size) == UNCROPPED
        return epochs | ({"crop": 1.0} if uncropped else {})

    @property
    def overlays(self) -> list[str]:
        """Configs on top of train.json (and evaluate.json)."""
        network = [] if self.network == CNN else [f"networks/{self.network}"]
        return [*(["plaintext"] if self.arm == "plaintext" else []), *network]

    @property
    def configs(self) -> tuple[str, ...]:
        return "train", "evaluate", *self.overlays

    def metrics(self) -> dict[str, float]:
        """Test metrics, once it is done; those that are undefined are left out."""
        found = json.loads((self.folder / "metrics.json").read_text())["metrics"]
        return {name: metric["value"] for name, metric in found.items() if metric["value"] is not None}

    @property
    def training(self) -> dict[str, Any]:
        """Ids of its training."""
        source = self.source
        splits = {"splits": source.hospital / "splits.csv", "image_size": list(source.image_size)}
        plain = self.arm == "plaintext"
        data = {"cohort": source.cohort, **splits} if plain else {"dataset_dir": source.store(self.arm)}
        return training_ids(self.folder, source, data | self.training_ids)

    def work(self) -> dict[str, Any]:
        if not self.is_void:
            train_and_evaluate(self.folder, self.overlays, self.training)
        return {}


def training_ids(folder: Path, source: Source, ids: Mapping[str, Any]) -> dict[str, Any]:
    """Ids of a training whose results go into ``folder``; ``ids`` say on what, and for how long."""
    own: dict[str, Any] = {"num_classes": len(class_names(source.cohort)), "seed": source.run}
    return own | {"output_dir": folder, "ckpt_dir": folder / "models", **ids}


def train_and_evaluate(folder: Path, overlays: Sequence[str], own: Mapping[str, Any]) -> None:
    """Train a classifier and evaluate it on the test images; both write into ``folder``.

    Args:
        folder: where they write.
        overlays: configs on top of train.json (and evaluate.json).
        own: see :func:`training_ids`.
    """
    run_bundle(["train", *overlays], "training", **own)
    run_bundle(["train", "evaluate", *overlays], "evaluating", **own)
    (folder / "models" / "last.pt").unlink()  # for resuming; a grid of them fills the disk


def sources(shared: Path, root: Path, names: Sequence[str], quick: bool) -> list[Source]:
    """Every fold or seed of the named sets; one of each when ``quick``.

    Raises:
        ValueError: when a set's folder is missing.
    """
    found = []
    for name in names:
        data = "" if name == DEMO else str((shared / "data" / name).resolve())
        if data and not Path(data).is_dir():
            raise ValueError(f"{data!r} is not a folder: point --shared at the folder that holds data/{name}.")
        runs = 1 if quick else DEMO_SEEDS if name == DEMO else SETS[name].runs
        found += [Source(name, run, data, str(root), quick) for run in range(runs)]
    return found


def cells(found: Sequence[Source], networks: Sequence[str]) -> Iterator[Cell]:
    """The small CNN on every fold and seed, the other networks on the first of each set."""
    for network in networks:
        for source in found:
            if network == CNN or source.run == 0:
                yield from (Cell(source, network, arm) for arm in ARMS)
