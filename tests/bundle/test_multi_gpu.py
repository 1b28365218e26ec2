"""The torchrun overlay, with two processes on the CPU."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import torch

from tests.bundle.tiny import CONFIGS, workflow


def test_two_processes(tmp_path: Path, store: Path) -> None:
    configs = [str(CONFIGS / name) for name in ("train.json", "multi_gpu_train.json")]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command += ["-m", "monai.bundle", "run", "training", "--config_file", repr(configs)]
    options = {"dataset_dir": store, "ckpt_dir": tmp_path, "output_dir": tmp_path, "bundle_root": tmp_path}
    options |= {"epochs": 2, "batch_size": 4, "tensorboard": False, "device": "$torch.device('cpu')", "backend": "gloo"}
    command += [text for key, value in options.items() for text in (f"--{key}", str(value))]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    with open(tmp_path / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[1]["train_loss"]) < float(rows[0]["train_loss"])
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    assert state["trainer"]["epoch_length"] == 3  # 24 images, 2 processes, 4 a batch
    weights = torch.load(tmp_path / "model.pt", weights_only=True)
    assert not any(name.startswith("module.") for name in weights)
    network = workflow("train.json", dataset_dir=str(store)).parser.get_parsed_content("network_def")
    network.load_state_dict(weights)
    assert json.loads((tmp_path / "operating_point.json").read_text())["class_names"] == ["clear", "opacity"]
    assert done.stdout.count("Key metric: val_auc") == 2  # the first process alone reports
