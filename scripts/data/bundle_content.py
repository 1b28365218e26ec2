"""What the two bundles hold: the analyst's, which may leave, and the hospital's, which stays."""

from __future__ import annotations

import importlib.metadata
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.data import save_net_with_metadata
from torch import Tensor, nn

from fesf.networks.export import ExportableSurrogateNet
from fesf.scripts.data.bundle_zip import NAMESPACE, targets, vendored
from fesf.scripts.data.files import file_sha256, to_json
from fesf.scripts.data.folders import RELEASE
from fesf.scripts.data.hosts import host_files
from fesf.scripts.data.recipe import DTYPE_MAXIMUM
from fesf.scripts.data.run_folder import configs_folder
from fesf.scripts.data.store import load_datalist, load_manifest
from fesf.scripts.data.store_format import load_dataset
from fesf.scripts.engines.operating_point import FILE as OPERATING_POINT
from fesf.scripts.engines.operating_point import load_operating_point

WEIGHTS, GENERATOR = "models/model.pt", "models/generator.pt"
ANALYST_CONFIGS = ("train", "evaluate", "inference", "multi_gpu_train", "performance", "pooled", "federated", "mlflow")
ANALYST_CODE = ("fesf.scripts.verify_store", "fesf.scripts.engines.served_classifier")
"""Commands and files of the analyst's that no config names as a target."""
HOSPITAL_CONFIGS = ("hide", "enhance", "quality", "audit")
HOSPITAL_CODE = tuple(
    f"fesf.scripts.{name}"
    for name in (
        "make_cohort",
        "verify_store",
        "link",
        "release",
        "release_log",
        "make_key",
        "rotate_secret",
        "audit.__main__",
    )
)
AGREEMENT = 1e-5
"""Largest difference of an exported network from the eager one, on the images it is checked on."""
RECIPE = (
    "alpha",
    "beta",
    "second_alpha",
    "second_beta",
    "stage",
    "image_size",
    "pixel_spacing",
    "mask_text",
)
"""Fields of ``release.json`` that ``hospital/inference.json`` has ids for."""


def analyst_members(
    store: str | Path, ckpt_dir: str | Path, network: str | None = None, vendor: bool = True
) -> dict[str, bytes]:
    """The analyst's bundle: configs, documents, classifier, and by choice our code; nothing of the hospital's.

    Args:
        store: the store that the classifier was trained on: shape and class names are its.
        ckpt_dir: folder with ``model.pt`` and ``operating_point.json``.
        network: name of a file of ``configs/networks``; None for the small CNN.
        vendor: whether our code lies in it; else it requires the installed package.

    Returns:
        Content by name below the bundle's folder.

    Raises:
        ValueError: when the model is missing, or its weights do not fit the network.
        StoreError: when the folder is no store.
    """
    folder, bundle = Path(ckpt_dir), configs_folder().parent
    shape = [int(length) for length in load_manifest(store)["spatial_size"]]
    names = [str(name) for name in load_dataset(store)["class_names"]]
    if load_operating_point(folder / OPERATING_POINT).class_names != names:
        raise ValueError(
            "The model was trained on other classes than the store's: give the store that it was trained on."
        )
    members = _configs(ANALYST_CONFIGS, network, {"spatial_dims": len(shape), "num_classes": len(names)})
    metadata = _metadata(bundle / "configs" / "metadata.json", shape, vendor)
    pred = metadata["network_data_format"]["outputs"]["pred"]
    pred |= {"num_channels": len(names), "channel_def": {str(index): name for index, name in enumerate(names)}}
    members["configs/metadata.json"] = to_json(metadata)
    for name in ("LICENSE", "docs/data_license.txt", "configs/logging.conf"):
        members[name] = (bundle / name).read_bytes()
    for name in ("docs/README.md", "docs/model_card.md"):
        members[name] = page_of(bundle / name)
    members[WEIGHTS] = _bytes_of(folder / "model.pt")
    members[f"models/{OPERATING_POINT}"] = (folder / OPERATING_POINT).read_bytes()
    classifier = _network(members["configs/inference.json"])
    load_weights(classifier, members[WEIGHTS])
    images = real_surrogates(store)
    members["models/model.ts"] = torchscript(classifier.eval(), images, metadata)
    if vendor:
        members |= vendored([*_targets(members), *ANALYST_CODE])
    return members


