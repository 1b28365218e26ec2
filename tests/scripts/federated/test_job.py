"""The job's folder: what each machine gets, and that it trains as the federation in this process does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from fesf.scripts.data.run_folder import configs_folder
from fesf.scripts.federated.averaging import largest_difference, to_arrays, to_state
from fesf.scripts.federated.job import GLOBAL_MODEL, allow, classes, network_config, write_job
from fesf.scripts.federated.rounds import Client, State, federate

from .conftest import IDS
from .fake_nvflare import simulate


@pytest.fixture
def job(stores: dict[str, Path], initial: State, tmp_path: Path) -> Path:
    return write_job(tmp_path / "job", stores, 2, 2, initial, IDS)


def text(folder: Path) -> str:
    return "".join(path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file())


def test_a_job_trains_as_the_federation_does(job: Path, clients: list[Client], initial: State, tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    allow(job, workspace)
    assert simulate(job, workspace) == 4
    theirs = torch.load(workspace / GLOBAL_MODEL, weights_only=True)["model"]
    ours = federate(clients, 2, 2, initial, IDS).weights
    assert largest_difference(ours, to_state(to_arrays(theirs), initial)) < 1e-6
    assert largest_difference(ours, initial, counters=False) > 1e-2


def test_each_machine_gets_its_own_and_no_more(job: Path, stores: dict[str, Path]) -> None:
    meta = json.loads((job / "meta.json").read_text())
    assert meta["deploy_map"] == {
        "app_server": ["server"], "app_site-1": ["site-1"], "app_site-2": ["site-2"]
    }  # fmt: skip
    assert meta["min_clients"] == 2
    server = text(job / "app_server")
    assert not any(str(store) in server for store in stores.values())
    assert {path.name for path in (job / "app_server").rglob("*.json")} == {"config_fed_server.json", "network.json"}
    for site, store in stores.items():
        other = next(path for name, path in stores.items() if name != site)
        assert f'"{store}"' in text(job / f"app_{site}")
        assert f'"{other}"' not in text(job / f"app_{site}")
        for name in ("train", "federated", "metadata"):
            ours = (configs_folder() / f"{name}.json").read_bytes()
            assert (job / f"app_{site}" / "bundle" / "configs" / f"{name}.json").read_bytes() == ours
    config = json.loads((job / "app_site-1" / "config" / "config_fed_client.json").read_text())
    (component,) = config["components"]
    assert component["args"]["local_epochs"] == 2
    assert component["args"]["train_kwargs"]["epochs"] == 4
    server_config = json.loads((job / "app_server" / "config" / "config_fed_server.json").read_text())
    assert server_config["workflows"][0]["args"]["num_rounds"] == 2


def test_sites_allow_the_job_s_classes_and_no_others(job: Path, tmp_path: Path) -> None:
    found = classes(job)
    assert len(found) == len(set(found)) == 6
    assert "monai.fl.client.MonaiAlgo" in found
    assert {name.split(".")[0] for name in found} == {"monai", "monai_nvflare", "nvflare"}
    written = json.loads(allow(job, tmp_path / "ws").read_text())
    assert written == {"format_version": 2, "class_allow_list": found}


def test_the_server_s_network_is_train_json_s() -> None:
    found = network_config({"num_classes": 5, "epochs": 3})
    config = json.loads((configs_folder() / "train.json").read_text())
    assert found == {"network_def": config["network_def"], "num_classes": 5, "spatial_dims": config["spatial_dims"]}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rounds": 0}, "rounds 0 must be at least 1"),
        ({"local_epochs": 0}, "local_epochs 0 must be at least 1"),
        ({"stores": {}}, "number of stores 0 must be at least 1"),
        ({"stores": {"../x": "a"}}, r"Site '\.\./x'"),
        ({"stores": {"server": "a"}}, "Site 'server'"),
    ],
)
def test_mistakes_leave_no_folder(changed: dict, message: str, initial: State, tmp_path: Path) -> None:
    given = {"stores": {"a": "b"}, "rounds": 1, "local_epochs": 1} | changed
    with pytest.raises(ValueError, match=message):
        write_job(tmp_path / "job", initial=initial, ids=IDS, **given)
    assert not list(tmp_path.iterdir())


def test_a_folder_is_not_overwritten(job: Path, stores: dict[str, Path], initial: State) -> None:
    with pytest.raises(ValueError, match="exists: name a new folder"):
        write_job(job, stores, 1, 1, initial, IDS)
