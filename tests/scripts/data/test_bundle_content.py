"""What the bundles hold, and that what they were exported to agrees with what they were exported from."""

from __future__ import annotations

import io
import json
import posixpath
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.data import load_net_with_metadata
from PIL import Image
from torch import nn

from fesf.networks import EnhancementGenerator, SurrogateNet
from fesf.scripts.data import bundle_content as module
from fesf.scripts.data.bundle_content import analyst_members, hospital_members, real_surrogates, torchscript
from fesf.scripts.data.files import file_sha256, to_json
from fesf.scripts.data.recipe import Recipe

pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Converting a tensor to a Python:torch.jit.TracerWarning"),
]
SIZE = 32


def loaded(content: bytes) -> nn.Module:
    network: nn.Module = torch.jit.load(io.BytesIO(content), map_location="cpu").eval()
    return network


@pytest.fixture(scope="module")
def analyst(store: Path, trained: tuple[Path, ConfigWorkflow]) -> dict[str, bytes]:
    return analyst_members(store, trained[0])


def test_the_analysts_bundle_has_the_zoos_files(analyst: dict[str, bytes]) -> None:
    assert {
        "LICENSE",
        "configs/metadata.json",
        "configs/train.json",
        "configs/evaluate.json",
        "configs/inference.json",
        "configs/logging.conf",
        "configs/networks/densenet121.json",
        "docs/README.md",
        "docs/data_license.txt",
        "models/model.pt",
        "models/model.ts",
        "models/operating_point.json",
        "fesf/scripts/data/store.py",
        "fesf/scripts/verify_store.py",
    } <= set(analyst)
    hospitals = ("hide.json", "enhance.json", "audit.json", "quality.json", "plaintext.json", "generator.pt", "hosts/")
    assert not [name for name in analyst if any(part in name for part in hospitals)]
    assert not [name for name in analyst if name.startswith(("fesf/scripts/audit", "fesf/scripts/canaries"))]


def test_its_pages_link_to_nothing_that_it_lacks(analyst: dict[str, bytes]) -> None:
    for name in ("docs/README.md", "docs/model_card.md"):
        text = analyst[name].decode()
        links = [link for link in re.findall(r"\]\(([^)#]+)", text) if not link.startswith("https://")]
        assert links
        assert [link for link in links if posixpath.normpath(f"docs/{link}") not in analyst] == []
    assert "(`docs/results.md` of the source)" in analyst["docs/README.md"].decode()


def test_its_metadata_is_the_stores(analyst: dict[str, bytes]) -> None:
    metadata = json.loads(analyst["configs/metadata.json"])
    formats = metadata["network_data_format"]
    assert formats["inputs"]["image"]["spatial_shape"] == [SIZE, SIZE]
    assert formats["outputs"]["pred"]["channel_def"] == {"0": "clear", "1": "opacity"}
    assert "fesf" not in metadata["required_packages_version"]  # its code lies in the bundle


def test_its_torchscript_gives_the_eager_networks_values_on_surrogates(
    analyst: dict[str, bytes], store: Path, trained: tuple[Path, ConfigWorkflow]
) -> None:
    parser = ConfigParser(json.loads(analyst["configs/inference.json"]))
    eager = parser.get_parsed_content("network_def").eval()
    eager.load_state_dict(torch.load(trained[0] / "model.pt", weights_only=True))
    images = real_surrogates(store)
    assert images.shape == (16, 1, SIZE, SIZE)
    with torch.no_grad():
        torch.testing.assert_close(loaded(analyst["models/model.ts"])(images), eager(images), atol=1e-5, rtol=0)


def test_its_torchscript_carries_the_metadata(analyst: dict[str, bytes]) -> None:
    _, metadata, _ = load_net_with_metadata(io.BytesIO(analyst["models/model.ts"]))
    assert metadata == json.loads(analyst["configs/metadata.json"])


def test_without_vendored_code_it_requires_the_package(store: Path, trained: tuple[Path, ConfigWorkflow]) -> None:
    members = analyst_members(store, trained[0], vendor=False)
    assert not [name for name in members if name.startswith("fesf/")]
    assert json.loads(members["configs/metadata.json"])["required_packages_version"]["fesf"] == "0.1.0"


def test_another_network_than_the_weights_is_refused(store: Path, trained: tuple[Path, ConfigWorkflow]) -> None:
    with pytest.raises(ValueError, match=r"^model\.pt does not fit the network \(RuntimeError\): name its network by"):
        analyst_members(store, trained[0], "densenet121")
    with pytest.raises(ValueError, match=r"^--network 'resnet5' is unknown: choose one of densenet121, "):
        analyst_members(store, trained[0], "resnet5")


def test_the_network_is_written_into_the_configs(
    store: Path, trained: tuple[Path, ConfigWorkflow], tmp_path: Path
) -> None:
    override = json.loads((module.configs_folder() / "networks" / "resnet18.json").read_bytes())
    parser = ConfigParser(json.loads((module.configs_folder() / "inference.json").read_bytes()) | override)
    torch.save(parser.get_parsed_content("network_def").state_dict(), tmp_path / "model.pt")
    (tmp_path / "operating_point.json").write_bytes((trained[0] / "operating_point.json").read_bytes())
    members = analyst_members(store, tmp_path, "resnet18")
    for name in ("train", "inference"):
        assert json.loads(members[f"configs/{name}.json"])["network_def"] == override["network_def"]


