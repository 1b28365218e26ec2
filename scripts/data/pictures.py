"""Pictures of the report: images, spectra and charts as bytes, and what an onlooker sees as numbers."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import roc_curve

from fesf.scripts.data.comparison import Scores
from fesf.scripts.engines.metrics import BINS, bins_of, calibration

Floats = NDArray[np.float64]

COLOURS = {"plaintext": "#b45309", "surrogate": "#1d4ed8"}
LEAST_SIDE = 256  # pictures are enlarged to at least this many pixels
FLOOR = 1e-4  # of the amplitude, before its logarithm


def middle_slice(image: Floats) -> Floats:
    """A picture of an image: itself in 2D, in 3D the middle slice along the last axis.

    Args:
        image: (X, Y) or (X, Y, Z), axes as MONAI's LoadImage gives them.

    Returns:
        (rows, columns), upright in a picture viewer.
    """
    flat = image if image.ndim == 2 else image[..., image.shape[-1] // 2]
    return np.asarray(flat).T


def to_png(picture: Floats, least_side: int = LEAST_SIDE) -> bytes:
    """Grey (rows, columns) or colour (rows, columns, 3) in [0, 1] as PNG, enlarged by repeating pixels."""
    factor = max(1, -(-least_side // min(picture.shape[:2])))
    values = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(values.repeat(factor, 0).repeat(factor, 1))).save(buffer, format="PNG")
    return buffer.getvalue()


def sheet(rows: Sequence[Sequence[Floats]], least_side: int = 96) -> bytes:
    """Rows of images of one shape as one PNG, a thin white line between them.

    Args:
        rows: images (X, Y) or (X, Y, Z) in [0, 1], equally many a row.
        least_side: images are enlarged to at least so many pixels.
    """
    shown = [[middle_slice(image) for image in row] for row in rows]
    factor = max(1, -(-least_side // min(shown[0][0].shape)))
    lines = [np.concatenate([_framed(image.repeat(factor, 0).repeat(factor, 1)) for image in row], 1) for row in shown]
    return to_png(np.concatenate(lines, 0), least_side=1)


def _framed(picture: Floats) -> Floats:
    return np.pad(picture, ((0, 2), (0, 2)), constant_values=1.0)


def spectrum(picture: Floats, alpha: float, low: float, high: float) -> Floats:
    """Log-amplitude spectrum with DC in the middle, and a frame around the band that hiding changes.

    Args:
        picture: (rows, columns) in [0, 1].
        alpha: half-width of the band as a share of each axis.
        low: log10 amplitude shown darkest.
        high: log10 amplitude shown brightest.

    Returns:
        Colour picture (rows * k, columns * k, 3) in [0, 1]; k pixels a frequency, so that the frame stays thin.
    """
    amplitude = np.log10(np.abs(np.fft.fftshift(np.fft.fft2(picture))) + FLOOR)
    scaled = np.clip((amplitude - low) / max(high - low, 1e-9), 0, 1)
    factor = max(1, -(-LEAST_SIDE // min(picture.shape)))
    shown = colormaps["magma"](scaled.repeat(factor, 0).repeat(factor, 1))[..., :3]
    (top, left), (bottom, right) = (
        [factor * (n // 2 + sign * int(alpha * n) + (sign > 0)) for n in picture.shape] for sign in (-1, 1)
    )
    bottom, right = min(bottom, shown.shape[0]), min(right, shown.shape[1])
    for edge in (slice(top, top + 2), slice(bottom - 2, bottom)):
        shown[edge, left:right] = (0.2, 1.0, 0.6)
    for edge in (slice(left, left + 2), slice(right - 2, right)):
        shown[top:bottom, edge] = (0.2, 1.0, 0.6)
    return np.asarray(shown)


def amplitude_range(pictures: Sequence[Floats]) -> tuple[float, float]:
    """Common log10 range of several spectra: from the 5th percentile to the largest."""
    values = np.concatenate([np.log10(np.abs(np.fft.fft2(picture)) + FLOOR).ravel() for picture in pictures])
    return float(np.percentile(values, 5)), float(values.max())


def similarity(image: Floats, other: Floats) -> dict[str, float]:
    """SSIM and PSNR (dB) of two images of one shape in [0, 1]; PSNR is infinite for equal images."""
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity  # not among what the analyst installs

    equal = np.array_equal(image, other)
    return {
        "ssim": float(structural_similarity(image, other, data_range=1.0)),
        "psnr": float("inf") if equal else float(peak_signal_noise_ratio(image, other, data_range=1.0)),
    }


def embed(content: bytes, kind: str) -> str:
    """A picture as a data URI."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def to_svg(figure: Figure) -> bytes:
    """A figure as SVG: no date, letters as paths, the same bytes for the same figure."""
    buffer = io.BytesIO()
    with rc_context({"svg.hashsalt": "fesf", "svg.fonttype": "path"}):
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def clean_axes(figure: Figure, count: int = 1, rows: int = 1) -> list[Axes]:
    """Axes side by side, row by row, with a light grid and no frame."""
    axes = [figure.add_subplot(rows, count, index + 1) for index in range(rows * count)]
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
        one.grid(color="#e5e7eb", linewidth=0.8)
        one.set_axisbelow(True)
    return axes


