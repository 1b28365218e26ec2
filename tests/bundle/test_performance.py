"""Knobs of speed: channels-last and compile run on the CPU, mixed precision is asked of a GPU alone."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.bundle.tiny import run, workflow

OVERLAY = ("train.json", "performance.json")


def curve(folder: Path, store: Path, *configs: str, **ids: Any) -> list[float]:
    run(*configs, dataset_dir=str(store), ckpt_dir=str(folder), output_dir=str(folder), epochs=3, **ids)
    with open(folder / "history.csv", newline="") as file:
        return [float(row["val_loss"]) for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, store: Path) -> list[float]:
    """Validation losses without the overlay."""
    return curve(tmp_path_factory.mktemp("plain"), store, "train.json")


def test_channels_last_trains_to_the_same_losses(tmp_path: Path, store: Path, plain: list[float]) -> None:
    assert curve(tmp_path, store, *OVERLAY) == pytest.approx(plain, abs=2e-3)
    built = workflow(*OVERLAY, dataset_dir=str(store), ckpt_dir=str(tmp_path), output_dir=str(tmp_path))
    last, usual = (
        workflow(*OVERLAY, dataset_dir=str(store), channels_last=asked).parser.get_parsed_content("network")
        for asked in (True, False)
    )
    assert last.layer1[0].conv1.weight.is_contiguous(memory_format=torch.channels_last)
    assert not last.layer1[0].conv1.weight.is_contiguous()
    assert usual.layer1[0].conv1.weight.is_contiguous()
    built.parser.get_parsed_content("network_def").load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))


def test_volumes_take_the_three_dimensional_format(store: Path) -> None:
    network = workflow(*OVERLAY, dataset_dir=str(store), spatial_dims=3).parser.get_parsed_content("network")
    assert network.layer1[0].conv1.weight.is_contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.filterwarnings("ignore")  # torch.compile's own, of torch's and Python's parts
def test_a_compiled_training_leaves_the_bare_networks_weights(tmp_path: Path, store: Path, plain: list[float]) -> None:
    backend = "eager"  # Dynamo's graph without inductor's minute of C++
    found = curve(tmp_path, store, *OVERLAY, compile=True, compile_backend=backend, channels_last=False)
    assert found == pytest.approx(plain, abs=2e-3)
    for name in ("model.pt", "last.pt"):
        state = torch.load(tmp_path / name, weights_only=True)
        assert not any(key.startswith("_orig_mod") for key in state.get("network", state))
    run(
        "train.json", "evaluate.json", "performance.json",
        dataset_dir=str(store), ckpt_dir=str(tmp_path), output_dir=str(tmp_path), compile=True, compile_backend=backend,
    )  # fmt: skip
    assert (tmp_path / "metrics.json").is_file()


def test_the_default_compiler_is_inductor(store: Path) -> None:
    built = workflow(*OVERLAY, dataset_dir=str(store))
    assert built.parser["train#trainer#compile_kwargs"] == {"backend": "@compile_backend"}
    assert built.parser.get_parsed_content("compile_backend") == "inductor"


def test_mixed_precision_is_for_a_gpu(store: Path) -> None:
    """MONAI's engines autocast for CUDA alone: on a CPU the knob leaves float32 and says nothing else."""
    trainer = workflow(*OVERLAY, dataset_dir=str(store)).parser.get_parsed_content("train#trainer")
    assert trainer.amp is False
    assert trainer.amp_kwargs == {"dtype": torch.bfloat16}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_mixed_precision_on_a_gpu(tmp_path: Path, store: Path, plain: list[float]) -> None:
    found = curve(tmp_path, store, *OVERLAY, device="$torch.device('cuda')", channels_last=True)
    assert found == pytest.approx(plain, abs=0.05)
    assert found != plain
