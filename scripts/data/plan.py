"""What a run of the pipeline does: its options, and the commands that they become."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fesf.scripts.data.run_folder import RunFolder, configs_folder
from fesf.scripts.data.steps import Step

STEPS = (
    "make_demo",
    "hide",
    "train_surrogate",
    "train_plaintext",
    "evaluate_surrogate",
    "evaluate_plaintext",
    "infer",
    "link",
    "report",
)
NETWORKS = ("densenet121", "resnet18")


@dataclass(frozen=True)
class Plan:
    """What a run shall do; see the command's help.

    Args:
        out: folder of the run.
        cohort: the user's ``cohort.csv``; None makes the demo.
        hosts: folder of public host images; with ``cohort`` only.
        secret_file: the hospital's secret; None makes a random one (or takes the demo's).
        image_size: two or three lengths.
        patients: size of the demo cohort; None for its default.
        seed: of the demo, the splits and the training.
        network: name of an overlay in ``configs/networks``; None for the small default CNN.
        hide_options: further ``name=value`` for hide.json.
        train_options: further ``name=value`` for train.json, of both classifiers.
        jobs: steps at once.
    """

    out: Path
    cohort: Path | None = None
    hosts: Path | None = None
    secret_file: Path | None = None
    image_size: tuple[int, ...] = (64, 64)
    intensity_range: tuple[float, float] | None = None
    patients: int | None = None
    seed: int = 0
    network: str | None = None
    hide_options: tuple[str, ...] = ()
    train_options: tuple[str, ...] = ()
    jobs: int = 2

    def __post_init__(self) -> None:
        if (self.cohort is None) != (self.hosts is None):
            raise ValueError("cohort and hosts belong together: give both for your own images, neither for the demo.")
        if self.cohort is None and len(self.image_size) != 2:
            raise ValueError(f"image_size {list(self.image_size)}: the demo is 2D, give one length, such as 64.")
        for option in (*self.hide_options, *self.train_options):
            if "=" not in option:
                raise ValueError(f"option {option!r}: write name=value, such as beta=0.4.")

    @property
    def folder(self) -> RunFolder:
        """The run's paths."""
        return RunFolder(self.out)

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
        command += [f"--{name}", str(list(value)) if isinstance(value, tuple) else str(value)]
    return tuple(command), tuple(paths)


def _options(options: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, _, value in (option.partition("=") for option in options)}


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
    folder = plan.folder
    cohort, hosts, secret = sources(plan)
    images: dict[str, Any] = {"image_size": plan.image_size}
    if plan.intensity_range is not None:
        images["intensity_range"] = plan.intensity_range
    network = [f"networks/{plan.network}.json"] if plan.network else []
    shape = {"num_classes": num_classes, "spatial_dims": len(plan.image_size)}
    training = {**shape, "seed": plan.seed, **_options(plan.train_options)}
    hiding = {**images, "seed": plan.seed, **_options(plan.hide_options)}
    steps: list[Step] = []

    def bundle(name: str, title: str, identity: str, configs: Sequence[str], after: Sequence[str], **ids: Any) -> None:
        command, files = _bundle(identity, configs, **ids)
        inputs = (*files, cohort) if name == "hide" else files
        steps.append(Step(name, title, command, tuple(after), inputs, plan.threads))

    where: dict[str, Any] = {"cohort": cohort, "hosts_dir": hosts, "store_dir": folder.store}
    where |= {"hospital_dir": folder.hospital, "secret_file": secret}
    before = ("make_demo",) if plan.cohort is None else ()
    bundle("hide", "Hide the cohort", "hiding", ["hide.json"], before, **where, **hiding)
    store: dict[str, Any] = {"dataset_dir": folder.store}
    trusted: dict[str, Any] = {"cohort": cohort, "splits": folder.hospital / "splits.csv", **images}
    after = ["link", "evaluate_plaintext"]
    for kind, overlays, data, place in (
        ("surrogate", network, store, folder.surrogate),
        ("plaintext", ["plaintext.json", *network], trusted, folder.plaintext),
    ):
        ids = {**data, "ckpt_dir": place / "models", "output_dir": place / "eval"}
        bundle(f"train_{kind}", f"Train on {kind}s", "training", ["train.json", *overlays], ["hide"], **ids, **training)
        if kind == "surrogate" and str(hiding.get("hold_out_labels", False)).lower() == "true":
            continue  # the analyst cannot evaluate then; link does it in the hospital
        configs = ["train.json", "evaluate.json", *overlays]
        name = f"evaluate_{kind}"
        bundle(name, f"Evaluate on {kind}s", "evaluating", configs, [f"train_{kind}"], **ids, **shape)
        after.append(name)
    ids = {**store, "ckpt_dir": folder.surrogate / "models", "output_dir": folder.predictions.parent}
    bundle(
        "infer", "Infer on surrogates", "inferring", ["inference.json", *network], ["train_surrogate"], **ids, **shape
    )
    paths = ["--predictions", folder.predictions, "--linkage", folder.hospital / "linkage.csv", "--out", folder.linked]
    steps.append(Step("link", "Link predictions with patients", _module("link", *paths), ("infer",)))
    steps.append(Step("report", "Write the report", _module("report", "--run", folder.root), tuple(after)))
    return sorted(steps, key=lambda step: STEPS.index(step.name))
