"""What a run of the pipeline does: its options, and the commands that they become."""

from __future__ import annotations

import ast
import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fesf.scripts.data.intensity import check_rule
from fesf.scripts.data.run_folder import RunFolder, configs_folder
from fesf.scripts.data.spacing import check_spacing
from fesf.scripts.data.steps import Step

STEPS = (
    "make_demo",
    "split",
    "enhance",
    "hide",
    "hide_ihm",
    "hide_iqem",
    "measure",
    "train_surrogate",
    "train_plaintext",
    "train_ihm",
    "train_iqem",
    "evaluate_surrogate",
    "evaluate_plaintext",
    "evaluate_ihm",
    "evaluate_iqem",
    "infer",
    "link",
    "report",
)
ABLATIONS = {"ihm": "synthetic", "iqem": "enhanced"}
"""Arms between plaintext and the full pipeline, and the stage whose images they train on."""
NETWORKS = ("densenet121", "efficientnet_b0", "resnet18", "resnet50", "seresnet50", "vit")


@dataclass(frozen=True)
class Plan:
    """What a run shall do; see the command's help.

    Args:
        out: folder of the run.
        cohort: the user's ``cohort.csv``; None makes the demo.
        hosts: folder of public host images; with ``cohort`` only.
        secret_file: the hospital's secret; None makes a random one (or takes the demo's).
        image_size: two or three lengths.
        intensity_range: how intensities become [0, 1]; see :mod:`fesf.scripts.data.intensity`.
        pixel_spacing: mm along each axis to which images are resampled; None for none.
        mask_text: look for text in the cohort's images and cover it; None for the configs' default.
        patients: size of the demo cohort; None for its default.
        seed: of the demo, the splits and the training.
        network: name of an overlay in ``configs/networks``; None for the small default CNN.
        iqem: train the generator, hide twice and run the ablations; False hides once.
        enhance_options: further ``name=value`` for enhance.json.
        hide_options: further ``name=value`` for hide.json.
        train_options: further ``name=value`` for train.json, of both classifiers.
        jobs: steps at once.
    """

    out: Path
    cohort: Path | None = None
    hosts: Path | None = None
    secret_file: Path | None = None
    image_size: tuple[int, ...] = (64, 64)
    intensity_range: Any = None
    pixel_spacing: tuple[float, ...] | None = None
    mask_text: bool | None = None
    patients: int | None = None
    seed: int = 0
    network: str | None = None
    iqem: bool = True
    enhance_options: tuple[str, ...] = ()
    hide_options: tuple[str, ...] = ()
    train_options: tuple[str, ...] = ()
    jobs: int = 2

    def __post_init__(self) -> None:
        if (self.cohort is None) != (self.hosts is None):
            raise ValueError("cohort and hosts belong together: give both for your own images, neither for the demo.")
        if self.cohort is None and len(self.image_size) != 2:
            raise ValueError(f"image_size {list(self.image_size)}: the demo is 2D, give one length, such as 64.")
        object.__setattr__(self, "intensity_range", check_rule(self.intensity_range))
        object.__setattr__(self, "pixel_spacing", check_spacing(self.pixel_spacing, len(self.image_size)))
        for option in (*self.enhance_options, *self.hide_options, *self.train_options):
            if "=" not in option:
                raise ValueError(f"option {option!r}: write name=value, such as beta=0.4.")

    @property
    def folder(self) -> RunFolder:
        """The run's paths."""
        return RunFolder(self.out)

    @property
    def images(self) -> dict[str, Any]:
        """How plaintexts are read by all who read them, as ids of the configs; what hide_options say counts, too."""
        own = {name: getattr(self, name) for name in ("image_size", "intensity_range", "pixel_spacing", "mask_text")}
        own |= {name: value for name, value in _options(self.hide_options).items() if name in own}
        return {name: value for name, value in own.items() if value is not None}

    @property
    def threads(self) -> dict[str, str]:
        """Threads of each step: two processes of two threads each are several times slower on two cores."""
        return {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // self.jobs))}


def _module(name: str, *arguments: object) -> tuple[str, ...]:
    return (sys.executable, "-m", f"fesf.scripts.{name}", *map(str, arguments))


def _bundle(identity: str, configs: Sequence[str], **overrides: object) -> tuple[tuple[str, ...], tuple[Path, ...]]:
    """Command of one bundle run, and the config files that it reads."""
    folder = configs_folder()
    paths = [folder / name for name in configs]
    shown = [os.path.relpath(path) if Path.cwd() in path.parents else str(path) for path in paths]
    listed = shown[0] if len(shown) == 1 else "[" + ",".join(f"'{name}'" for name in shown) + "]"
    command = [sys.executable, "-m", "monai.bundle", "run", identity, "--config_file", listed]
    for name, value in overrides.items():
        command += [f"--{name}", str(json.loads(json.dumps(value)) if isinstance(value, tuple | dict) else value)]
    return tuple(command), tuple(paths)


def _options(options: Sequence[str]) -> dict[str, Any]:
    return {name: parse_value(value) for name, _, value in (option.partition("=") for option in options)}


def parse_value(text: str) -> Any:
    """What an option's text means: JSON, as in the configs, a Python literal, as on MONAI's command line, or a text.

    >>> [parse_value(text) for text in ("false", "False", "[64, 64]", "{'percentiles': [1, 99]}", "window")]
    [False, False, [64, 64], {'percentiles': [1, 99]}, 'window']
    """
    for read in (json.loads, ast.literal_eval):
        with suppress(ValueError, SyntaxError):
            return read(text)
    return text


def demo_steps(plan: Plan) -> list[Step]:
    """The step that makes the demo cohort; none when the user has one."""
    if plan.cohort is not None:
        return []
    arguments: list[object] = ["--out", plan.folder.demo, "--size", plan.image_size[0], "--seed", plan.seed]
    if plan.patients is not None:
        arguments += ["--patients", plan.patients]
    command = _module("make_demo", *arguments, "--overwrite", "--quiet")
    return [Step("make_demo", "Make the demo cohort", command)]


def sources(plan: Plan) -> tuple[Path, Path, Path]:
    """Cohort, hosts and secret of the run; the secret is made where the user gave none."""
    if plan.cohort is not None and plan.hosts is not None:
        return plan.cohort, plan.hosts, plan.secret_file or plan.folder.make_secret()
    demo = plan.folder.demo
    return demo / "cohort.csv", demo / "hosts", plan.secret_file or demo / "secret"


def main_steps(plan: Plan, num_classes: int) -> list[Step]:
    """All steps after the cohort is there.

    Args:
        plan: what to do.
        num_classes: number of the cohort's classes.
    """
    return _Steps(plan, num_classes).all()


class _Steps:
    """The steps of a plan, each with the names of those that it comes after."""

    def __init__(self, plan: Plan, num_classes: int) -> None:
        self.plan, self.folder = plan, plan.folder
        self.cohort, self.hosts, self.secret = sources(plan)
        self.network = [f"networks/{plan.network}.json"] if plan.network else []
        self.shape = {"num_classes": num_classes, "spatial_dims": len(plan.image_size)}
        self.hiding = {**plan.images, "seed": plan.seed, **_options(plan.hide_options)}
        self.held_out = str(self.hiding.get("hold_out_labels", False)).lower() == "true"
        self.steps: list[Step] = []

    def all(self) -> list[Step]:
        """Every step, in the order of :data:`STEPS`."""
        if self.plan.iqem:
            self._enhance()
        self._hide()
        after = ["link", *self._classify("plaintext"), *self._classify("surrogate")]
        if self.plan.iqem:
            after += ["measure", *(name for arm in ABLATIONS for name in self._ablation(arm))]
        store = {"dataset_dir": self.folder.store, "ckpt_dir": self.folder.surrogate / "models"}
        store["output_dir"] = self.folder.predictions.parent
        configs = ["inference.json", *self.network]
        self._bundle("infer", "Infer on surrogates", "inferring", configs, ["train_surrogate"], **store, **self.shape)
        linkage = self.folder.hospital / "linkage.csv"
        paths = ["--predictions", self.folder.predictions, "--linkage", linkage, "--out", self.folder.linked]
        self.steps.append(Step("link", "Link predictions with patients", _module("link", *paths), ("infer",)))
        report = _module("report", "--run", self.folder.root)
        self.steps.append(Step("report", "Write the report", report, tuple(after)))
        return sorted(self.steps, key=lambda step: STEPS.index(step.name))

    def _bundle(
        self, name: str, title: str, identity: str, configs: Sequence[str], after: Sequence[str], **ids: Any
    ) -> None:
        command, files = _bundle(identity, configs, **ids)
        inputs = (*files, self.cohort) if "hide" in name or name in ("split", "enhance") else files
        self.steps.append(Step(name, title, command, tuple(after), inputs, self.plan.threads))

    @property
    def _made(self) -> tuple[str, ...]:
        return ("make_demo",) if self.plan.cohort is None else ()

    @property
    def _source(self) -> dict[str, Any]:
        return {"cohort": self.cohort, "hosts_dir": self.hosts}

    def _enhance(self) -> None:
        shared = ("alpha", "beta", "host", "fractions", "previous_splits", "on_bad_row", "seed", *self.plan.images)
        ids = {name: value for name, value in self.hiding.items() if name in shared}
        ids |= {"hospital_dir": self.folder.hospital, **_options(self.plan.enhance_options)}
        self._bundle("split", "Split the patients", "splitting", ["enhance.json"], self._made, **self._source, **ids)
        title = "Train the generator (IQEM)"
        self._bundle("enhance", title, "enhancing", ["enhance.json"], ["split"], **self._source, **ids)

    def _hide(self) -> None:
        where = self._source | {"store_dir": self.folder.store, "hospital_dir": self.folder.hospital}
        where["secret_file"] = self.secret
        after: tuple[str, ...] = self._made
        if self.plan.iqem:
            where["generator_file"] = self.folder.generator / "generator.pt"
            after = ("enhance",)
        self._bundle("hide", "Hide the cohort", "hiding", ["hide.json"], after, **where, **self.hiding)
        if self.plan.iqem:
            configs = ["hide.json", "quality.json"]
            title = "Measure image quality"
            self._bundle("measure", title, "measuring", configs, ["hide"], **where, **self.hiding)

    def _ablation(self, arm: str) -> list[str]:
        """Hide up to one stage, train and evaluate; with patients named, since nothing of it leaves the hospital.

        The ids are the release's, so that images are trained on in the same order.
        """
        place = self.folder.ablation(arm)
        ids = self.hiding | {"stage": ABLATIONS[arm], "disclose_patients": True, "hold_out_labels": False}
        ids |= {"second_alpha": None, "second_beta": None}
        ids |= {"store_dir": place / "store", "hospital_dir": place / "hospital", "secret_file": self.secret}
        ids["previous_splits"] = self.folder.hospital / "splits.csv"
        after = "split"  # beside the IQEM, which takes one core for minutes
        if arm != "ihm":
            ids["generator_file"], after = self.folder.generator / "generator.pt", "enhance"
        name = f"hide_{arm}"
        self._bundle(name, f"Hide, {arm} alone", "hiding", ["hide.json"], [after], **self._source, **ids)
        return self._classify(arm)

    def _classify(self, kind: str) -> list[str]:
        """Train and evaluate the classifier of one arm; returns the names of the last steps."""
        place, overlays, after = self.folder.evaluated(kind), self.network, f"hide_{kind}"
        title = {"surrogate": "surrogates", "plaintext": "plaintexts"}.get(kind, f"{kind} images")
        data: dict[str, Any] = {"dataset_dir": place / "store"}
        if kind == "surrogate":
            data, after = {"dataset_dir": self.folder.store}, "hide"
        if kind == "plaintext":
            overlays = ["plaintext.json", *self.network]
            splits = self.folder.hospital / "splits.csv"
            data, after = {"cohort": self.cohort, "splits": splits, **self.plan.images}, "hide"
        if kind == "plaintext" and self.plan.iqem:
            after = "split"
        ids = {**data, "ckpt_dir": place / "models", "output_dir": place / "eval"}
        training = {**self.shape, "seed": self.plan.seed, **_options(self.plan.train_options)}
        configs = ["train.json", *overlays]
        self._bundle(f"train_{kind}", f"Train on {title}", "training", configs, [after], **ids, **training)
        if kind == "surrogate" and self.held_out:
            return []  # the analyst cannot evaluate then; link does it in the hospital
        configs = ["train.json", "evaluate.json", *overlays]
        name = f"evaluate_{kind}"
        self._bundle(name, f"Evaluate on {title}", "evaluating", configs, [f"train_{kind}"], **ids, **self.shape)
        return [name]
