"""train.json learns from a store, keeps its best epoch and says how it went."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from monai.bundle import ConfigWorkflow
from PIL import Image

from tests.bundle.tiny import root_cause, run, workflow, write_store

COLUMNS = ("epoch", "train_loss", "val_loss", "val_auc", "val_accuracy")


def test_training_run(trained: tuple[Path, ConfigWorkflow]) -> None:
    folder, _ = trained
    with open(folder / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    losses = [float(row["train_loss"]) for row in rows]
    assert losses[-1] < 0.7 * losses[0]
    assert all(value for row in rows for value in row.values())
    assert sorted(path.name for path in folder.iterdir()) == [
        "history.csv",
        "last.pt",
        "model.pt",
        "operating_point.json",
    ]


def test_kept_model_is_that_of_the_best_epoch(trained: tuple[Path, ConfigWorkflow]) -> None:
    folder, built = trained
    point = json.loads((folder / "operating_point.json").read_text())
    with open(folder / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    best = max(rows, key=lambda row: (float(row["val_auc"]), -float(row["val_loss"])))
    assert point["epoch"] == int(best["epoch"])
    assert point["key_metric"] == float(best["val_auc"])
    assert point["class_names"] == ["clear", "opacity"]
    network = built.parser.get_parsed_content("network_def")
    network.load_state_dict(torch.load(folder / "model.pt", weights_only=True))  # raw, strict


def test_properties(trained: tuple[Path, ConfigWorkflow]) -> None:
    assert trained[1].check_properties() == []


def test_metric_names_agree(trained: tuple[Path, ConfigWorkflow]) -> None:
    _, built = trained
    validated = built.parser.get_parsed_content("validate#evaluator").state.metrics
    assert set(validated) == {"val_auc", "val_loss", "val_accuracy"}
    assert set(validated) | set(built.parser.get_parsed_content("train#trainer").state.metrics) | {"epoch"} == set(
        COLUMNS
    )


def test_run_and_training_are_one(store: Path) -> None:
    built = workflow("train.json", dataset_dir=str(store))
    assert built.parser["run"] == built.parser["training"] == ["@plain_errors", "$@train::trainer.run()"]


def test_loss_is_weighted_by_class(tmp_path: Path) -> None:
    store = write_store(tmp_path / "store", ("a", "b", "c"), {"training": 4, "validation": 3, "test": 3})
    built = workflow("train.json", dataset_dir=str(store), num_classes=3)
    weight = built.parser.get_parsed_content("loss_function").weight
    assert torch.allclose(weight, torch.tensor([0.5, 1.0, 1.0]) * 3 / 2.5)  # two images of class a, one of b and c


def test_tensorboard(tmp_path: Path, store: Path) -> None:
    pytest.importorskip("tensorboard")
    run(
        "train.json",
        dataset_dir=str(store), ckpt_dir=str(tmp_path), output_dir=str(tmp_path), epochs=1, tensorboard=True,
    )  # fmt: skip
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert set(events.Tags()["scalars"]) == {"train_loss", "val_auc", "val_loss", "val_accuracy"}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"num_classes": 3}, r"num_classes=3, but the data have 2 classes \(clear, opacity\): pass --num_classes 2"),
        ({"dataset_dir": "nowhere"}, "'nowhere' is not a surrogate store: it has no manifest.json"),
        ({"resume": "nowhere.pt"}, "resume 'nowhere.pt' is not a file: pass the last.pt"),
        ({"patience": 0}, "patience=0 must be at least 1"),
    ],
)
def test_mistakes(tmp_path: Path, store: Path, override: dict, message: str) -> None:
    options = {"dataset_dir": str(store), "ckpt_dir": str(tmp_path), "output_dir": str(tmp_path)} | override
    with pytest.raises(RuntimeError) as error:
        run("train.json", **options)
    cause = root_cause(error.value)
    assert isinstance(cause, ValueError)
    with pytest.raises(ValueError, match=message):
        raise cause
    assert not list(tmp_path.iterdir())


ALTERED = {
    "altered": "differs from its digest in the manifest",
    "added": "holds 1 files that its manifest does not list",
    "removed": "the store is incomplete, copy it again",
    "swapped": "differs from its digest in the manifest",
    "relabelled": "'dataset.json' differs from its digest",
}


def alter(store: Path, how: str) -> None:
    """One change that leaves a store of the same look."""
    first, second = sorted((store / "images").iterdir())[:2]
    if how == "altered":
        Image.fromarray(np.asarray(Image.open(first)) ^ 1).save(first)
    elif how == "added":
        shutil.copy(first, first.with_name("f" * 32 + ".png"))
    elif how == "removed":
        first.unlink()
    elif how == "swapped":
        contents = first.read_bytes(), second.read_bytes()
        second.write_bytes(contents[0])
        first.write_bytes(contents[1])
    else:
        path = store / "dataset.json"
        path.write_text(path.read_text().replace('"label": 0', '"label": 1', 1))


@pytest.mark.parametrize("how", ALTERED)
def test_refuses_an_altered_store(tmp_path: Path, store: Path, how: str) -> None:
    copy = shutil.copytree(store, tmp_path / "store")
    alter(copy, how)
    with pytest.raises(RuntimeError) as error:
        run("train.json", dataset_dir=str(copy), ckpt_dir=str(tmp_path / "out"), output_dir=str(tmp_path / "out"))
    cause = root_cause(error.value)
    assert isinstance(cause, ValueError)
    assert ALTERED[how] in str(cause)
    assert not (tmp_path / "out" / "model.pt").exists()


@pytest.mark.parametrize("config", ["train.json", "inference.json"])
def test_a_public_key_requires_its_signature(tmp_path: Path, store: Path, config: str) -> None:
    copy = shutil.copytree(store, tmp_path / "store")
    key, other = (Ed25519PrivateKey.generate() for _ in range(2))
    public = tmp_path / "key.pub"
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    kind = "train" if config == "train.json" else "infer"

    def load() -> str:
        built = workflow(config, kind=kind, dataset_dir=str(copy), public_key=str(public))
        loader = built.parser.get_parsed_content("load")
        return str(loader.images)

    with pytest.raises(RuntimeError) as error:
        load()
    assert "has no manifest.sig, and public_key requires one" in str(root_cause(error.value))
    (copy / "manifest.sig").write_bytes(other.sign((copy / "manifest.json").read_bytes()))
    with pytest.raises(RuntimeError) as error:
        load()
    assert "is not a signature of this public_key over this manifest" in str(root_cause(error.value))
    (copy / "manifest.sig").write_bytes(key.sign((copy / "manifest.json").read_bytes()))
    assert load() == str(copy / "images")


@pytest.mark.parametrize("tamper", ["changed", "unknown"])
def test_refuses_what_the_manifest_does_not_vouch_for(tmp_path: Path, store: Path, tamper: str) -> None:
    copy = shutil.copytree(store, tmp_path / "store")
    item = json.loads((copy / "dataset.json").read_text())["training"][0]["image"]
    if tamper == "changed":
        (copy / item).write_bytes((copy / item).read_bytes() + b"\0")
    else:
        manifest = json.loads((copy / "manifest.json").read_text())
        del manifest["files"][item]
        (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(RuntimeError) as error:
        run("train.json", dataset_dir=str(copy), ckpt_dir=str(tmp_path / "out"), output_dir=str(tmp_path / "out"))
    cause = str(root_cause(error.value))
    assert item in cause
    assert ("differs from its digest" if tamper == "changed" else "its manifest does not list") in cause


# Without batch norm a learning rate of 0 changes nothing from epoch to epoch.
FROZEN = {"_target_": "Classifier", "in_shape": [1, 32, 32], "classes": 2, "channels": [4], "strides": [8]}


def test_early_stop_ends_the_training(tmp_path: Path, store: Path) -> None:
    built = run(
        "train.json",
        dataset_dir=str(store), ckpt_dir=str(tmp_path), output_dir=str(tmp_path),
        epochs=6, patience=1, network_def=FROZEN, **{"optimizer#lr": 0.0},
    )  # fmt: skip
    assert built.parser.get_parsed_content("train#trainer").state.epoch == 2


def test_images_reach_the_network_without_metadata(store: Path) -> None:
    built = workflow("train.json", dataset_dir=str(store))
    batch = next(iter(built.parser.get_parsed_content("train#dataloader")))
    assert type(batch["image"]) is torch.Tensor
    assert batch["image"].shape == (8, 1, 32, 32)
    assert batch["label"].dtype == torch.int64
    assert set(batch) == {"image", "label", "id", "patient"}


def test_validation_every_other_epoch(tmp_path: Path, store: Path) -> None:
    places = {"dataset_dir": str(store), "ckpt_dir": str(tmp_path), "output_dir": str(tmp_path)}
    run("train.json", **places, epochs=3, val_interval=2)
    with open(tmp_path / "history.csv", newline="") as file:
        assert [bool(row["val_auc"]) for row in csv.DictReader(file)] == [False, True, False]
    assert json.loads((tmp_path / "operating_point.json").read_text())["epoch"] == 2


def test_volumes_and_many_classes(tmp_path: Path) -> None:
    """Three classes in 3D: train, evaluate, infer, decided by the most probable class."""
    store = write_store(tmp_path / "store", ("a", "b", "c"), {"training": 6, "validation": 3, "test": 6}, volumes=True)
    places = {"dataset_dir": str(store), "ckpt_dir": str(tmp_path), "output_dir": str(tmp_path)}
    places |= {"spatial_dims": 3, "num_classes": 3, "batch_size": 3}
    run("train.json", **places, epochs=1)
    run("train.json", "evaluate.json", **places, bootstrap=20)
    run("inference.json", kind="infer", **places)
    report = json.loads((tmp_path / "metrics.json").read_text())
    assert report["threshold"] is None
    assert len(report["confusion_matrix"]) == 3
    with open(tmp_path / "predictions.csv", newline="") as file:
        for row in csv.DictReader(file):
            assert row["decision"] == max("abc", key=lambda name: float(row[f"p_{name}"]))