def draw_curves(histories: Mapping[str, Sequence[Mapping[str, str]]], best: Mapping[str, int]) -> bytes:
    """Learning curves as SVG: loss on the left, validation AUC on the right, the kept epoch as a dot.

    Args:
        histories: rows of history.csv of "plaintext" and "surrogate".
        best: the epoch that each kept.
    """
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    loss, auc = clean_axes(figure, 2)
    for kind, rows in histories.items():
        epochs = [int(row["epoch"]) for row in rows]
        colour = COLOURS[kind]
        loss.plot(epochs, _column(rows, "train_loss"), color=colour, marker=".", label=f"{kind}, training")
        loss.plot(
            epochs, _column(rows, "val_loss"), color=colour, marker=".", linestyle="--", label=f"{kind}, validation"
        )
        values = _column(rows, "val_auc")
        auc.plot(epochs, values, color=colour, label=kind)
        if best.get(kind) in epochs:
            kept = epochs.index(best[kind])
            auc.plot(epochs[kept], values[kept], "o", color=colour, markersize=7)
    for axes in (loss, auc):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    loss.set(xlabel="epoch", ylabel="cross entropy", ylim=(0, None))
    auc.set(xlabel="epoch", ylabel="AUC on validation")
    loss.legend(frameon=False, fontsize=8)
    auc.legend(frameon=False, fontsize=8, loc="lower right")
    return to_svg(figure)


def draw_distance(rows: Sequence[Mapping[str, str]], kept: Mapping[str, float]) -> bytes:
    """The generator's squared MMD to held-out hosts over epochs as SVG, with where it started and the floor.

    Args:
        rows: rows of the generator's history.csv.
        kept: the kept epoch's figures, distance.json.
    """
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    distance, losses = clean_axes(figure, 2)
    epochs = [int(row["epoch"]) for row in rows]
    distance.plot(epochs, _column(rows, "val_mmd"), color=COLOURS["surrogate"], marker=".", label="enhanced")
    distance.axhline(
        kept["val_mmd_synthetic"], color=COLOURS["plaintext"], linestyle="--", label="synthetic (no generator)"
    )
    distance.axhline(kept["val_mmd_floor"], color="#6b7280", linestyle=":", label="floor: halves of the host domain")
    distance.plot(kept["epoch"], kept["val_mmd"], "o", color=COLOURS["surrogate"], markersize=7)
    for name, style in (("generator_loss", "-"), ("discriminator_loss", "--")):
        losses.plot(
            epochs, _column(rows, name), color=COLOURS["surrogate"], linestyle=style, label=name.replace("_", " ")
        )
    for axes in (distance, losses):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(frameon=False, fontsize=8)
    distance.set(xlabel="epoch", ylabel="squared MMD to held-out hosts")
    losses.set(xlabel="epoch", ylabel="adversarial loss")
    return to_svg(figure)


def _column(rows: Sequence[Mapping[str, str]], name: str) -> list[float]:
    return [float(row[name]) if row.get(name) else float("nan") for row in rows]


def draw_roc_overlay(scores: Mapping[str, Scores], class_names: Sequence[str]) -> bytes:
    """ROC curves of both classifiers as SVG: of class 1 with two classes, else of each class against the rest."""
    figure = Figure(figsize=(4.4, 4.2), layout="constrained")
    (axes,) = clean_axes(figure)
    for kind, score in scores.items():
        for index in [1] if len(class_names) == 2 else range(len(class_names)):
            positive = score.labels == index
            if positive.any() and not positive.all():
                false_alarms, found, _ = roc_curve(positive, score.probabilities[:, index])
                label = kind if len(class_names) == 2 else f"{kind}: {class_names[index]}"
                axes.plot(
                    false_alarms, found, color=COLOURS[kind], alpha=1 - 0.6 * index / len(class_names), label=label
                )
    axes.plot([0, 1], [0, 1], color="#6b7280", linestyle=":", label="chance")
    axes.set(xlabel="false positive rate", ylabel="true positive rate", aspect="equal")
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    return to_svg(figure)


def draw_reliability_overlay(scores: Mapping[str, Scores]) -> bytes:
    """Reliability of both classifiers as SVG: observed frequency over stated probability, dots by number of images."""
    figure = Figure(figsize=(4.4, 4.2), layout="constrained")
    (axes,) = clean_axes(figure)
    axes.plot([0, 1], [0, 1], color="#6b7280", linestyle=":", label="calibrated")
    for kind, score in scores.items():
        stated, happened = calibration(score.labels, score.probabilities, score.decisions)
        index = bins_of(stated)
        counts = np.bincount(index, minlength=BINS)
        filled = counts > 0
        x, y = (np.bincount(index, values, minlength=BINS)[filled] / counts[filled] for values in (stated, happened))
        axes.plot(x, y, color=COLOURS[kind], label=kind)
        axes.scatter(x, y, s=200 * counts[filled] / counts.sum() + 8, color=COLOURS[kind], alpha=0.7)
    axes.set(xlabel="stated probability", ylabel="observed frequency", aspect="equal")
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    return to_svg(figure)
