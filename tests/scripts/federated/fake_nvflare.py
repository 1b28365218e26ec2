"""What NVFLARE does with a job, in this process: each app by itself, as its machine would find it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.fl.client import MonaiAlgo
from monai.fl.utils.constants import ExtraItems
from monai.fl.utils.exchange_object import ExchangeObject


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def simulate(job: Path, workspace: Path) -> int:
    """Run a job; returns how many parts the server took. Apps are copied, and only classes of the list are built."""
    allowed = read(workspace / "local" / "resources.json")["class_allow_list"]
    places = {}
    for app, (site,) in read(job / "meta.json")["deploy_map"].items():
        places[site] = shutil.copytree(job / app, workspace / site / "simulate_job" / app)
    server = places.pop("server")
    config = read(server / "config" / "config_fed_server.json")
    parts = {part["id"]: part for part in config["components"] + config["workflows"]}
    assert {part["path"] for part in parts.values()} <= set(allowed)
    persistor, controller = parts["persistor"]["args"], parts["scatter_and_gather"]["args"]
    bundle = server / persistor["bundle_root"]
    parser = ConfigParser()
    parser.read_config(str(bundle / persistor["config_train_filename"]))
    network = parser.get_parsed_content(persistor["network_def_key"])
    network.load_state_dict(torch.load(bundle / persistor["source_ckpt_filename"], weights_only=True))
    weights = {name: value.numpy().copy() for name, value in network.state_dict().items()}
    algos = {}
    for site, app in places.items():
        config = read(app / "config" / "config_fed_client.json")
        (component,), (executor,) = config["components"], config["executors"]
        assert {component["path"], executor["executor"]["path"]} <= set(allowed)
        assert executor["executor"]["args"]["client_algo_id"] == component["id"]
        algos[site] = MonaiAlgo(**component["args"])
        with pytest.warns(UserWarning, match="executing the bundle config"):
            algos[site].initialize(extra={ExtraItems.CLIENT_NAME: site, ExtraItems.APP_ROOT: str(app)})
    taken = 0
    for _ in range(controller["num_rounds"]):
        steps = 0
        total: dict[str, Any] = dict.fromkeys(weights, 0.0)
        for algo in algos.values():
            metrics = algo.evaluate(ExchangeObject(weights=dict(weights))).metrics
            assert executor["executor"]["args"]["key_metric"] in metrics
            algo.train(ExchangeObject(weights=dict(weights)))
            answer = algo.get_weights()
            count = answer.statistics["num_executed_iterations"]
            total = {name: total[name] + value.numpy() * float(count) for name, value in answer.weights.items()}
            steps += count
            taken += 1
        weights = {name: array + total[name] * (1.0 / steps) for name, array in weights.items()}
    for algo in algos.values():
        algo.finalize()
    state = {name: torch.as_tensor(np.asarray(array)) for name, array in weights.items()}
    torch.save({"model": state, "train_conf": {}}, server / "FL_global_model.pt")
    return taken