def hospital_members(
    hosts: str | Path, hospital: str | Path, generator: str | Path | None = None, vendor: bool = True
) -> dict[str, bytes]:
    """The hospital's bundle: pipeline, recipe, hosts and generator of one release. It stays in the hospital.

    Args:
        hosts: folder of the public hosts; the release's host is found in it by its digest.
        hospital: the release's folder with ``release.json``.
        generator: the generator's file; None for a release that hid once.
        vendor: as :func:`analyst_members`.

    Returns:
        Content by name below the bundle's folder.

    Raises:
        ValueError: when the release or its host is missing, or the generator is not the release's.
    """
    bundle = configs_folder().parent
    document = json.loads(_bytes_of(Path(hospital) / RELEASE))
    host = next((path.name for path in host_files(Path(hosts)) if file_sha256(path) == document["host_sha256"]), None)
    if host is None:
        raise ValueError("The release's host is not in the folder of hosts: name the folder that hide.json was given.")
    if file_sha256(generator) != document["generator_sha256"]:
        raise ValueError(
            "The generator is not the release's: name the file that hide.json was given, or none where it hid once."
        )
    scale = document["intensity_rule"]["scale"]
    settings = {name: document[name] for name in RECIPE} | {"host": host, "hosts_dir": "$@bundle_root + '/hosts'"}
    settings["intensity_range"] = None if scale == DTYPE_MAXIMUM else scale
    if generator is not None:
        settings["generator_file"] = f"$@bundle_root + '/{GENERATOR}'"
    members = _configs(HOSPITAL_CONFIGS, None, settings)
    members |= {f"hosts/{path.name}": path.read_bytes() for path in host_files(Path(hosts))}
    if generator is not None:
        members[GENERATOR] = _bytes_of(Path(generator))
    config = json.loads((bundle / "configs" / "hospital" / "inference.json").read_bytes()) | settings
    members["configs/inference.json"] = to_json_in_order(config)
    metadata = _metadata(bundle / "configs" / "hospital" / "metadata.json", settings["image_size"], vendor)
    members["configs/metadata.json"] = to_json(metadata)
    for name in ("LICENSE", "docs/data_license.txt", "configs/logging.conf"):
        members[name] = (bundle / name).read_bytes()
    members["docs/README.md"] = page_of(bundle / "docs" / "hospital.md")
    net = _network(members["configs/inference.json"], hosts_dir=str(hosts), generator_file=generator and str(generator))
    members[WEIGHTS] = saved(net.state_dict())
    if len(settings["image_size"]) == 2:  # volumes are not exported
        plain = torch.rand(2, 1, *settings["image_size"], generator=torch.Generator().manual_seed(0))
        members["models/model.ts"] = torchscript(ExportableSurrogateNet(net.eval()), plain, metadata, net)  # type: ignore[arg-type]
    if vendor:
        members |= vendored([*_targets(members), *HOSPITAL_CODE])
    return members


def page_of(path: Path) -> bytes:
    """A page as it is in a bundle: links to what the bundle does not hold become the place in the source."""
    text = path.read_text(encoding="utf-8")
    text = re.sub(r"\[([^\]]+)\]\(hospital\.md\)", r"\1", text)
    return re.sub(r"\[([^\]]+)\]\(\.\./\.\./([^)]+)\)", r"\1 (`\2` of the source)", text).encode()


def torchscript(
    network: nn.Module, images: Tensor, metadata: Mapping[str, Any], eager: nn.Module | None = None
) -> bytes:
    """A traced network with its metadata, once its results on the images are the eager network's.

    Args:
        network: in evaluation mode.
        images: (N, C, *spatial), N at least 1; it is traced on the first.
        metadata: kept in the file, as MONAI's ``ckpt_export`` does.
        eager: whose results it shall have; None for ``network``'s own.

    Raises:
        ValueError: when they differ by more than :data:`AGREEMENT`.
    """
    with torch.inference_mode(False), torch.no_grad():
        traced = torch.jit.trace(network, images[:1], check_trace=False)
        difference = float((traced(images) - (eager or network)(images)).abs().max())
    if not difference <= AGREEMENT:
        raise ValueError(f"The exported network differs from the eager one by {difference:.1e}, more than {AGREEMENT}.")
    buffer = io.BytesIO()
    save_net_with_metadata(traced, buffer, include_config_vals=False, meta_values=metadata)
    return buffer.getvalue()


