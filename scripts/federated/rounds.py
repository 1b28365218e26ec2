"""FedAvg in this process, by MONAI's own client (``monai.fl.client.MonaiAlgo``) on the bundle's configs."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.fl.client import MonaiAlgo
from monai.fl.utils.constants import ExtraItems, FlStatistics
from monai.fl.utils.exchange_object import ExchangeObject

from fesf.scripts.data.run_folder import configs_folder
from fesf.scripts.federated.averaging import Weights, moved, to_arrays, to_state, weighted_mean

CONFIGS = ("train", "federated")
"""Configs of a client, in the bundle's folder; ``pooled`` comes between them where a client has several stores."""

State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Client:
    """Who takes part.

    Args:
        name: its name.
        folder: where its own state goes (``last.pt``).
        ids: values of the configs' ids that are its own: ``dataset_dir``.
        configs: names of its configs.
    """

    name: str
    folder: Path
    ids: Mapping[str, Any]
    configs: tuple[str, ...] = CONFIGS


@dataclass
class Federated:
    """What a federation ends with.

    Args:
        weights: the global network's state dict.
        steps: by client, optimiser steps of each round: the weight of its share in the mean.
        validation: by client, the key metric of the global network before each round, on its own validation images.
    """

    weights: State
    steps: dict[str, list[int]] = field(default_factory=dict)
    validation: dict[str, list[float]] = field(default_factory=dict)


def initial_weights(seed: int, **ids: Any) -> State:
    """The network of train.json before any training; the same for everybody with the same seed.

    Args:
        seed: of the weights.
        ids: values of the config's ids, such as ``num_classes``.
    """
    parser = ConfigParser()
    parser.read_config(str(configs_folder() / "train.json"))
    parser.update({name: value for name, value in ids.items() if name in parser})
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        state: State = parser.get_parsed_content("network_def").state_dict()
    return state


def make_client(client: Client, local_epochs: int, ids: Mapping[str, Any]) -> MonaiAlgo:
    """A client of MONAI's on the bundle as it is installed here.

    Args:
        client: who.
        local_epochs: epochs of each round.
        ids: values of the configs' ids that all clients share; ``epochs`` is the length of the whole training.
    """
    files = [f"configs/{name}.json" for name in client.configs]
    own = {**ids, **client.ids, "ckpt_dir": str(client.folder), "output_dir": str(client.folder)}
    algo = MonaiAlgo(
        bundle_root=str(configs_folder().parent),
        local_epochs=local_epochs,
        config_train_filename=files,
        train_kwargs=dict(own),
        config_evaluate_filename=files,
        eval_kwargs=dict(own),
    )
    with warnings.catch_warnings():
        # That a server's configs are code: here they are the installed bundle's.
        warnings.filterwarnings("ignore", "executing the bundle config under", UserWarning)
        algo.initialize(extra={ExtraItems.CLIENT_NAME: client.name})
    return algo


def federate(
    clients: Sequence[Client], rounds: int, local_epochs: int, initial: State, ids: Mapping[str, Any]
) -> Federated:
    """Train in rounds: each client from the global weights on its own store, then the mean of what they changed.

    A client's part of the mean goes by its optimiser steps, as NVFLARE weighs them: batches, so images to within one
    batch. Everything in the state dict is averaged: weights, and the means and variances of batch norm. Optimisers and
    learning rates go on at the client from round to round and are not averaged. With one client and one round this is
    a training like any other.

    Args:
        clients: who takes part, at least one.
        rounds: number of rounds.
        local_epochs: epochs of each round.
        initial: weights to start from.
        ids: values of the configs' ids that all clients share.

    Returns:
        The last round's global weights; no round is chosen by validation.

    Raises:
        ValueError: when a number is less than 1.
    """
    for name, value in (("rounds", rounds), ("local_epochs", local_epochs), ("clients", len(clients))):
        if value < 1:
            raise ValueError(f"{name}={value} must be at least 1.")
    shared = {**ids, "epochs": rounds * local_epochs}
    algos = {client.name: make_client(client, local_epochs, shared) for client in clients}
    found = Federated(initial, {name: [] for name in algos}, {name: [] for name in algos})
    current: Weights = to_arrays(initial)
    for _ in range(rounds):
        updates = []
        for name, algo in algos.items():
            metrics = algo.evaluate(ExchangeObject(weights=dict(current))).metrics
            algo.train(ExchangeObject(weights=dict(current)))
            answer = algo.get_weights()
            updates.append(to_arrays(answer.weights))
            found.steps[name].append(int(answer.statistics[FlStatistics.NUM_EXECUTED_ITERATIONS]))
            found.validation[name].append(float(metrics["val_auc"]))
        current = moved(current, weighted_mean(updates, [found.steps[name][-1] for name in algos]))
    for algo in algos.values():
        algo.finalize()
    found.weights = to_state(current, initial)
    return found
