"""A config as it is logged: nobody's folders, the store by its digest, no tracking."""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from fesf.scripts.data.logged_config import logged_config, logged_params, manifest_sha256, same_store

CONFIG: dict[str, Any] = {
    "_meta_": {},
    "bundle_root": "/data/schmidt/bundle",
    "dataset_dir": "/data/schmidt/store",
    "output_dir": "$@bundle_root + '/eval'",
    "epochs": 3,
    "amp": False,
    "device": "$torch.device('cpu')",
    "note": "/data/schmidt/weights/own.pt",
    "curve": "$open('/data/schmidt/store/curve.csv')",
    "tracking_uri": "http://server",
    "cohort": None,
    "store": {"_target_": "signed", "store": "@dataset_dir"},
    "network_def": {"_target_": "ResNet"},
    "train": {"handlers": ["%history", {"_target_": "fesf.x.TrackingHandler"}, {"_target_": "MLFlowHandler"}]},
}


def test_no_folder_and_no_tracking_is_kept() -> None:
    before = copy.deepcopy(CONFIG)
    found = logged_config(CONFIG, "ab" * 32)
    assert before == CONFIG
    assert "schmidt" not in json.dumps(found)
    assert not {"tracking_uri", "cohort", "_meta_"} & set(found)
    assert found["train"]["handlers"] == ["%history"]
    assert (found["dataset_dir"], found["output_dir"], found["bundle_root"]) == ("store", "eval", ".")
    assert found["note"] == "own.pt"
    assert found["curve"] == "$open('store/curve.csv')"
    assert (found["epochs"], found["device"]) == (3, "$torch.device('cpu')")
    assert found["store"]["store"] == CONFIG["store"]
    assert found["store"]["sha256"] == "ab" * 32


def test_params_are_plain_values() -> None:
    assert logged_params(logged_config(CONFIG, "ab")) == {
        "epochs": "3", "amp": "False", "note": "own.pt", "network": "ResNet",
    }  # fmt: skip


def test_another_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    digest = hashlib.sha256(b"{}").hexdigest()
    assert manifest_sha256(tmp_path) == digest
    assert same_store(str(tmp_path), digest) == str(tmp_path)
    assert same_store(None, digest) is None
    (tmp_path / "manifest.json").write_text("{ }")
    with pytest.raises(ValueError, match="this config was logged for another store"):
        same_store(str(tmp_path), digest)
