"""The torchrun overlay, with two processes on the CPU, beside one process with the same global batches."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.bundle.tiny import CONFIGS, SIZE, run, workflow

EPOCHS, GLOBAL_BATCH = 4, 8
TOLERANCE = 1e-3
"""Of a metric after four epochs; sums in another order differ by 1e-7 a step, and AdamW divides small by small."""

# Equal by rights, and no more than by rights: images in order and not augmented; group norm, since batch norm sees one
# process's share alone without a GPU's SyncBatchNorm; classes in equal numbers, since a weighted mean of each share is
# not the batch's.
FIXED: dict[str, Any] = {
    "epochs": EPOCHS,
    "noise": 0.0,
    "contrast": 0.0,
    "tensorboard": False,
    "device": "$torch.device('cpu')",
    "network_def": {  # MONAI 1.6.1's ResNet keeps the batch norm of its blocks, whatever its `norm` says
        "_target_": "Classifier",
        "in_shape": [1, SIZE, SIZE],
        "classes": 2,
        "channels": [8, 16, 32],
        "strides": [2, 2, 2],
        "norm": ["group", {"num_groups": 4}],
    },
}


def history(folder: Path) -> list[dict[str, str]]:
    with open(folder / "history.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, store: Path) -> tuple[Path, str]:
    """Folder and output of a training with torchrun and two gloo processes."""
    folder = tmp_path_factory.mktemp("two")
    configs = [str(CONFIGS / name) for name in ("train.json", "multi_gpu_train.json")]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command += ["-m", "monai.bundle", "run", "training", "--config_file", repr(configs)]
    options = FIXED | {"dataset_dir": store, "ckpt_dir": folder, "output_dir": folder, "bundle_root": folder}
    options |= {"batch_size": GLOBAL_BATCH // 2, "backend": "gloo", "train#sampler#shuffle": False}
    command += [text for key, value in options.items() for text in (f"--{key}", str(value))]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=folder, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return folder, done.stdout


def test_two_processes_leave_what_one_leaves(two: tuple[Path, str], store: Path) -> None:
    folder, output = two
    rows = history(folder)
    assert [row["epoch"] for row in rows] == [str(epoch) for epoch in range(1, EPOCHS + 1)]
    state = torch.load(folder / "last.pt", weights_only=True)
    assert state["trainer"]["epoch_length"] == 3  # 24 images, 2 processes, 4 a batch
    weights = torch.load(folder / "model.pt", weights_only=True)
    assert not any(name.startswith("module.") for name in weights)
    network = workflow("train.json", dataset_dir=str(store), **FIXED).parser.get_parsed_content("network_def")
    assert {type(module).__name__ for module in network.modules() if "Norm" in type(module).__name__} == {"GroupNorm"}
    network.load_state_dict(weights)
    assert json.loads((folder / "operating_point.json").read_text())["class_names"] == ["clear", "opacity"]
    assert output.count("Key metric: val_auc") == EPOCHS  # the first process alone reports


def test_two_processes_validate_as_one_does_with_the_same_global_batch(
    two: tuple[Path, str], store: Path, tmp_path: Path
) -> None:
    ids = FIXED | {"batch_size": GLOBAL_BATCH, "train#dataloader#shuffle": False}
    run("train.json", dataset_dir=str(store), ckpt_dir=str(tmp_path), output_dir=str(tmp_path), **ids)
    one, other = history(tmp_path), history(two[0])
    for name in ("val_loss", "val_auc", "val_accuracy"):
        alone = [float(row[name]) for row in one]
        assert [float(row[name]) for row in other] == pytest.approx(alone, abs=TOLERANCE), name
    losses = [float(row["val_loss"]) for row in one]
    assert max(losses) - min(losses) > 50 * TOLERANCE  # the training moved by far more than the tolerance
    weights = [torch.load(folder / "last.pt", weights_only=True)["network"] for folder in (tmp_path, two[0])]
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=0, atol=10 * TOLERANCE, msg=name)
