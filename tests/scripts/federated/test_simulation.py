"""A federation as a job: who trains on what, and whose test images are predicted."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fesf.scripts.data.grid import run_bundle
from fesf.scripts.data.public_sets import SETS
from fesf.scripts.data.store import load_datalist
from fesf.scripts.federated.averaging import largest_difference
from fesf.scripts.federated.hospitals import SITES, Choice
from fesf.scripts.federated.rounds import Federated, initial_weights
from fesf.scripts.federated.simulation import ALONE, ARMS, FEDERATED, POOLED, Federation, federations, joined


def test_what_a_job_leaves(federation: Federation) -> None:
    done = federation.done
    images = {site: counts["training"] for site, counts in done["images"].items()}
    steps = {site: -(-count // 32) for site, count in images.items()}
    assert done["steps"][FEDERATED] == {site: [number] * 2 for site, number in steps.items()}
    assert done["steps"][POOLED] == {"pooled": [2 * -(-sum(images.values()) // 32)]}
    for arm, site in zip(ALONE, SITES, strict=True):
        assert done["steps"][arm] == {site: [2 * steps[site]]}
    assert {site: len(values) for site, values in done["validation_auc"].items()} == dict.fromkeys(SITES, 2)
    assert done["class_names"] == ["normal", "opacity"]
    assert federation.is_done
    weights = [federation.weights(arm) for arm in ARMS]
    for number, one in enumerate(weights):
        for other in weights[:number]:
            assert largest_difference(one, other, counters=False) > 1e-3


def test_every_arm_is_tested_on_the_same_images(federation: Federation) -> None:
    outcomes = {arm: federation.outcomes(arm) for arm in ARMS}
    for found in outcomes.values():
        assert set(found) == {"both", *SITES}
        for own in federation.hospitals:
            with open(own.linkage, newline="") as file:
                rows = {int(row["row"]): row for row in csv.DictReader(file) if row["split"] == "test"}
            assert found[own.name].rows == sorted(rows)
            assert found[own.name].groups == [rows[row]["patient"] for row in sorted(rows)]
        both = joined({site: found[site] for site in SITES})
        assert both.groups == found["both"].groups
        assert len(both.rows) == len(set(both.rows)) == sum(len(found[site].rows) for site in SITES)
        np.testing.assert_array_equal(both.decisions, both.probabilities.argmax(1))  # no threshold is chosen
    one, other = (outcomes[arm]["both"].probabilities for arm in (FEDERATED, POOLED))
    assert np.abs(one - other).max() > 1e-3


def test_predictions_are_those_of_the_kept_weights(federation: Federation, tmp_path: Path) -> None:
    own = federation.hospitals[1]
    folder = federation.arm(FEDERATED)
    run_bundle(
        ["inference"], "inferring", "infer", dataset_dir=own.store, ckpt_dir=folder, output_dir=tmp_path, section="test"
    )
    with open(tmp_path / "predictions.csv", newline="") as file:
        rows = {row["id"]: float(row["p_opacity"]) for row in csv.DictReader(file)}
    with open(folder / "on-site-2" / "predictions_test.csv", newline="") as file:
        ours = {row["id"]: float(row["p_opacity"]) for row in csv.DictReader(file)}
    assert set(ours) == {item["id"] for item in load_datalist(own.store, "test")}
    assert ours == pytest.approx(rows, abs=1e-6)
    assert json.loads((folder / "operating_point.json").read_text())["threshold"] is None


def test_all_arms_start_from_the_same_weights(federation: Federation) -> None:
    initial = initial_weights(0, num_classes=2)
    names = [name for name, value in initial.items() if value.is_floating_point()]
    for arm in ARMS:
        # Two epochs do not turn random first weights over; other first weights would be unrelated.
        cosine = torch.nn.functional.cosine_similarity(
            *(torch.cat([state[name].flatten() for name in names if "conv" in name]) for state in
              (initial, federation.weights(arm))), dim=0
        )  # fmt: skip
        assert float(cosine) > 0.9, arm


def test_keys_change_with_every_setting_and_not_with_places(federation: Federation) -> None:
    others = [
        {"run": 1}, {"rounds": 3}, {"local_epochs": 2}, {"share": 0.5}, {"patients": 41}, {"image_size": 64},
        {"choices": (Choice(0.1, 0.5), Choice(0.15, 0.5))}, {"name": "mri_cheng430"},
    ]  # fmt: skip
    keys = [replace(federation, **other).key for other in others]
    assert len({*keys, federation.key}) == len(others) + 1
    assert replace(federation, data="elsewhere", root="another").key == federation.key
    public = replace(federation, name="mri_cheng430")
    assert replace(public, patients=7).key == public.key


def test_runs_of_sets(federation: Federation, tmp_path: Path) -> None:
    (tmp_path / "data" / "mri_cheng430").mkdir(parents=True)
    found = federations(["demo", "mri_cheng430"], tmp_path, tmp_path / "work", federation)
    assert [(job.name, job.run) for job in found] == [("demo", run) for run in range(3)] + [
        ("mri_cheng430", run) for run in range(SETS["mri_cheng430"].runs)
    ]
    assert {job.rounds for job in found} == {2}
    assert found[-1].title == "mri_cheng430/4/federation"
    assert len(federations(["demo"], tmp_path, tmp_path, federation, runs=1)) == 1
    with pytest.raises(ValueError, match="is not a folder: point --shared"):
        federations(["cxr_nih1000"], tmp_path, tmp_path, federation)


def test_a_public_set_keeps_its_folds(shared_data: Path, tmp_path: Path, federation: Federation) -> None:
    job = replace(
        federation, name="mri_cheng430", data=str(shared_data / "mri_cheng430"), root=str(tmp_path), share=0.5
    )
    job.folder.mkdir(parents=True)
    job.prepare()
    with open(job.folder / "whole" / "cohort.csv", newline="") as file:
        splits = {row["patient"]: row["split"] for row in csv.DictReader(file)}
    for own in job.hospitals:
        with open(own.linkage, newline="") as file:
            rows = list(csv.DictReader(file))
        assert all(splits[row["patient"]] == row["split"] for row in rows)
        assert {row["label"] for row in rows if row["split"] == "training"} == {"glioma", "meningioma", "pituitary"}


def test_what_is_undefined_is_null_and_not_nan(federation: Federation, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Federated({}, {"site-1": [1]}, {"site-1": [0.5, float("nan")]})
    monkeypatch.setattr(Federation, "prepare", lambda self: {})
    monkeypatch.setattr(Federation, "train", lambda self, arm, initial: one)
    monkeypatch.setattr(Federation, "images", lambda self: {})
    assert federation.work()["validation_auc"] == {"site-1": [0.5, None]}
