"""``figure3.png`` and ``sweep.png``: every stage of one image of each set, and accuracy over alpha and beta."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fesf.scripts.data.cohort import LoadImageCohortd, load_datalist
from fesf.scripts.data.grid import CNN, STAGES, Source
from fesf.scripts.data.hosts import HostPool
from fesf.scripts.data.linkage import read_linkage
from fesf.scripts.data.pictures import middle_slice
from fesf.scripts.data.recipe import Recipe
from fesf.scripts.data.results import Results
from fesf.scripts.data.store import LoadImageStored
from fesf.scripts.data.store import load_datalist as load_stored
from fesf.scripts.data.studies import ALPHAS, BETAS

Picture = NDArray[np.float64]
HEADS = ("host", "plaintext", "synthetic", "enhanced", "surrogate")


def stages_of_one(source: Source) -> list[Picture]:
    """Host, plaintext and each stage of the first test image in the order of the IHM release's ids: nobody picks."""
    splits = source.hospital / "splits.csv"
    cohort: dict[int, dict[Any, Any]] = {item["row"]: item for item in load_datalist(source.cohort, splits, "test")}
    first = min(
        (row for row in read_linkage(source.linkage("ihm")).values() if int(row["row"]) in cohort),
        key=lambda row: row["id"],
    )
    number = int(first["row"])
    pool = HostPool(source.folder / "cohort" / "hosts", Recipe("figure", image_size=source.image_size, seed=source.run))
    plain: Any = LoadImageCohortd("image", source.image_size)(cohort[number])["image"]
    found = [_picture(pool.host), _picture(plain)]
    for arm in STAGES:
        names = {row["id"] for row in read_linkage(source.linkage(arm)).values() if int(row["row"]) == number}
        stored = next(item for item in load_stored(source.store(arm), "test") if item["id"] in names)
        found.append(_picture(LoadImageStored("image", source.store(arm))(stored)["image"]))
    return found


def draw_figure3(results: Results) -> bytes:
    """A row for each set: host, plaintext, synthetic, enhanced and surrogate image, as PNG."""
    rows = [(item.name, stages_of_one(item.sources[0])) for item in results.sets]
    figure = Figure(figsize=(2 * len(HEADS), 2.1 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(rows), len(HEADS), squeeze=False)
    for line, (name, images) in enumerate(rows):
        for axes, head, image in zip(grid[line], HEADS, images, strict=True):
            axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            if line == 0:
                axes.set_title(head, fontsize=11)
        grid[line][0].set_ylabel(name, fontsize=10)
    return _png(figure)


def draw_sweep(results: Results) -> bytes:
    """AUC over alpha and beta as a heat map for each swept set, as PNG."""
    figure = Figure(figsize=(4.6 * len(results.sweep), 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(1, len(results.sweep), squeeze=False)
    for axes, item in zip(grid[0], results.sweep, strict=True):
        values = np.full((len(ALPHAS), len(BETAS)), np.nan)
        for (alpha, beta), outcome in item.sweep.items():
            values[ALPHAS.index(alpha), BETAS.index(beta)] = float(outcome.metrics()["auc"][0])
        shown = axes.imshow(values, cmap="viridis", vmin=0.5, vmax=1.0, aspect="auto")
        axes.set_xticks(range(len(BETAS)), [f"{beta:g}" for beta in BETAS])
        axes.set_yticks(range(len(ALPHAS)), [f"{alpha:g}" for alpha in ALPHAS])
        plain = item.values(CNN, "plaintext", "auc")
        bound = f" (plaintext {plain[0]:.3f})" if plain else ""
        axes.set(xlabel="beta", ylabel="alpha", title=item.name + bound)
        for row, line in enumerate(values):
            for column, value in enumerate(line):
                if np.isfinite(value):
                    colour = "black" if value > 0.8 else "white"
                    axes.text(column, row, f"{value:.3f}", ha="center", va="center", color=colour)
        figure.colorbar(shown, ax=axes, label="AUC, IHM alone")
    return _png(figure)


def _picture(image: Any) -> Picture:
    return middle_slice(np.asarray(image[0], dtype=np.float64))


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()
