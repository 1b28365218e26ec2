"""figure3.png and sweep.png of a real tiny grid (see conftest): their images, where they are, and their size."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.transforms import Affine2D
from numpy.typing import NDArray
from PIL import Image

from fesf.scripts.data import results_pictures
from fesf.scripts.data.grid import CNN, STAGES, Job, Source
from fesf.scripts.data.results import Results, collect
from fesf.scripts.data.results_pictures import HEADS, draw_figure3, draw_sweep, stages_of_one
from fesf.scripts.data.studies import ALPHAS, BETAS


@pytest.fixture(scope="module")
def source(tiny_grid: list[Job]) -> Source:
    assert isinstance(tiny_grid[0], Source)
    return tiny_grid[0]


@pytest.fixture(scope="module")
def results(tiny_grid: list[Job]) -> Results:
    return collect(tiny_grid)


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are drawn."""
    found: list[Figure] = []
    png = results_pictures._png
    monkeypatch.setattr(results_pictures, "_png", lambda figure: found.append(figure) or png(figure))
    return found


def table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def decode(content: bytes) -> NDArray[np.uint8]:
    image = Image.open(io.BytesIO(content))
    assert image.format == "PNG"
    return np.asarray(image.convert("RGB"))


def read(path: Path) -> NDArray[np.float64]:
    return np.asarray(Image.open(path), dtype=np.float64) / 255


def test_stages_are_the_stores_files_of_the_first_test_image(source: Source) -> None:
    host, plaintext, *stages = stages_of_one(source)
    tests = [line for line in table(source.linkage("ihm")) if line["split"] == "test"]
    first = min(tests, key=lambda line: line["id"])
    digest = json.loads((source.release("full") / "release.json").read_text())["host_sha256"]
    hosts = (source.folder / "cohort" / "hosts").iterdir()
    (host_file,) = (path for path in hosts if sha256(path.read_bytes()).hexdigest() == digest)
    assert np.allclose(host, read(host_file), atol=1e-6)
    cohort = table(source.cohort)[int(first["row"]) - 2]  # the header is row 1
    assert np.allclose(plaintext, read(source.cohort.parent / cohort["image"]), atol=1e-6)
    assert len(stages) == len(STAGES)
    for arm, picture in zip(STAGES, stages, strict=True):
        (key,) = (line["id"] for line in table(source.linkage(arm)) if line["row"] == first["row"])
        assert np.allclose(picture, read(source.store(arm) / "images" / f"{key}.png"), atol=1e-6), arm
    assert len({picture.tobytes() for picture in (host, plaintext, *stages)}) == 5


def test_figure3_is_a_row_for_each_set_with_every_image_in_its_place(
    results: Results, source: Source, figures: list[Figure]
) -> None:
    twice = replace(results, sets=[results.sets[0], replace(results.sets[0], name="another")])
    content = draw_figure3(twice)
    pixels = decode(content)
    (figure,) = figures
    assert pixels.shape == (round(2 * 2.1 * 110), 2 * 5 * 110, 3)
    axes = np.array(figure.axes).reshape(2, 5)
    assert [one.get_title() for one in axes[0]] == list(HEADS)
    assert [one.get_title() for one in axes[1]] == [""] * 5
    assert [line[0].get_ylabel() for line in axes] == ["demo", "another"]
    images = stages_of_one(source)
    for line in axes:
        lefts, tops = [], []
        for one, image in zip(line, images, strict=True):
            box = one.get_position().transformed(Affine2D().scale(pixels.shape[1], pixels.shape[0]))
            left, right = round(box.x0), round(box.x1)
            top, bottom = round(pixels.shape[0] - box.y1), round(pixels.shape[0] - box.y0)
            lefts.append(left)
            tops.append(top)
            assert right - left == pytest.approx(bottom - top, abs=1)
            assert right - left > 150
            shown = pixels[top:bottom, left:right, 0].astype(float)
            steps = (np.arange(len(shown)) + 0.5) / len(shown) * len(image)
            across = (np.arange(shown.shape[1]) + 0.5) / shown.shape[1] * image.shape[1]
            expected = np.rint(image * 255)[np.ix_(steps.astype(int), across.astype(int))]
            # An edge pixel may belong to the neighbour: those inside agree.
            inside = np.ix_(np.abs(steps % 1 - 0.5) < 0.3, np.abs(across % 1 - 0.5) < 0.3)
            assert np.abs(shown - expected)[inside].max() <= 2
            for other in images:
                if other is not image:
                    wrong = np.rint(other * 255)[np.ix_(steps.astype(int), across.astype(int))]
                    assert np.abs(shown - wrong)[inside].mean() > 2 * np.abs(shown - expected)[inside].mean()
        assert lefts == sorted(lefts)
        assert len(set(tops)) == 1
    assert axes[0][0].get_window_extent().y0 > axes[1][0].get_window_extent().y1
    assert draw_figure3(twice) == content


def test_sweep_is_a_heat_map_of_what_is_done(results: Results, figures: list[Figure]) -> None:
    content = draw_sweep(results)
    assert decode(content).shape == (round(4.2 * 110), round(4.6 * 110), 3)
    (figure,) = figures
    axes = figure.axes[0]
    values = np.asarray(axes.images[0].get_array(), float)
    assert values.shape == (len(ALPHAS), len(BETAS))
    item = results.sets[0]
    auc = float(item.sweep[0.1, 0.5].metrics()["auc"][0])
    place = ALPHAS.index(0.1), BETAS.index(0.5)
    assert np.isfinite(values).sum() == 1
    assert values[place] == auc
    assert [(text.get_text(), text.get_position()) for text in axes.texts] == [(f"{auc:.3f}", place[::-1])]
    assert [label.get_text() for label in axes.get_xticklabels()] == [f"{beta:g}" for beta in BETAS]
    assert [label.get_text() for label in axes.get_yticklabels()] == [f"{alpha:g}" for alpha in ALPHAS]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("beta", "alpha")
    assert axes.get_title() == f"demo (plaintext {item.values(CNN, 'plaintext', 'auc')[0]:.3f})"


def test_sweep_of_several_sets_and_of_one_whose_arms_are_not_done(results: Results, figures: list[Figure]) -> None:
    item = results.sets[0]
    both = replace(results, sets=[item, replace(item, name="us_breastmnist", networks={})])
    assert decode(draw_sweep(both)).shape == (round(4.2 * 110), round(2 * 4.6 * 110), 3)
    titles = [axes.get_title() for axes in figures[0].axes]
    assert "us_breastmnist" in titles
