"""metadata.json is complete and true: it names the network's tensors and the packages that are installed here."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import shutil
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser, ckpt_export, verify_metadata, verify_net_in_out

from fesf.scripts.data.store import decode_image
from tests.bundle.tiny import CONFIGS

METADATA = json.loads((CONFIGS / "metadata.json").read_text())
SCHEMA = Path(__file__).with_name("meta_schema.json")


def verify(metadata: Path, folder: Path) -> None:
    """Against a transcription of the schema's fields: the schema itself is not in the wheel."""
    schema = shutil.copy(SCHEMA, folder / "schema.json")
    digest = hashlib.sha256(SCHEMA.read_bytes()).hexdigest()
    verify_metadata(meta_file=str(metadata), filepath=schema, hash_val=digest, hash_type="sha256")


@pytest.mark.parametrize("name", ["metadata.json", "hospital/metadata.json"])
def test_verify_metadata(tmp_path: Path, name: str) -> None:
    verify(CONFIGS / name, tmp_path)


@pytest.mark.parametrize("field", ["task", "network_data_format"])
def test_the_transcription_refuses_what_is_incomplete(tmp_path: Path, field: str) -> None:
    incomplete = tmp_path / "metadata.json"
    incomplete.write_text(json.dumps({key: value for key, value in METADATA.items() if key != field}))
    with pytest.raises(ValueError, match=f"'{field}' is a required property"):
        verify(incomplete, tmp_path)


def test_every_tensor_is_described_in_full() -> None:
    fields = {"type", "format", "modality", "num_channels", "spatial_shape", "dtype", "value_range"}
    fields |= {"is_patch_data", "channel_def"}
    formats = METADATA["network_data_format"]
    assert list(formats["inputs"]) == ["image"]
    assert list(formats["outputs"]) == ["pred"]
    for tensor in (formats["inputs"]["image"], formats["outputs"]["pred"]):
        assert fields == set(tensor)
        assert len(tensor["channel_def"]) == tensor["num_channels"]
    for field in ("data_source", "data_type", "image_classes", "pred_classes", "intended_use", "references"):
        assert METADATA[field], field


def test_versions() -> None:
    installed = importlib.metadata.version
    assert METADATA["version"] in METADATA["changelog"]
    assert METADATA["version"] == installed("fesf")
    assert METADATA["monai_version"] == installed("monai")
    assert METADATA["pytorch_version"] == installed("torch").split("+")[0]
    assert METADATA["numpy_version"] == installed("numpy")
    hospital = json.loads((CONFIGS / "hospital" / "metadata.json").read_text())
    for name in ("version", "monai_version", "pytorch_version", "numpy_version"):
        assert hospital[name] == METADATA[name]
    for package, version in (METADATA | hospital)["required_packages_version"].items():
        assert installed(package) == version, package
    assert METADATA["required_packages_version"].items() <= hospital["required_packages_version"].items()


def test_value_range_is_the_loaders() -> None:
    import io

    import numpy as np
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.array([[0, 255]], dtype=np.uint8)).save(buffer, format="PNG")
    image = decode_image(buffer.getvalue(), {"type": "png"})
    described = METADATA["network_data_format"]["inputs"]["image"]
    assert [image.min().item(), image.max().item()] == described["value_range"]
    assert image.dtype == getattr(torch, described["dtype"])
    assert image.shape[0] == described["num_channels"]


@pytest.mark.parametrize("config", ["train.json", "inference.json"])
def test_verify_net_in_out(config: str) -> None:
    arguments = {"meta_file": str(CONFIGS / "metadata.json"), "config_file": str(CONFIGS / config), "device": "cpu"}
    verify_net_in_out("network_def", **arguments)
    with pytest.raises(ValueError, match="output channel number `3` doesn't match"):
        verify_net_in_out("network_def", num_classes=3, **arguments)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # what ckpt_export of MONAI 1.6.1 is made of
@pytest.mark.filterwarnings("ignore:Converting a tensor to a Python:torch.jit.TracerWarning")
def test_ckpt_export(tmp_path: Path) -> None:
    parser = ConfigParser()
    parser.read_config(str(CONFIGS / "inference.json"))
    network = parser.get_parsed_content("network_def").eval()
    torch.save(network.state_dict(), tmp_path / "model.pt")
    ckpt_export(
        net_id="network_def",
        filepath=str(tmp_path / "model.ts"),
        ckpt_file=str(tmp_path / "model.pt"),
        meta_file=str(CONFIGS / "metadata.json"),
        config_file=str(CONFIGS / "inference.json"),
    )
    image = torch.rand(2, 1, 64, 64)
    exported = torch.jit.load(tmp_path / "model.ts", map_location="cpu").eval()
    with torch.no_grad():
        torch.testing.assert_close(exported(image), network(image))
