"""Charts: what is drawn, read from the figure."""

from __future__ import annotations

import re

import numpy as np
import pytest

from fesf.scripts.audit import charts

CONDITION = {"value": 0.5, "low": 0.4, "high": 0.6, "chance": 0.1}
RESULT = {
    "conditions": {
        "plaintext": CONDITION | {"value": 0.9, "low": 0.8, "high": 1.0},
        "broken": CONDITION,
        "permuted": CONDITION | {"value": 0.1, "low": 0.05, "high": 0.15},
        "store": CONDITION,
    }
}


@pytest.fixture
def drawn(monkeypatch):
    figures, svg = [], charts.to_svg
    monkeypatch.setattr(charts, "to_svg", lambda figure: figures.append(figure) or svg(figure))
    return figures


def test_scores_lie_between_chance_and_plaintexts(drawn):
    content = charts.draw_overview({"same_image": RESULT, "not_measured": {"conditions": {}}})
    assert re.search(rb"<svg", content)
    (axes,) = drawn[0].axes
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["same image"]
    points = {line.get_label(): line.get_xdata()[0] for line in axes.lines if line.get_marker() in "^sxo"}
    assert points["this store"] == pytest.approx((0.5 - 0.1) / (0.9 - 0.1))
    assert points["plaintexts"] == 1
    assert points["nothing of the patient"] == pytest.approx(0)
    markers = [line.get_marker() for line in axes.lines if line.get_label() in points]
    assert len(set(markers)) == len(markers) == 4  # told apart without colour


def test_gains_have_intervals_and_labels(drawn):
    points = [(10, CONDITION), (100, CONDITION | {"value": 2.0, "low": 1.5, "high": 3.0})]
    charts.draw_gains({"ridge": points, "unet": points[::-1]}, "dB")
    (axes,) = drawn[0].axes
    lines = [line for line in axes.lines if line.get_marker() in charts.MARKERS]
    np.testing.assert_array_equal(lines[0].get_xdata(), [10, 100])
    np.testing.assert_array_equal(lines[0].get_ydata(), [0.5, 2.0])
    assert {text.get_text() for text in axes.texts} == {"ridge", "unet"}
    assert lines[0].get_linestyle() != lines[1].get_linestyle()
    assert axes.get_xscale() == "log"


def test_rocs_name_their_area(drawn):
    charts.draw_rocs({"siamese": {"false": [0, 1], "true": [0, 1], "auc": 0.5}})
    labels = [text.get_text() for text in drawn[0].axes[0].get_legend().get_texts()]
    assert labels == ["siamese, AUC 0.50", "chance"]
