"""Pictures show the right curve, are PNG and the same for the same figures."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from fesf.scripts.engines import figures
from fesf.scripts.engines.figures import draw_confusion, draw_reliability, draw_roc

LABELS = np.array([0, 0, 1, 1, 0, 1])
SCORES = np.array([0.1, 0.4, 0.35, 0.8, 0.2, 0.9])
BINARY = np.stack([1 - SCORES, SCORES], 1)


@pytest.fixture
def axes(monkeypatch: pytest.MonkeyPatch) -> list[figures.Figure]:
    """The figures drawn since."""
    drawn: list[figures.Figure] = []
    original = figures._png

    def keep(figure: figures.Figure) -> bytes:
        drawn.append(figure)
        return original(figure)

    monkeypatch.setattr(figures, "_png", keep)
    return drawn


def open_png(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    assert image.format == "PNG"
    return image


def test_roc(axes: list[figures.Figure]) -> None:
    content = draw_roc(LABELS, BINARY, ["no", "yes"])
    open_png(content)
    assert content == draw_roc(LABELS, BINARY, ["no", "yes"])
    curve, chance = axes[0].axes[0].lines
    assert curve.get_label() == "yes"
    assert np.trapezoid(curve.get_ydata(), curve.get_xdata()) == pytest.approx(8 / 9)  # 8 of 9 pairs in order
    assert chance.get_label() == "chance"


def test_roc_of_many_classes_leaves_out_the_absent(axes: list[figures.Figure]) -> None:
    draw_roc(np.array([0, 1, 0]), np.full((3, 3), 1 / 3), ["a", "b", "c"])
    assert [line.get_label() for line in axes[0].axes[0].lines] == ["a", "b", "chance"]


def test_reliability(axes: list[figures.Figure]) -> None:
    open_png(draw_reliability(LABELS, BINARY, (SCORES > 0.5).astype(int)))
    model = axes[0].axes[0].lines[1]
    np.testing.assert_allclose(model.get_xdata(), [0.1, 0.2, 0.35, 0.4, 0.8, 0.9])
    np.testing.assert_allclose(model.get_ydata(), [0, 0, 1, 0, 1, 1])


def test_confusion(axes: list[figures.Figure]) -> None:
    open_png(draw_confusion([[5, 1], [0, 7]], ["no", "yes"]))
    assert [text.get_text() for text in axes[0].axes[0].texts] == ["5", "1", "0", "7"]
    assert [tick.get_text() for tick in axes[0].axes[0].get_yticklabels()] == ["no", "yes"]
