"""Fixtures that several folders share: the real images, a small cohort of smooth noise, a tiny store and its model."""

from __future__ import annotations

import csv
import os

# Before torch is imported: results are compared at one thread, and two workers of two threads each crawl on two cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from monai.bundle import ConfigWorkflow

SIZE = 24
ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    """The hospital's workflows tighten the umask of their process; here they share it with the next test."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real images; a test that needs them skips where they are absent."""
    folder = Path(os.environ.get("FESF_SHARED", ROOT.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip("needs the shared data: set FESF_SHARED to the folder that holds data/")
    return folder


def smooth(seed: int, shape: tuple[int, ...] = (SIZE, SIZE)) -> np.ndarray:
    """Noise with the falling spectrum of a photograph, in [0.1, 0.9]."""
    rng = np.random.default_rng(seed)
    grids = np.meshgrid(*(np.fft.fftfreq(n) * n for n in shape), indexing="ij")
    radius = np.sqrt(sum(grid**2 for grid in grids)) + 1
    image = np.fft.ifftn(np.fft.fftn(rng.normal(size=shape)) / radius**1.2).real
    return 0.1 + 0.8 * (image - image.min()) / (image.max() - image.min())


def write_png(path: Path, image: np.ndarray) -> None:
    Image.fromarray(np.rint(image * 255).astype(np.uint8)).save(path)


@pytest.fixture
def make_cohort(tmp_path: Path) -> Callable[..., Path]:
    """Write ``patients`` x 2 images, 3 hosts, a secret; returns the folder that holds cohort.csv."""

    def make(
        patients: int = 12, name: str = "cohort", columns: dict[str, Callable[[int, int], str]] | None = None
    ) -> Path:
        folder = tmp_path / name
        (folder / "images").mkdir(parents=True)
        (folder / "hosts").mkdir()
        rows = []
        for patient in range(patients):
            for image in range(2):
                file = f"images/SCHMIDT-{patient}-{image}.png"
                write_png(folder / file, smooth(1000 + 2 * patient + image))
                row = {"image": file, "label": ("no", "yes")[patient % 2], "patient": f"Anna Schmidt {patient}"}
                rows.append(row | {key: value(patient, image) for key, value in (columns or {}).items()})
        with open(folder / "cohort.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        for host in range(3):
            write_png(folder / "hosts" / f"{host}.png", smooth(host))
        secret = folder / "secret"
        secret.write_text("a secret for the tests, 32 bytes and more\n")
        secret.chmod(0o600)
        return folder

    return make


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny surrogate store."""
    from tests.bundle.tiny import write_store

    return write_store(tmp_path_factory.mktemp("store") / "store")


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A tiny cohort: its table and its splits."""
    from tests.bundle.tiny import write_cohort

    return write_cohort(tmp_path_factory.mktemp("cohort") / "cohort")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, store: Path) -> tuple[Path, ConfigWorkflow]:
    """A folder with the results of a short training on the tiny store, and the workflow that ran."""
    from tests.bundle.tiny import run

    folder = tmp_path_factory.mktemp("trained")
    built = run("train.json", dataset_dir=str(store), ckpt_dir=str(folder), output_dir=str(folder), epochs=4)
    return folder, built
