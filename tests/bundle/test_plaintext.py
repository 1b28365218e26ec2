"""plaintext.json: the upper bound, for the trusted zone only."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigWorkflow

from fesf.scripts.data.cohort import LoadImageCohortd
from tests.bundle.tiny import CONFIGS, root_cause, run, workflow

OVERLAY = ("train.json", "plaintext.json")


@pytest.fixture(scope="module", autouse=True)
def keep_umask() -> Iterator[None]:
    """The overlay narrows the umask of its process, which is ours here."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def options(cohort: tuple[Path, Path], out: Path) -> dict[str, object]:
    table, splits = cohort
    places = {"cohort": str(table), "splits": str(splits), "ckpt_dir": str(out), "output_dir": str(out)}
    return places | {"image_size": [32, 32]}


@pytest.fixture(scope="module")
def upper_bound(tmp_path_factory: pytest.TempPathFactory, cohort: tuple[Path, Path]) -> tuple[Path, ConfigWorkflow]:
    out = tmp_path_factory.mktemp("plaintext") / "out"
    built = run(*OVERLAY, **options(cohort, out), epochs=3)
    run("train.json", "evaluate.json", "plaintext.json", **options(cohort, out), bootstrap=20)
    return out, built


def test_trains_and_evaluates_on_the_cohort(
    upper_bound: tuple[Path, ConfigWorkflow], cohort: tuple[Path, Path]
) -> None:
    out, built = upper_bound
    with open(out / "history.csv", newline="") as file:
        losses = [float(row["train_loss"]) for row in csv.DictReader(file)]
    assert losses[-1] < losses[0]
    report = json.loads((out / "metrics.json").read_text())
    assert (report["n_images"], report["n_patients"], report["unit"]) == (12, 6, "patients")
    assert report["class_names"] == ["clear", "opacity"]
    with open(cohort[0], newline="") as file:
        labels = [row["label"] for row in csv.DictReader(file)]
    with open(out / "predictions_test.csv", newline="") as file:
        for row in csv.DictReader(file):
            assert row["patient"].startswith("Schmidt test")
            assert row["label"] == labels[int(row["id"].removeprefix("row-")) - 2]
    assert built.check_properties() == []


def test_splits_are_the_hospitals(cohort: tuple[Path, Path], tmp_path: Path) -> None:
    built = workflow("train.json", "evaluate.json", "plaintext.json", **options(cohort, tmp_path))
    for section, name in (("training", "training_data"), ("validation", "validation_data"), ("test", "test_data")):
        assert {item["patient"].split()[1] for item in built.parser.get_parsed_content(name)} == {section}


def test_same_classifier(upper_bound: tuple[Path, ConfigWorkflow], trained: tuple[Path, ConfigWorkflow]) -> None:
    ours, theirs = (torch.load(folder / "model.pt", weights_only=True) for folder in (upper_bound[0], trained[0]))
    assert {name: value.shape for name, value in ours.items()} == {name: value.shape for name, value in theirs.items()}
    for key in ("network_def", "optimizer", "lr_scheduler", "loss_function"):
        assert upper_bound[1].parser[key] == trained[1].parser[key]


def test_crops_come_on_top_of_the_surrogates_augmentation(cohort: tuple[Path, Path], tmp_path: Path) -> None:
    plain = json.loads((CONFIGS / "plaintext.json").read_text())["train#random_transforms"]
    train = json.loads((CONFIGS / "train.json").read_text())["train"]["random_transforms"]
    assert plain[0]["_target_"] == "RandScaleCropd"
    assert plain[1:] == train
    built = workflow(*OVERLAY, **options(cohort, tmp_path))
    batch = next(iter(built.parser.get_parsed_content("train#dataloader")))
    assert batch["image"].shape[-1] < 32
    assert type(batch["image"]) is torch.Tensor


def test_both_arms_load_alike(upper_bound: tuple[Path, ConfigWorkflow], trained: tuple[Path, ConfigWorkflow]) -> None:
    batches = [
        next(iter(built.parser.get_parsed_content("validate#dataloader"))) for _, built in (upper_bound, trained)
    ]
    assert [type(batch["image"]) for batch in batches] == [torch.Tensor, torch.Tensor]
    assert batches[0]["image"].shape == batches[1]["image"].shape
    assert isinstance(upper_bound[1].parser.get_parsed_content("load"), LoadImageCohortd)


def test_files_are_the_hospitals_alone(upper_bound: tuple[Path, ConfigWorkflow]) -> None:
    for path in (upper_bound[0], *upper_bound[0].iterdir()):
        assert path.stat().st_mode & 0o077 == 0, path.name


def test_own_folders_by_default() -> None:
    plain, train = (json.loads((CONFIGS / name).read_text()) for name in ("plaintext.json", "train.json"))
    for key in ("ckpt_dir", "output_dir"):
        assert plain[key] != train[key]


@pytest.mark.parametrize("preset", ["mlflow", str(CONFIGS / "mlflow.json")])
def test_tracking_is_refused_before_anything_is_written(tmp_path: Path, cohort: tuple[Path, Path], preset: str) -> None:
    with pytest.raises(RuntimeError) as error:
        run(*OVERLAY, tracking=preset, **options(cohort, tmp_path))
    assert "is not tracked: run it without --tracking" in str(root_cause(error.value))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"cohort": "nowhere.csv"}, r"cohort 'nowhere.csv' is not a file"),
        ({"splits": "nowhere.csv"}, r"splits 'nowhere.csv' is not a file"),
    ],
)
def test_mistakes(tmp_path: Path, cohort: tuple[Path, Path], override: dict, message: str) -> None:
    with pytest.raises(RuntimeError) as error:
        run(*OVERLAY, **options(cohort, tmp_path) | override)
    with pytest.raises(ValueError, match=message):
        raise root_cause(error.value)
