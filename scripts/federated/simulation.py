"""One federation of two hospitals on a public set, and what it is compared with, as a job that is done once."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fesf.scripts.data.grid import CPU, DEMO, Job, run_bundle, sources
from fesf.scripts.data.outcome import Outcome, read_outcome
from fesf.scripts.data.public_sets import SETS, write_cohort
from fesf.scripts.data.store import class_names, load_datalist
from fesf.scripts.data.store_format import SECTIONS
from fesf.scripts.engines.best import MODEL
from fesf.scripts.engines.operating_point import ARGMAX, FILE, OperatingPoint
from fesf.scripts.engines.output import save_state
from fesf.scripts.federated.hospitals import SITES, Choice, Hospital, make_hospitals
from fesf.scripts.federated.page import REFERENCE
from fesf.scripts.federated.rounds import CONFIGS, Client, Federated, State, federate, initial_weights
from fesf.scripts.federated.stores import common_classes
from fesf.scripts.make_demo import make_demo

FEDERATED, POOLED = REFERENCE, "pooled"
ALONE = tuple(f"{site} alone" for site in SITES)
ARMS = (FEDERATED, POOLED, *ALONE)
WHOLE = "whole"


@dataclass(frozen=True)
class Federation(Job):
    """A fold or seed of a set: two stores, a federation over them, one training on both, one on each.

    Args:
        name: the set.
        run: fold, or number of the seed.
        data: folder of the set; empty for the demo.
        root: folder of all runs.
        choices: recipe of each hospital.
        rounds: of the federation.
        local_epochs: epochs of each round; the other trainings take rounds x local_epochs.
        share: the first hospital's share of the patients.
        patients: of the demo.
        image_size: of the demo.
    """

    name: str
    run: int
    data: str
    root: str
    choices: tuple[Choice, Choice]
    rounds: int
    local_epochs: int
    share: float
    patients: int = 240
    image_size: int = 64

    @property
    def title(self) -> str:
        return f"{self.name}/{self.run}/federation"

    @property
    def folder(self) -> Path:
        return Path(self.root) / self.name / str(self.run)

    @property
    def settings(self) -> list[Any]:
        own = [self.patients, self.image_size] if self.name == DEMO else []
        choices = [[choice.alpha, choice.beta] for choice in self.choices]
        return [self.name, self.run, choices, self.rounds, self.local_epochs, self.share, *own]

    @property
    def configs(self) -> tuple[str, ...]:
        return "hide", "train", "evaluate", "federated", "pooled"

    @property
    def hospitals(self) -> list[Hospital]:
        """Both hospitals."""
        return [Hospital(name, self.folder / name, choice) for name, choice in zip(SITES, self.choices, strict=True)]

    @property
    def classes(self) -> list[str]:
        """Names of the classes, once the stores are there."""
        return class_names(self.hospitals[0].store)

    @property
    def ids(self) -> dict[str, Any]:
        """Ids of the configs that all trainings share, once the stores are there."""
        return {"num_classes": len(self.classes), "seed": self.run, "device": CPU}

    def clients(self, arm: str) -> list[Client]:
        """Who trains in an arm."""
        folder = self.arm(arm)
        each = [Client(own.name, folder / own.name, {"dataset_dir": str(own.store)}) for own in self.hospitals]
        if arm == FEDERATED:
            return each
        if arm == POOLED:
            stores = {"stores": [str(own.store) for own in self.hospitals]}
            return [Client(POOLED, folder / POOLED, stores, (CONFIGS[0], "pooled", *CONFIGS[1:]))]
        return [each[ALONE.index(arm)]]

    def arm(self, name: str) -> Path:
        """Folder of an arm."""
        return self.folder / name.replace(" ", "-")

    def work(self) -> dict[str, Any]:
        initial = self.prepare()
        found = {arm: self.train(arm, initial) for arm in ARMS}
        return {
            "class_names": self.classes,
            "images": self.images(),
            "steps": {arm: result.steps for arm, result in found.items()},
            "validation_auc": {
                site: [value if math.isfinite(value) else None for value in values]  # NaN without an image of a class
                for site, values in found[FEDERATED].validation.items()
            },
        }

    def images(self) -> dict[str, dict[str, int]]:
        """By hospital and section, the number of images in its store."""
        return {own.name: {part: len(load_datalist(own.store, part)) for part in SECTIONS} for own in self.hospitals}

    def prepare(self) -> State:
        """Make the cohort, divide it and hide both halves; returns the weights from which every arm starts.

        Raises:
            ValueError: when a hospital has no patient of a class.
        """
        for name in (*SITES, *(self.arm(arm).name for arm in ARMS), WHOLE):  # of a run that was cut short
            shutil.rmtree(self.folder / name, ignore_errors=True)
        whole = self.folder / WHOLE
        size: Sequence[int] = (self.image_size, self.image_size)
        if self.name == DEMO:
            make_demo(whole, self.patients, self.image_size, seed=self.run)
        else:
            write_cohort(SETS[self.name], Path(self.data), whole, self.run)
            size = SETS[self.name].image_size
        hosts = whole / "hosts"
        for own in make_hospitals(whole / "cohort.csv", hosts, self.folder, self.choices, self.share, self.run):
            own.hide(size, self.run)
        names = common_classes([own.store for own in self.hospitals])
        return initial_weights(self.run, num_classes=len(names))

    def train(self, arm: str, initial: State) -> Federated:
        """Train an arm and predict the test images of both hospitals."""
        rounds = (self.rounds, self.local_epochs) if arm == FEDERATED else (1, self.rounds * self.local_epochs)
        result = federate(self.clients(arm), *rounds, initial, self.ids)
        self.evaluate(arm, result.weights)
        return result

    def evaluate(self, arm: str, weights: State) -> None:
        """Keep an arm's weights and predict each hospital's test images; the most probable class is decided."""
        folder = self.arm(arm)
        save_state(folder / MODEL, weights)
        OperatingPoint(None, ARGMAX, self.classes, self.rounds * self.local_epochs, None).save(folder / FILE)
        for own in self.hospitals:
            places: dict[str, Any] = {
                "dataset_dir": own.store,
                "ckpt_dir": folder,
                "output_dir": folder / f"on-{own.name}",
            }
            run_bundle(["train", "evaluate"], "evaluating", **self.ids_of_evaluation, **places)

    @property
    def ids_of_evaluation(self) -> dict[str, Any]:
        """Ids of evaluate.json; its own intervals are not used, so a few draws will do."""
        return {name: value for name, value in self.ids.items() if name != "device"} | {"bootstrap": 10}

    def outcomes(self, arm: str) -> dict[str, Outcome]:
        """Predictions of an arm on the test images, by hospital and, under "both", together."""
        each = {
            own.name: read_outcome(self.arm(arm) / f"on-{own.name}" / "predictions_test.csv", own.linkage, self.classes)
            for own in self.hospitals
        }
        return {"both": joined(each), **each}

    def weights(self, arm: str) -> State:
        """An arm's weights, once it is done."""
        state: State = torch.load(self.arm(arm) / MODEL, weights_only=True)
        return state


def joined(outcomes: Mapping[str, Outcome]) -> Outcome:
    """Outcomes of several hospitals as one; rows are numbered anew, patients carry their hospital's name."""
    parts = list(outcomes.values())
    return Outcome(
        list(range(sum(len(part.rows) for part in parts))),
        [f"{name} {group}" for name, part in outcomes.items() for group in part.groups],
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.probabilities for part in parts]),
        np.concatenate([part.decisions for part in parts]),
    )


def federations(
    names: Sequence[str], shared: Path, root: Path, template: Federation, runs: int | None = None
) -> list[Federation]:
    """The runs of the named sets: seeds of the demo, folds or seeds of a public set.

    Args:
        names: sets.
        shared: folder that holds ``data/``.
        root: where the runs go.
        template: of which recipes, rounds and the like are taken.
        runs: how many of each at most; None takes all.

    Raises:
        ValueError: when a set's folder is missing.
    """
    found = sources(shared, root, names, quick=False)
    return [
        replace(template, name=source.name, run=source.run, data=source.data, root=str(root))
        for source in found
        if runs is None or source.run < runs
    ]
