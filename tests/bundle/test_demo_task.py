"""The demo is a task and no toy: the default classifier learns it from plaintexts, and not perfectly.

That histograms do not suffice is tested beside the generator, in ``tests/scripts/test_make_demo.py``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigWorkflow

from fesf.scripts.data.run_folder import configs_folder
from fesf.scripts.make_demo import make_demo


def run(configs: list[str], run_id: str, kind: str, **ids: Any) -> None:
    paths = [str(configs_folder() / f"{name}.json") for name in configs]
    device = {"device": "$torch.device('cpu')"}
    workflow = ConfigWorkflow(paths, workflow_type=kind, run_id=run_id, logging_file=False, **(device | ids))
    workflow.initialize()
    workflow.run()
    workflow.finalize()


def test_plaintext_classifier_learns_the_default_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    demo = tmp_path / "demo"
    cohort, hospital = str(make_demo(demo)), tmp_path / "hospital"
    hosts = {"hosts_dir": str(demo / "hosts"), "secret_file": str(demo / "secret")}
    places = {"store_dir": str(tmp_path / "store"), "hospital_dir": str(hospital)}
    run(["hide"], "hiding", "infer", cohort=cohort, **hosts, **places)
    ids = {"cohort": cohort, "splits": str(hospital / "splits.csv"), "tensorboard": False}
    ids |= {"output_dir": str(tmp_path / "out"), "ckpt_dir": str(tmp_path / "models")}
    run(["train", "plaintext"], "training", "train", **ids)
    run(["train", "evaluate", "plaintext"], "evaluating", "train", **ids)
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["split"] == "test"
    assert metrics["unit"] == "patients"
    assert 0.93 <= metrics["metrics"]["auc"]["value"] < 1.0
    assert metrics["majority_class"]["auc"] == 0.5
