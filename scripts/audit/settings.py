"""Settings of hiding as jobs: hide, train the small CNN, attack validation and test patients; each is done once."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fesf.scripts.audit.attack import Attack, run_attack
from fesf.scripts.audit.evidence import read_scene
from fesf.scripts.audit.frontier import UTILITY
from fesf.scripts.audit.nearest import NearestNeighbour
from fesf.scripts.audit.ridge import RidgeInversion
from fesf.scripts.audit.run import settings_of
from fesf.scripts.audit.scene import Scene
from fesf.scripts.data.cohort import class_names
from fesf.scripts.data.files import file_sha256, write_atomic
from fesf.scripts.data.grid import Job, refusal, run_bundle
from fesf.scripts.data.phase import PhaseCheckError

ATTACKS: dict[str, Attack] = {"reidentification": NearestNeighbour(), "inversion": RidgeInversion()}


@dataclass(frozen=True)
class Sweep:
    """What all settings share.

    Args:
        cohort: ``cohort.csv``.
        hosts: the host pool.
        root: folder of the sweep, in the hospital.
        image_size: of the surrogates.
        fractions: shares of training, validation and test patients.
        seed: of splits, training and attacks.
        epochs: of the small CNN; None for train.json's own.
        generator: of enhance.json, for the stages that need one.
        splits: the ``splits.csv`` with which it was trained.
        secret_file: the secret; None makes one.
    """

    cohort: Path
    hosts: Path
    root: Path
    image_size: tuple[int, int] = (64, 64)
    fractions: tuple[float, float, float] = (0.6, 0.2, 0.2)
    seed: int = 0
    epochs: int | None = None
    generator: Path | None = None
    splits: Path | None = None
    secret_file: Path | None = None

    @property
    def digest(self) -> list[Any]:
        """All that decides every setting's outcome, without a path."""
        hosts = [file_sha256(path) for path in sorted(self.hosts.iterdir()) if path.is_file()]
        files = [file_sha256(self.cohort), hosts, file_sha256(self.generator), file_sha256(self.splits)]
        attacks = {name: settings_of(attack) for name, attack in ATTACKS.items()}
        return [files, list(self.image_size), list(self.fractions), self.seed, self.epochs, attacks]

    def secret(self) -> Path:
        """File with the secret; a random one is made once."""
        if self.secret_file is not None:
            return self.secret_file
        path = self.root / "secret"
        if not path.is_file():
            write_atomic(path, os.urandom(32).hex().encode())
        return path


@dataclass(frozen=True)
class Trial(Job):
    """A job of a sweep; ``name`` is its folder."""

    sweep: Sweep

    @property
    def name(self) -> str:
        raise NotImplementedError

    @property
    def title(self) -> str:
        return self.name

    @property
    def folder(self) -> Path:
        return self.sweep.root / "settings" / self.name

    @property
    def settings(self) -> list[Any]:
        return [self.name, self.sweep.digest]

    def train(self, overlays: Sequence[str], **data: Any) -> dict[str, dict[str, Any]]:
        """Train and evaluate the small CNN: AUC of the kept epoch on validation, and on test with its interval."""
        sweep = self.sweep
        own = {"num_classes": len(class_names(sweep.cohort)), "seed": sweep.seed, "tensorboard": False, **data}
        own |= {"output_dir": self.folder, "ckpt_dir": self.folder / "models"}
        own |= {} if sweep.epochs is None else {"epochs": sweep.epochs}
        run_bundle(["train", *overlays], "training", **own)
        run_bundle(["train", "evaluate", *overlays], "evaluating", **own)
        with open(self.folder / "history.csv", newline="") as file:
            best = max(float(line["val_auc"]) for line in csv.DictReader(file) if line["val_auc"])
        test = json.loads((self.folder / "metrics.json").read_text())["metrics"]["auc"]
        shutil.rmtree(self.folder / "models")
        return {"validation": {"value": best}, "test": test}


@dataclass(frozen=True)
class Plaintext(Trial):
    """The upper bound: the small CNN on plaintexts, with the splits of a setting that is done."""

    splits: Path

    @property
    def name(self) -> str:
        return "plaintext"

    @property
    def configs(self) -> tuple[str, ...]:
        return "train", "evaluate", "plaintext"

    def work(self) -> dict[str, Any]:
        ids = {"cohort": self.sweep.cohort, "splits": self.splits, "image_size": list(self.sweep.image_size)}
        return {UTILITY: self.train(["plaintext"], **ids)}


@dataclass(frozen=True)
class Setting(Trial):
    """One stage, alpha and beta, in both passes."""

    stage: str
    alpha: float
    beta: float

    @property
    def name(self) -> str:
        return f"{self.stage}-{self.alpha:g}-{self.beta:g}"

    @property
    def configs(self) -> tuple[str, ...]:
        return "hide", "train", "evaluate"

    @property
    def hospital(self) -> Path:
        """The hospital's folder of this release."""
        return self.folder / "hospital"

    def work(self) -> dict[str, Any]:
        sweep, store = self.sweep, self.folder / "store"
        for place in (self.hospital, store):
            shutil.rmtree(place, ignore_errors=True)
        ids = {"cohort": sweep.cohort, "hosts_dir": sweep.hosts, "image_size": list(sweep.image_size)}
        ids |= {"secret_file": sweep.secret(), "fractions": list(sweep.fractions), "seed": sweep.seed}
        ids |= {"alpha": self.alpha, "beta": self.beta, "store_dir": store, "hospital_dir": self.hospital}
        if self.stage != "synthetic":
            ids |= {"stage": self.stage, "generator_file": sweep.generator}
        if sweep.splits:
            ids |= {"previous_splits": sweep.splits}
        found: dict[str, Any] = {"stage": self.stage, "alpha": self.alpha, "beta": self.beta, "plaintext": {}}
        refused = refusal(PhaseCheckError, ["hide"], "hiding", "infer", **ids)
        if refused:
            return found | {"refused": refused}  # nobody can publish this
        auc = self.train([], dataset_dir=store)
        for part in ("validation", "test"):
            scene = read_scene(sweep.cohort, store, self.hospital, sweep.hosts, section=part)
            found[part] = {UTILITY: auc[part]}
            for risk, attack in ATTACKS.items():
                results = attacked(attack, scene, sweep.seed)
                found[part][risk], found["plaintext"][risk] = results  # of test patients in the end
        shutil.rmtree(store)
        (self.folder / "predictions_test.csv").unlink(missing_ok=True)
        return found


def attacked(attack: Attack, scene: Scene, seed: int) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """What an attack gets from the store and from plaintexts; None where the set cannot measure it."""
    try:
        summary = run_attack(attack, scene, seed, ("store", "plaintext")).summary()
    except ValueError:
        return None, None
    return dict(summary["store"]), dict(summary["plaintext"])
