"""evaluate.json on top of train.json."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from monai.bundle import ConfigWorkflow
from sklearn.metrics import accuracy_score, roc_auc_score

from tests.bundle.tiny import root_cause, run, workflow, write_store

Trained = tuple[Path, ConfigWorkflow]


def evaluate(store: Path, models: Path, out: Path, **override: object) -> ConfigWorkflow:
    return run(
        "train.json", "evaluate.json",
        dataset_dir=str(store), ckpt_dir=str(models), output_dir=str(out), bootstrap=50, **override,
    )  # fmt: skip


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory, trained: Trained, store: Path) -> tuple[Path, ConfigWorkflow]:
    out = tmp_path_factory.mktemp("evaluated")
    return out, evaluate(store, trained[0], out)


def test_report(evaluated: tuple[Path, ConfigWorkflow], trained: Trained) -> None:
    out, _ = evaluated
    report = json.loads((out / "metrics.json").read_text())
    with open(out / "predictions_test.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["id", "patient", "label", "p_clear", "p_opacity", "decision"]
    labels = [row["label"] == "opacity" for row in rows]
    scores = [float(row["p_opacity"]) for row in rows]
    point = json.loads((trained[0] / "operating_point.json").read_text())
    assert report["threshold"] == point["threshold"]
    assert [row["decision"] == "opacity" for row in rows] == [score >= point["threshold"] for score in scores]
    assert report["metrics"]["auc"]["value"] == pytest.approx(roc_auc_score(labels, scores))
    decided = [row["decision"] == "opacity" for row in rows]
    assert report["metrics"]["accuracy"]["value"] == pytest.approx(accuracy_score(labels, decided))
    assert (report["unit"], report["n_images"], report["n_patients"]) == ("patients", 12, 6)
    for name in ("roc.png", "reliability.png", "confusion.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG"), name


def test_properties(evaluated: tuple[Path, ConfigWorkflow]) -> None:
    assert evaluated[1].check_properties() == []


def test_test_auc_is_the_engines(evaluated: tuple[Path, ConfigWorkflow]) -> None:
    out, built = evaluated
    engine = built.parser.get_parsed_content("validate#evaluator")
    value = json.loads((out / "metrics.json").read_text())["metrics"]["auc"]["value"]
    assert engine.state.metrics[engine.state.key_metric_name] == pytest.approx(value)


def test_run_and_evaluating_are_one(store: Path) -> None:
    built = workflow("train.json", "evaluate.json", dataset_dir=str(store))
    assert built.parser["run"] == built.parser["evaluating"] == ["@plain_errors", "$@validate::evaluator.run()"]


def test_undisclosed_patients_give_intervals_over_images(tmp_path: Path, trained: Trained) -> None:
    store = write_store(tmp_path / "store", patients=False)
    evaluate(store, trained[0], tmp_path / "out", section="validation")
    report = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (report["unit"], report["n_patients"], report["split"]) == ("images", None, "validation")
    assert (tmp_path / "out" / "predictions_validation.csv").is_file()


def fails(message: str, *arguments: object, **override: object) -> None:
    with pytest.raises(RuntimeError) as error:
        evaluate(*arguments, **override)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=message):
        raise root_cause(error.value)


def test_held_out_labels(tmp_path: Path, trained: Trained) -> None:
    store = write_store(tmp_path / "store", held_out=["test"])
    fails("12 of 12 images have no label.*run inference.json.*fesf.scripts.link", store, trained[0], tmp_path / "out")


def test_missing_model(tmp_path: Path, trained: Trained, store: Path) -> None:
    fails("model.pt' is not a file: train first", store, tmp_path, tmp_path / "out")
    shutil.copy(trained[0] / "model.pt", tmp_path)
    fails("operating_point.json' is missing beside the model", store, tmp_path, tmp_path / "out")


def test_other_classes(tmp_path: Path, trained: Trained) -> None:
    store = write_store(tmp_path / "store", ("cat", "dog"))
    fails("decides between clear, opacity; the data have cat, dog", store, trained[0], tmp_path / "out")