def real_surrogates(store: str | Path, count: int = 16) -> Tensor:
    """Some surrogates of a store, (N, 1, *spatial) in [0, 1]."""
    from fesf.scripts.data.store import LoadImageStored

    load = LoadImageStored("image", store)
    return torch.stack([load(item)["image"].as_tensor() for item in load_datalist(store, "all")[:count]])


def load_weights(network: nn.Module, content: bytes) -> None:
    """Load a raw state dict.

    Raises:
        ValueError: when it is none, or is another network's.
    """
    try:
        network.load_state_dict(torch.load(io.BytesIO(content), map_location="cpu", weights_only=True))
    except Exception as error:
        raise ValueError(
            f"model.pt does not fit the network ({type(error).__name__}): name its network by --network."
        ) from None


def saved(state: Mapping[str, Any]) -> bytes:
    """A state dict as bytes."""
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    return buffer.getvalue()


def to_json_in_order(value: Any) -> bytes:
    """JSON that keeps the order of a config, which a reader follows."""
    return (json.dumps(value, indent=4, ensure_ascii=False) + "\n").encode()


def _configs(names: Sequence[str], network: str | None, values: Mapping[str, Any]) -> dict[str, bytes]:
    """Configs as they are, but for ids whose value follows from the store or the release."""
    folder = configs_folder()
    override = _override(folder, network)
    members = {
        f"configs/networks/{path.name}": path.read_bytes() for path in sorted((folder / "networks").glob("*.json"))
    }
    for name in names:
        config = json.loads((folder / f"{name}.json").read_bytes())
        own = {**values, **(override if "network_def" in config else {})}
        changed = {key: value for key, value in own.items() if key in config and config[key] != value}
        text = (folder / f"{name}.json").read_bytes()
        members[f"configs/{name}.json"] = to_json_in_order(config | changed) if changed else text
    return members


def _override(folder: Path, network: str | None) -> dict[str, Any]:
    if network is None:
        return {}
    file = folder / "networks" / f"{network}.json"
    if not file.is_file():
        known = ", ".join(sorted(path.stem for path in file.parent.glob("*.json")))
        raise ValueError(f"--network {network!r} is unknown: choose one of {known}.")
    found: dict[str, Any] = json.loads(file.read_bytes())
    return found


def _metadata(path: Path, shape: Sequence[int], vendor: bool) -> dict[str, Any]:
    metadata: dict[str, Any] = json.loads(path.read_bytes())
    formats = metadata["network_data_format"]
    for tensor in (formats["inputs"]["image"], formats["outputs"]["pred"]):
        if tensor["spatial_shape"]:
            tensor["spatial_shape"] = list(shape)
    if vendor:  # its code lies in the bundle
        del metadata["required_packages_version"][NAMESPACE]
    else:
        metadata["required_packages_version"][NAMESPACE] = importlib.metadata.version(NAMESPACE)
    return metadata


def _network(config: bytes, **ids: Any) -> nn.Module:
    parser = ConfigParser(json.loads(config))
    for name, value in ids.items():
        parser[name] = value
    network: nn.Module = parser.get_parsed_content("network_def")
    return network


def _targets(members: Mapping[str, bytes]) -> Iterable[str]:
    for name, content in members.items():
        if name.startswith("configs/") and name.endswith(".json"):
            yield from (target for target in targets(json.loads(content)) if target.startswith(f"{NAMESPACE}."))


def _bytes_of(path: Path) -> bytes:
    if not path.is_file():
        raise ValueError(
            f"There is no {path.name} in the folder: run make train first, or name the folder that has it."
        )
    return path.read_bytes()
