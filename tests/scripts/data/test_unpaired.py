"""What the IQEM trains on: halves of the host pool, a cohort's synthetic images, and independent draws of both."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from fesf.networks import SurrogateNet
from fesf.scripts.data.cohort import CohortError, LoadImageCohortd
from fesf.scripts.data.hosts import HostPool
from fesf.scripts.data.kept_splits import ensure_splits
from fesf.scripts.data.recipe import Recipe
from fesf.scripts.data.unpaired import (
    HostHalves,
    ImageStack,
    UnpairedImages,
    host_halves,
    read_plaintexts,
    synthetic_images,
)
from tests.conftest import smooth, write_png

RECIPE = Recipe("r", image_size=(24, 24))


def read_png(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).T / 255


@pytest.fixture
def pool(tmp_path: Path) -> HostPool:
    folder = tmp_path / "pool"
    folder.mkdir()
    for host in range(9):
        write_png(folder / f"{host}.png", smooth(host))
    return HostPool(folder, RECIPE)


def found(halves: HostHalves, pool: HostPool) -> list[list[int]]:
    """Which files of the pool each half holds."""
    files = torch.stack([torch.from_numpy(read_png(path)).float() for path in pool.files])[:, None]
    return [
        [int((files - image).abs().amax((1, 2, 3)).argmin()) for image in half]
        for half in (halves.training, halves.held_out)
    ]


def test_halves_share_no_image_and_hold_the_pool(pool: HostPool) -> None:
    halves = host_halves(pool, seed=3)
    training, held_out = found(halves, pool)
    assert (len(training), len(held_out)) == (5, 4)
    assert sorted(training + held_out) == list(range(9))
    assert halves.training.shape == (5, 1, 24, 24)
    np.testing.assert_allclose(halves.training[0, 0], read_png(pool.files[training[0]]), atol=1e-7)
    assert found(host_halves(pool, seed=3), pool) == [training, held_out]
    assert found(host_halves(pool, seed=4), pool) != [training, held_out]


def test_halves_of_a_part(pool: HostPool) -> None:
    training, held_out = found(host_halves(pool, limit=4), pool)
    assert (len(training), len(held_out)) == (2, 2)
    assert len({*training, *held_out}) == 4
    with pytest.raises(ValueError, match="The host pool has one image: the IQEM needs a domain of hosts"):
        host_halves(pool, limit=1)


@pytest.fixture
def source(make_cohort: Callable[..., Path], tmp_path: Path) -> dict[str, Any]:
    folder = make_cohort()
    splits = ensure_splits(folder / "cohort.csv", tmp_path / "hospital", (0.5, 0.25, 0.25), 0)
    preprocessing = LoadImageCohortd("image", (24, 24))
    return {"cohort": folder / "cohort.csv", "splits": splits, "section": "training", "preprocessing": preprocessing}


def rows_of(source: dict[str, Any], section: str) -> list[int]:
    """Rows of a section, from the tables themselves."""
    with open(source["splits"], newline="") as file:
        splits = {row["patient"]: row["split"] for row in csv.DictReader(file)}
    with open(source["cohort"], newline="") as file:
        return [n for n, row in enumerate(csv.DictReader(file), 2) if splits[row["patient"]] == section]


@pytest.mark.parametrize("section", ["training", "validation", "test"])
def test_plaintexts_of_one_section_alone(source: dict[str, Any], section: str) -> None:
    read = read_plaintexts(**source | {"section": section})
    assert [item["row"] for item, _ in read] == rows_of(source, section) != []
    for item, plain in read:
        assert type(plain) is torch.Tensor
        np.testing.assert_allclose(plain[0], read_png(Path(item["image"])), atol=1e-7)


def test_a_limit_draws_by_the_seed(source: dict[str, Any]) -> None:
    drawn = [[item["row"] for item, _ in read_plaintexts(**source, limit=4, seed=seed)] for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] == sorted(drawn[0]) != drawn[2]
    assert {*drawn[0], *drawn[2]} <= set(rows_of(source, "training"))
    assert len(set(drawn[0])) == 4


def test_bad_rows_stop_or_are_left_out(source: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    read = read_plaintexts(**source)
    item, _ = read[1]
    Path(item["image"]).write_text("no image")
    capsys.readouterr()
    with pytest.raises(CohortError, match=f"^Row {item['row']} of the cohort: its image cannot be read"):
        read_plaintexts(**source)
    rest = read_plaintexts(**source, on_bad_row="quarantine")
    assert [other["row"] for other, _ in rest] == [other["row"] for other, _ in read if other["row"] != item["row"]]
    said = capsys.readouterr().out
    assert f"Row {item['row']} of the cohort" in said
    assert "SCHMIDT" not in said
    for other, _ in read:
        Path(other["image"]).unlink(missing_ok=True)
    with pytest.raises(CohortError, match=r"No image of section 'training' can be read\."):
        read_plaintexts(**source, on_bad_row="quarantine")


def test_who_withdrew_is_not_read(source: dict[str, Any], tmp_path: Path) -> None:
    with open(source["splits"], newline="") as file:
        gone = [row["patient"] for row in csv.DictReader(file) if row["split"] == "training"][:2]
    table = tmp_path / "withdrawn.csv"
    table.write_text("\n".join(["patient", *gone, ""]))
    read = read_plaintexts(**source)
    rest = read_plaintexts(**source, withdrawn=table)
    assert {item["patient"] for item, _ in read} - {item["patient"] for item, _ in rest} == set(gone)
    assert [item["row"] for item, _ in rest] == [item["row"] for item, _ in read if item["patient"] not in gone]
    table.write_text("patient\nnobody\n")
    with pytest.raises(ValueError, match="Row 2 of withdrawn is a patient whom neither"):
        read_plaintexts(**source, withdrawn=table)


def hidden(plain: np.ndarray, host: np.ndarray, alpha: float, beta: float) -> np.ndarray:
    """The Image Hidden Module, from its equations."""
    grids = np.meshgrid(*(np.abs(np.fft.fftfreq(n) * n) <= np.floor(alpha * n) for n in host.shape), indexing="ij")
    amplitude, spectrum = np.abs(np.fft.fft2(plain)), np.fft.fft2(host)
    mixed = np.where(grids[0] & grids[1], (1 - beta) * np.abs(spectrum) + beta * amplitude, np.abs(spectrum))
    return np.fft.ifft2(mixed * np.exp(1j * np.angle(spectrum))).real.clip(0, 1)


def test_synthetic_images_are_hidden_plaintexts(source: dict[str, Any], pool: HostPool) -> None:
    made = synthetic_images(SurrogateNet(pool.host, 0.2, 0.6), pool, **source)
    read = read_plaintexts(**source)
    assert made.shape == (len(read), 1, 24, 24)
    for image, (_, plain) in zip(made, read, strict=True):
        expected = hidden(plain[0].double().numpy(), pool.host[0].double().numpy(), 0.2, 0.6)
        np.testing.assert_allclose(image[0], expected, atol=1e-5)


def test_a_host_of_the_cohort_is_refused(source: dict[str, Any], pool: HostPool) -> None:
    item, _ = read_plaintexts(**source)[2]
    write_png(Path(item["image"]), smooth(4))
    with pytest.raises(CohortError, match=f"Row {item['row']} of the cohort nearly equals a host"):
        synthetic_images(SurrogateNet(pool.host, 0.2, 0.6), pool, **source)


def numbered(count: int, first: int = 0) -> torch.Tensor:
    return torch.arange(first, first + count).float().reshape(count, 1, 1, 1)


def draw(data: UnpairedImages) -> list[tuple[int, int]]:
    return [(int(item["image"]), int(item["host"])) for item in (data[index] for index in range(len(data)))]


def test_images_and_hosts_are_drawn_independently_with_replacement() -> None:
    data = UnpairedImages(numbered(5), numbered(4, 100), 4000)
    data.set_random_state(seed=0)
    counts = Counter(draw(data))
    assert len(counts) == 20  # every image with every host
    chi_square = sum((count - 200) ** 2 / 200 for count in counts.values())
    assert chi_square < 43.8  # 19 degrees of freedom, p = 0.001


def test_draws_depend_on_the_seed() -> None:
    data = UnpairedImages(numbered(50), numbered(40), 30)
    drawn = []
    for seed in (1, 1, 2):
        data.set_random_state(seed=seed)
        drawn.append(draw(data))
    assert drawn[0] == drawn[1] != drawn[2]
    data.set_random_state(seed=1)
    assert draw(data) != draw(data)  # the next epoch is another one


def test_an_epoch_ends() -> None:
    data = UnpairedImages(numbered(5), numbered(4), 6)
    assert len(list(data)) == len(data) == 6
    for index in (-1, 6):
        with pytest.raises(IndexError, match=str(index)):
            data[index]
    batch = next(iter(DataLoader(data, batch_size=4)))
    assert batch["image"].shape == batch["host"].shape == (4, 1, 1, 1)


def test_image_stack() -> None:
    stack = ImageStack(numbered(3))
    assert len(stack) == 3
    assert [set(item) for item in (stack[0], stack[2])] == [{"image"}] * 2
    assert float(stack[2]["image"]) == 2
