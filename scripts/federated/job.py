"""The job folder that NVFLARE runs: FedAvg over stores by MONAI's client, one app for the server and one a site.

Nothing here imports NVFLARE: a job is JSON, configs of the bundle, and the weights to start from.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fesf.scripts.data.files import SHARED, to_json, write_atomic
from fesf.scripts.data.run_folder import configs_folder
from fesf.scripts.engines.output import save_state
from fesf.scripts.federated.rounds import CONFIGS, State

NETWORK, MODEL, BUNDLE = "network", "models/model.pt", "bundle"
KEY_METRIC = "val_auc"
GLOBAL_MODEL = "server/simulate_job/app_server/FL_global_model.pt"
"""Where the simulator leaves the last global weights, in its workspace: under "model" of that file."""
SITE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


def write_job(
    folder: Path,
    stores: Mapping[str, str | Path],
    rounds: int,
    local_epochs: int,
    initial: State,
    ids: Mapping[str, Any],
) -> Path:
    """Write a job; the folder appears when it is complete.

    Args:
        folder: to be made; it must not exist.
        stores: by site, the store as that site's machine finds it: a client reads no other.
        rounds: number of rounds.
        local_epochs: epochs of each round.
        initial: weights to start from.
        ids: values of train.json's ids, such as ``num_classes``; all that JSON can hold.

    Returns:
        The folder.

    Raises:
        ValueError: when the folder exists, a number is less than 1, a site's name is none, or there is no site.
    """
    if folder.exists():
        raise ValueError(f"{str(folder)!r} exists: name a new folder for the job.")
    for name, value in (("rounds", rounds), ("local_epochs", local_epochs), ("number of stores", len(stores))):
        if value < 1:
            raise ValueError(f"{name} {value} must be at least 1.")
    for site in stores:
        if not SITE.fullmatch(site) or site == "server":
            raise ValueError(f"Site {site!r}: use letters, digits, dots, '_' and '-', and not 'server'.")
    shared = {**ids, "epochs": rounds * local_epochs}
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        made = work / "job"
        apps = {"server": "app_server"} | {site: f"app_{site}" for site in stores}
        deploy = {app: [site] for site, app in apps.items()}
        meta = {"name": "fesf", "min_clients": len(stores), "resource_spec": {}, "deploy_map": deploy}
        _json(made / "meta.json", meta)
        _server(made / apps["server"], list(stores), rounds, initial, shared)
        for site, store in stores.items():
            _site(made / apps[site], local_epochs, {**shared, "dataset_dir": str(store)})
        made.rename(folder)
    finally:
        shutil.rmtree(work)
    return folder


def network_config(ids: Mapping[str, Any]) -> dict[str, Any]:
    """All that the server needs of train.json: the network, and the ids that it names."""
    config = json.loads((configs_folder() / "train.json").read_text(encoding="utf-8"))
    named = set(re.findall(r"@(\w+)", json.dumps(config["network_def"])))
    chosen = {name: ids.get(name, config[name]) for name in sorted(named)}
    return {**chosen, "network_def": config["network_def"]}


def _server(app: Path, sites: list[str], rounds: int, initial: State, ids: Mapping[str, Any]) -> None:
    """The server's app: it holds the network's definition and first weights, and no config that reads a store."""
    controller = {
        "min_clients": len(sites),
        "num_rounds": rounds,
        "start_round": 0,
        "wait_time_after_min_received": 0,
        "aggregator_id": "aggregator",
        "persistor_id": "persistor",
        "shareable_generator_id": "shareable_generator",
        "train_task_name": "train",
        "train_timeout": 0,
    }
    persistor = {
        "bundle_root": BUNDLE,
        "config_train_filename": f"configs/{NETWORK}.json",
        "network_def_key": "network_def",
        "source_ckpt_filename": MODEL,
    }
    aggregator = {"expected_data_kind": "WEIGHT_DIFF", "aggregation_weights": dict.fromkeys(sites, 1.0)}
    workflows = "nvflare.app_common.workflows.scatter_and_gather.ScatterAndGather"
    common = "nvflare.app_common"
    document = {
        "format_version": 2,
        "task_data_filters": [],
        "task_result_filters": [],
        "components": [
            _component("persistor", "monai_nvflare.monai_bundle_persistor.MonaiBundlePersistor", persistor),
            _component(
                "shareable_generator",
                f"{common}.shareablegenerators.full_model_shareable_generator.FullModelShareableGenerator",
                {},
            ),
            _component(
                "aggregator",
                f"{common}.aggregators.intime_accumulate_model_aggregator.InTimeAccumulateWeightedAggregator",
                aggregator,
            ),
        ],
        "workflows": [_component("scatter_and_gather", workflows, controller)],
    }
    _json(app / "config" / "config_fed_server.json", document)
    _json(app / BUNDLE / "configs" / f"{NETWORK}.json", network_config(ids))
    save_state(app / BUNDLE / MODEL, initial)


def _site(app: Path, local_epochs: int, ids: Mapping[str, Any]) -> None:
    """A site's app: MONAI's client on the bundle's configs, and the site's own store."""
    files = [f"configs/{name}.json" for name in CONFIGS]
    client = {
        "bundle_root": BUNDLE,
        "local_epochs": local_epochs,
        "send_weight_diff": True,
        "config_train_filename": files,
        "train_kwargs": dict(ids),
        "config_evaluate_filename": files,
        "eval_kwargs": dict(ids),
    }
    executor = {"client_algo_id": "client_algo", "key_metric": KEY_METRIC}
    document = {
        "format_version": 2,
        "executors": [
            {
                "tasks": ["train", "validate"],
                "executor": _component("executor", "monai_nvflare.client_algo_executor.ClientAlgoExecutor", executor),
            }
        ],
        "task_data_filters": [],
        "task_result_filters": [],
        "components": [_component("client_algo", "monai.fl.client.MonaiAlgo", client)],
    }
    _json(app / "config" / "config_fed_client.json", document)
    for file in (*files, "configs/metadata.json"):  # without the latter MONAI logs an error
        (app / BUNDLE / "configs").mkdir(parents=True, exist_ok=True)
        shutil.copyfile(configs_folder().parent / file, app / BUNDLE / file)


def classes(job: Path) -> list[str]:
    """Every class that a job builds, sorted: what each site names in ``class_allow_list`` of its ``resources.json``.

    Args:
        job: folder of the job.
    """

    def walk(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            if "path" in value and "args" in value:
                yield value["path"]
            for item in value.values():
                yield from walk(item)
        elif isinstance(value, list):
            for item in value:
                yield from walk(item)

    documents = [json.loads(path.read_text(encoding="utf-8")) for path in job.glob("app_*/config/*.json")]
    return sorted({name for document in documents for name in walk(document)})


def allow(job: Path, workspace: Path) -> Path:
    """Write the ``resources.json`` of a simulator's workspace: its sites build the job's classes and no others.

    NVFLARE builds no class that a site does not name; MONAI's are not among those that it names by itself.

    Args:
        job: folder of the job.
        workspace: the simulator's, made if missing; it gives each site a copy.
    """
    path = workspace / "local" / "resources.json"
    _json(path, {"format_version": 2, "class_allow_list": classes(job)})
    return path


def _component(name: str, path: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": name, "path": path, "args": dict(arguments)}


def _json(path: Path, document: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, to_json(document), SHARED)
