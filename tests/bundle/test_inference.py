"""inference.json on a store, on a store without labels, and on one image."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from monai.bundle import ConfigWorkflow

from tests.bundle.tiny import root_cause, run, workflow, write_store

Trained = tuple[Path, ConfigWorkflow]


def infer(models: Path, out: Path, **override: object) -> ConfigWorkflow:
    return run("inference.json", kind="infer", ckpt_dir=str(models), output_dir=str(out), **override)


def read(out: Path) -> list[dict[str, str]]:
    with open(out / "predictions.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_store(tmp_path: Path, store: Path, trained: Trained) -> None:
    built = infer(trained[0], tmp_path, dataset_dir=str(store))
    rows = read(tmp_path)
    assert list(rows[0]) == ["id", "p_clear", "p_opacity", "decision"]
    dataset = json.loads((store / "dataset.json").read_text())
    names = [Path(item["image"]).stem for section in ("training", "validation", "test") for item in dataset[section]]
    assert [row["id"] for row in rows] == sorted(names)
    threshold = json.loads((trained[0] / "operating_point.json").read_text())["threshold"]
    for row in rows:
        assert float(row["p_clear"]) + float(row["p_opacity"]) == pytest.approx(1, abs=1e-6)
        assert row["decision"] == ("opacity" if float(row["p_opacity"]) >= threshold else "clear")
    assert built.check_properties() == []


def test_the_model_was_loaded(tmp_path: Path, store: Path, trained: Trained) -> None:
    """The predictions of inference.json are those of evaluate.json."""
    infer(trained[0], tmp_path, dataset_dir=str(store), section="test")
    run(
        "train.json", "evaluate.json",
        dataset_dir=str(store), ckpt_dir=str(trained[0]), output_dir=str(tmp_path), bootstrap=10,
    )  # fmt: skip
    with open(tmp_path / "predictions_test.csv", newline="") as file:
        evaluated = {row["id"]: row["p_opacity"] for row in csv.DictReader(file)}
    inferred = {row["id"]: row["p_opacity"] for row in read(tmp_path)}
    assert inferred.keys() == evaluated.keys()
    for name, value in inferred.items():
        assert float(value) == pytest.approx(float(evaluated[name]), abs=1e-6)


@pytest.mark.parametrize("held_out", [["training", "validation", "test"], ["test"]])
def test_labels_do_not_matter(held_out: list[str], tmp_path: Path, store: Path, trained: Trained) -> None:
    """Neither where all are held out, nor where a batch holds images with a label and without."""
    bare = write_store(tmp_path / "store", patients=False, held_out=held_out)
    infer(trained[0], tmp_path / "bare", dataset_dir=str(bare))
    infer(trained[0], tmp_path / "full", dataset_dir=str(store))
    assert (tmp_path / "bare" / "predictions.csv").read_bytes() == (tmp_path / "full" / "predictions.csv").read_bytes()


def test_one_image(tmp_path: Path, store: Path, trained: Trained) -> None:
    image = sorted((store / "images").iterdir())[0]
    infer(trained[0], tmp_path, image=str(image))
    (row,) = read(tmp_path)
    assert row["id"] == image.stem
    assert row["decision"] in ("clear", "opacity")


def test_run_and_inferring_are_one(store: Path) -> None:
    built = workflow("inference.json", kind="infer", dataset_dir=str(store))
    assert built.parser["run"] == built.parser["inferring"] == ["@plain_errors", "$@evaluator.run()"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"dataset_dir": "nowhere"}, "'nowhere' is not a surrogate store"),
        ({"section": "tset"}, "Unknown section 'tset'"),
        ({"num_classes": 5}, r"num_classes=5, but the data have 2 classes \(clear, opacity\): pass --num_classes 2"),
        ({"ckpt_dir": "nowhere"}, "'nowhere/model.pt' is not a file: train first"),
        ({"ckpt_path": "nowhere.pt"}, "'nowhere.pt' is not a file: train first"),
        ({"image": "nowhere.png"}, "'images/nowhere.png' cannot be read"),
    ],
)
def test_mistakes(tmp_path: Path, store: Path, trained: Trained, override: dict, message: str) -> None:
    options = {"ckpt_dir": str(trained[0]), "output_dir": str(tmp_path), "dataset_dir": str(store)} | override
    with pytest.raises(RuntimeError) as error:
        run("inference.json", kind="infer", **options)
    with pytest.raises(ValueError, match=message):
        raise root_cause(error.value)
    assert not list(tmp_path.iterdir())


def test_store_of_other_classes(tmp_path: Path, trained: Trained) -> None:
    other = write_store(tmp_path / "store", ("cat", "dog"))
    with pytest.raises(RuntimeError) as error:
        infer(trained[0], tmp_path, dataset_dir=str(other))
    assert "decides between clear, opacity; the data have cat, dog" in str(root_cause(error.value))
