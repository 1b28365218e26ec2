"""configs/networks: every classifier of MONAI by one file, on top of any config that has a network."""

from __future__ import annotations

import csv
import json
import re
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser
from torch import nn

from fesf.scripts.data.plan import NETWORKS
from fesf.scripts.engines.errors import first_cause
from tests.bundle.tiny import CONFIGS, run

OVERLAYS = sorted((CONFIGS / "networks").glob("*.json"))
ROOT = Path(__file__).parents[2]
# Class, smallest side of an image, millions of weights with two classes in 2D.
KINDS = {
    "densenet121": ("DenseNet121", 29, 6.95),
    "efficientnet_b0": ("EfficientNetBN", 32, 4.01),
    "resnet18": ("ResNet", 1, 11.17),
    "resnet50": ("ResNet", 1, 23.51),
    "seresnet50": ("SEResNet50", 3, 26.04),
    "vit": ("ViTClassifier", 1, 1.20),
}
STACKS = (
    ("train.json",),
    ("inference.json",),
    ("train.json", "plaintext.json"),
    ("train.json", "evaluate.json"),
    ("train.json", "evaluate.json", "plaintext.json"),
    ("train.json", "multi_gpu_train.json"),
)


@pytest.fixture(autouse=True)
def no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise AssertionError(f"a network must not reach the internet: {arguments}")

    monkeypatch.setattr(socket, "create_connection", refuse)


def parser(name: str, *configs: str, **ids: Any) -> ConfigParser:
    made = ConfigParser()
    made.read_config([str(CONFIGS / config) for config in (*configs, f"networks/{name}.json")])
    made.update(ids)
    return made


def network(name: str, *configs: str, **ids: Any) -> nn.Module:
    torch.manual_seed(0)
    return parser(name, *(configs or ("train.json",)), **ids).get_parsed_content("network_def")


def test_every_overlay_is_known() -> None:
    assert [path.stem for path in OVERLAYS] == sorted(KINDS) == list(NETWORKS)


@pytest.mark.parametrize("path", OVERLAYS, ids=lambda path: path.stem)
def test_an_overlay_changes_the_network_alone(path: Path) -> None:
    overlay = json.loads(path.read_text())
    assert set(overlay) - {"learning_rate"} == {"network_def"}  # one that fits the network, where the default does not
    for configs in STACKS:
        made = parser(path.stem, *configs)
        before = ConfigParser()
        before.read_config([str(CONFIGS / config) for config in configs])
        assert made["network_def"] == overlay["network_def"]
        assert {**made.config, **dict.fromkeys(overlay, 0)} == {**before.config, **dict.fromkeys(overlay, 0)}


@pytest.mark.parametrize("name", NETWORKS)
def test_training_and_inference_make_the_same_network(name: str) -> None:
    trained, inferring = network(name, "train.json", num_classes=3), network(name, "inference.json", num_classes=3)
    assert type(trained).__name__ == KINDS[name][0]
    inferring.load_state_dict(trained.state_dict())
    image = torch.rand(2, 1, 64, 64)
    with torch.no_grad():
        logits = trained.eval()(image)
        assert torch.equal(logits, inferring.eval()(image))
    assert logits.shape == (2, 3)


@pytest.mark.parametrize("name", NETWORKS)
def test_sizes_and_gradient(name: str) -> None:
    made = network(name)
    smallest = KINDS[name][1]
    for length in {128, 32, max(28, smallest), smallest}:
        with torch.no_grad():
            assert made.eval()(torch.rand(2, 1, length, length)).shape == (2, 2)
    image = torch.rand(2, 1, 64, 64)
    nn.functional.cross_entropy(made.train()(image), torch.tensor([0, 1])).backward()
    first = next(module for module in made.modules() if isinstance(module, nn.Conv2d))
    assert first.in_channels == 1
    assert first.weight.grad.abs().sum() > 0
    # DistributedDataParallel waits for the gradient of all of them.
    assert [key for key, value in made.named_parameters() if value.requires_grad and value.grad is None] == []


@pytest.mark.parametrize("name", NETWORKS)
def test_batch_norm_follows_a_short_training(name: str) -> None:
    """With MONAI's momentum of 0.01 EfficientNet's running statistics would lag some hundred steps behind."""
    momenta = {module.momentum for module in network(name).modules() if isinstance(module, nn.BatchNorm2d)}
    assert momenta == (set() if name == "vit" else {0.1})


@pytest.mark.parametrize("name", NETWORKS)
def test_volumes(name: str) -> None:
    made = network(name, spatial_dims=3, num_classes=4).eval()
    with torch.no_grad():
        assert made(torch.rand(1, 1, 32, 32, 32)).shape == (1, 4)


@pytest.mark.parametrize("name", NETWORKS)
def test_size_of_the_network_is_the_documents(name: str) -> None:
    count = sum(parameter.numel() for parameter in network(name).parameters()) / 1e6
    assert count == pytest.approx(KINDS[name][2], abs=0.01)
    readme = (ROOT / "bundle" / "docs" / "README.md").read_text()
    row = re.search(rf"^\| `{name}` \|.*\| (\d+) \| ([\d.]+) \|", readme, re.MULTILINE)
    assert row, f"the bundle's README has no row for {name}"
    assert row.groups() == (str(KINDS[name][1]), f"{count:.1f}")


@pytest.mark.parametrize("name", NETWORKS)
def test_scripts_as_ckpt_export_does(name: str) -> None:
    made = network(name).eval()
    scripted = torch.jit.script(made)
    image = torch.rand(2, 1, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(scripted(image), made(image), rtol=1e-4, atol=1e-4)


def test_vit_from_training_to_predictions(tmp_path: Path, store: Path) -> None:
    places = {"dataset_dir": str(store), "ckpt_dir": str(tmp_path), "output_dir": str(tmp_path)}
    run("train.json", "networks/vit.json", **places, epochs=1)
    run("train.json", "evaluate.json", "networks/vit.json", **places, bootstrap=20)
    run("inference.json", "networks/vit.json", kind="infer", **places)
    assert any(key.startswith("vit.") for key in torch.load(tmp_path / "model.pt", weights_only=True))
    assert json.loads((tmp_path / "metrics.json").read_text())
    with open(tmp_path / "predictions.csv", newline="") as file:
        assert all(0 < float(row["p_opacity"]) < 1 for row in csv.DictReader(file))


def test_missing_einops_ends_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "einops", None)
    with pytest.raises(RuntimeError) as error:
        network("vit", "inference.json")
    assert str(first_cause(error.value)).startswith("ViTClassifier needs the package einops: pip install einops")
