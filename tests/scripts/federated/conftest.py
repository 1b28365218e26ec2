"""Two tiny stores of different sizes, and what federations on them have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fesf.scripts.data.grid import DEMO
from fesf.scripts.federated.hospitals import Choice
from fesf.scripts.federated.rounds import Client, State, initial_weights
from fesf.scripts.federated.simulation import Federation
from tests.bundle.tiny import write_store

IDS: dict[str, Any] = {"num_classes": 2, "seed": 3, "batch_size": 8, "device": "$torch.device('cpu')"}
SIZES = {
    "site-1": {"training": 24, "validation": 8, "test": 8},
    "site-2": {"training": 8, "validation": 4, "test": 4},
}
"""Three steps an epoch at the first, one at the second."""


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("stores")
    return {
        site: write_store(folder / site, sections=sizes, number=number)
        for number, (site, sizes) in enumerate(SIZES.items())
    }


@pytest.fixture(scope="session")
def initial() -> State:
    return initial_weights(3, num_classes=2)


@pytest.fixture
def clients(stores: dict[str, Path], tmp_path: Path) -> list[Client]:
    return [Client(site, tmp_path / site, {"dataset_dir": str(store)}) for site, store in stores.items()]


@pytest.fixture(scope="session")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Federation:
    """A finished federation on a tiny demo."""
    root = str(tmp_path_factory.mktemp("federation"))
    job = Federation(DEMO, 0, "", root, (Choice(0.1, 0.5), Choice(0.15, 0.75)), 2, 1, 0.6, 40, 32)
    job.execute()
    return job
