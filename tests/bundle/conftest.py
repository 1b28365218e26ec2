"""Fixtures that the bundle's tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from monai.bundle import ConfigWorkflow

from tests.bundle.tiny import run, write_cohort, write_store


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("store") / "store")


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_cohort(tmp_path_factory.mktemp("cohort") / "cohort")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, store: Path) -> tuple[Path, ConfigWorkflow]:
    """A folder with the results of a short training on the store, and the workflow that ran."""
    folder = tmp_path_factory.mktemp("trained")
    built = run("train.json", dataset_dir=str(store), ckpt_dir=str(folder), output_dir=str(folder), epochs=4)
    return folder, built