def test_a_store_with_other_classes_is_refused(
    store: Path, trained: tuple[Path, ConfigWorkflow], tmp_path: Path
) -> None:
    point = json.loads((trained[0] / "operating_point.json").read_bytes()) | {"class_names": ["a", "b"]}
    (tmp_path / "operating_point.json").write_text(json.dumps(point))
    with pytest.raises(ValueError, match="The model was trained on other classes than the store's"):
        analyst_members(store, tmp_path)


def test_a_missing_model_says_what_to_do(store: Path, trained: tuple[Path, ConfigWorkflow], tmp_path: Path) -> None:
    (tmp_path / "operating_point.json").write_bytes((trained[0] / "operating_point.json").read_bytes())
    with pytest.raises(ValueError, match=r"^There is no model\.pt in the folder: run make train first, or name"):
        analyst_members(store, tmp_path)


class Hospital:
    """A release of three hosts, written by hand: the recipe's document, hosts, generator."""

    def __init__(self, folder: Path, generator: bool = True, **recipe: object) -> None:
        random = np.random.default_rng(5)
        self.hosts, self.folder = folder / "hosts", folder / "hospital"
        self.hosts.mkdir(parents=True)
        self.folder.mkdir()
        for index in range(3):
            pixels = random.integers(0, 256, (SIZE, SIZE), dtype=np.uint8)
            Image.fromarray(pixels).save(self.hosts / f"{index}.png")
        self.generator = folder / "generator.pt" if generator else None
        if self.generator:
            torch.manual_seed(3)
            net = EnhancementGenerator(2)
            for weights in net.parameters():  # as it starts it is the identity
                nn.init.normal_(weights, std=0.05)
            torch.save(net.state_dict(), self.generator)
        made = Recipe("r1", image_size=(SIZE, SIZE), generator_sha256=file_sha256(self.generator), **recipe)  # type: ignore[arg-type]
        document = made.document(str(file_sha256(self.hosts / "1.png")), "own", {})
        (self.folder / "release.json").write_bytes(to_json(document))

    def members(self, vendor: bool = False) -> dict[str, bytes]:
        return hospital_members(self.hosts, self.folder, self.generator, vendor)


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Hospital:
    return Hospital(tmp_path_factory.mktemp("hospital"), alpha=0.2, beta=0.25, second_beta=0.75)


def test_the_hospitals_bundle_has_the_releases_recipe_host_and_generator(hospital: Hospital) -> None:
    members = hospital.members(vendor=True)
    for name in ("configs/inference.json", "configs/hide.json"):
        config = json.loads(members[name])
        assert (config["alpha"], config["beta"], config["second_alpha"], config["second_beta"]) == (
            0.2,
            0.25,
            0.2,
            0.75,
        )
        assert (config["host"], config["stage"], config["image_size"]) == ("1.png", "surrogate", [SIZE, SIZE])
        assert config["intensity_range"] is None
    assert members["hosts/1.png"] == (hospital.hosts / "1.png").read_bytes()
    assert hospital.generator is not None
    assert members["models/generator.pt"] == hospital.generator.read_bytes()
    assert {"configs/audit.json", "fesf/scripts/audit/audit.py", "fesf/scripts/make_cohort.py"} <= set(members)
    metadata = json.loads(members["configs/metadata.json"])["network_data_format"]
    assert metadata["inputs"]["image"]["spatial_shape"] == metadata["outputs"]["pred"]["spatial_shape"] == [SIZE, SIZE]


def test_its_torchscript_and_weights_are_the_pipelines(hospital: Hospital) -> None:
    members = hospital.members()
    assert hospital.generator is not None
    generator = EnhancementGenerator(2)
    generator.load_state_dict(torch.load(hospital.generator, weights_only=True))
    host = torch.from_numpy(np.asarray(Image.open(hospital.hosts / "1.png")).T / np.float32(255))[None]
    net = SurrogateNet(host, 0.2, 0.25, generator.eval(), second_alpha=0.2, second_beta=0.75)
    plain = torch.rand(3, 1, SIZE, SIZE)
    with torch.no_grad():
        expected = net(plain)
        assert float((expected - SurrogateNet(host, 0.2, 0.25)(plain)).abs().max()) > 0.01  # the generator matters
        torch.testing.assert_close(loaded(members["models/model.ts"])(plain), expected, atol=1e-5, rtol=0)
    state = torch.load(io.BytesIO(members["models/model.pt"]), weights_only=True)
    torch.testing.assert_close(state["host"], host)


def test_a_release_that_hid_once_needs_no_generator(tmp_path: Path) -> None:
    members = Hospital(tmp_path, generator=False, intensity_range=[0, 255]).members()
    config = json.loads(members["configs/inference.json"])
    assert (config["generator_file"], config["stage"], config["second_alpha"]) == (None, "synthetic", None)
    assert config["intensity_range"] == [0, 255]
    assert "models/generator.pt" not in members


def test_another_host_pool_or_generator_is_refused(hospital: Hospital, tmp_path: Path) -> None:
    other = Hospital(tmp_path, generator=False)
    (other.hosts / "1.png").unlink()
    with pytest.raises(ValueError, match=r"^The release's host is not in the folder of hosts: name the folder that"):
        hospital_members(other.hosts, other.folder, None)
    with pytest.raises(
        ValueError, match=r"^The generator is not the release's: name the file that hide\.json was given"
    ):
        hospital_members(hospital.hosts, hospital.folder, None)


def test_an_export_that_differs_is_refused() -> None:
    class Drifting(nn.Module):
        """Adds what it was traced with, as a traced branch would."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + float(x.mean())

    with pytest.raises(ValueError, match=r"^The exported network differs from the eager one by .*, more than 1e-05"):
        torchscript(Drifting(), torch.rand(2, 1, 4, 4), {})
