"""FedAvg by MONAI's client, beside plain trainings whose weights numpy averages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fesf.scripts.federated.averaging import largest_difference
from fesf.scripts.federated.rounds import Client, State, federate, initial_weights
from tests.bundle.tiny import workflow

from .conftest import IDS


def trained_alone(store: Path, folder: Path, initial: State, epochs: int) -> State:
    """A plain bundle run of train.json without validation, from given weights."""
    places = {"dataset_dir": str(store), "ckpt_dir": str(folder), "output_dir": str(folder)}
    built = workflow("train.json", "federated.json", **IDS | {"epochs": epochs} | places)
    network = built.parser.get_parsed_content("network_def")
    network.load_state_dict(initial)
    built.run()
    return {name: value.clone() for name, value in network.state_dict().items()}


def test_a_round_is_the_mean_by_steps_of_plain_trainings(
    clients: list[Client], stores: dict[str, Path], initial: State, tmp_path: Path
) -> None:
    found = federate(clients, 1, 2, initial, IDS)
    assert found.steps == {"site-1": [6], "site-2": [2]}
    each = [trained_alone(store, tmp_path / f"plain {site}", initial, 2) for site, store in stores.items()]
    for name, value in found.weights.items():
        parts = [state[name].numpy().astype(np.float64) for state in each]
        expected = np.average(parts, axis=0, weights=[6, 2])
        if value.is_floating_point():
            np.testing.assert_allclose(value.numpy(), expected, rtol=1e-5, atol=1e-6, err_msg=name)
        else:
            assert value.item() == round(float(expected)), name
    assert largest_difference(each[0], each[1], counters=False) > 1e-2  # the mean is neither
    running = [name for name in found.weights if name.endswith("running_var")]
    assert running
    assert all(not torch.equal(found.weights[name], initial[name]) for name in running)  # batch norm's are averaged


def test_one_client_trains_as_without_a_federation(clients: list[Client], initial: State) -> None:
    once = federate(clients[:1], 1, 4, initial, IDS)
    rounds = federate(clients[:1], 4, 1, initial, IDS)
    assert rounds.steps == {"site-1": [3, 3, 3, 3]}
    # Weights less weights plus weights, in float32: AdamW divides small by small, and batch norm's variances are large.
    assert largest_difference(once.weights, rounds.weights) < 1e-3
    assert largest_difference(once.weights, initial, counters=False) > 0.1


def test_epochs_and_learning_rate_go_on_from_round_to_round(clients: list[Client], initial: State) -> None:
    found = federate(clients, 3, 2, initial, IDS)
    for client in clients:
        state = torch.load(client.folder / "last.pt", weights_only=True)
        assert state["trainer"]["epoch"] == 6
        assert state["lr_scheduler"]["last_epoch"] == 6
        assert state["lr_scheduler"]["T_max"] == 6
        assert set(state) == {"network", "optimizer", "lr_scheduler", "trainer", "evaluator"}
    assert {name: len(values) for name, values in found.validation.items()} == {"site-1": 3, "site-2": 3}


def test_the_same_again_and_another_with_another_seed(clients: list[Client], initial: State) -> None:
    one = federate(clients, 2, 1, initial, IDS)
    assert largest_difference(one.weights, federate(clients, 2, 1, initial, IDS).weights) == 0
    assert largest_difference(one.weights, federate(clients, 2, 1, initial, IDS | {"seed": 4}).weights) > 0


def test_pooled_trains_on_both_stores(stores: dict[str, Path], initial: State, tmp_path: Path) -> None:
    ids = {"stores": [str(store) for store in stores.values()]}
    client = Client("pooled", tmp_path, ids, ("train", "pooled", "federated"))
    assert federate([client], 1, 2, initial, IDS).steps == {"pooled": [8]}


def test_first_weights_follow_the_seed_and_leave_the_generator_alone() -> None:
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    one = initial_weights(1, num_classes=3, batch_size=4)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert one["fc.weight"].shape[0] == 3
    assert largest_difference(one, initial_weights(1, num_classes=3)) == 0
    assert largest_difference(one, initial_weights(2, num_classes=3)) > 0


@pytest.mark.parametrize(("rounds", "epochs", "name"), [(0, 1, "rounds"), (1, 0, "local_epochs")])
def test_numbers_are_checked(rounds: int, epochs: int, name: str, clients: list[Client], initial: State) -> None:
    with pytest.raises(ValueError, match=f"{name}=0 must be at least 1"):
        federate(clients, rounds, epochs, initial, IDS)
    with pytest.raises(ValueError, match="clients=0"):
        federate([], 1, 1, initial, IDS)
