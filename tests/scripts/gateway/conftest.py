from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scripts.gateway.made import Clock, Parts, make_hospital


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return make_hospital(tmp_path / "hospital")


@pytest.fixture
def parts(config: Path, clock: Clock) -> Iterator[Parts]:
    made = Parts(config, clock)
    yield made
    made.state.close()
