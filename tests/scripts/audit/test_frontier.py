"""The Pareto set, the recommended setting, and the corners."""

from __future__ import annotations

import csv
import io

import pytest
from PIL import Image

from fesf.scripts.audit.frontier import corners, name, pareto, recommend, table, verdict, within
from fesf.scripts.audit.frontier_picture import draw_frontier


def found(value, half=0.1, chance=0.02):
    return {"value": value, "low": value - half, "high": value + half, "chance": chance}


def setting(alpha, auc, rank, gain, test=None):
    validation = {"auc": {"value": auc}, "reidentification": found(rank), "inversion": found(gain, chance=0.0)}
    tested = test or {"auc": found(auc), "reidentification": found(rank), "inversion": found(gain, chance=0.0)}
    plain = {"reidentification": found(0.5 + alpha), "inversion": found(9.0, chance=0.0)}
    return {
        "stage": "synthetic", "alpha": alpha, "beta": 0.5, "validation": validation, "test": tested, "plaintext": plain
    }  # fmt: skip


ROWS = [
    setting(0.02, 0.60, 0.10, 1.0),
    setting(0.05, 0.70, 0.30, 2.0),
    setting(0.1, 0.65, 0.35, 2.5),  # beaten by the one before in everything
    setting(0.25, 0.80, 0.60, 4.0),
]


def test_the_pareto_set_leaves_out_what_another_beats():
    assert pareto(ROWS) == [0, 1, 3]
    assert pareto([ROWS[0], ROWS[0]]) == [0, 1]  # equal ones do not beat each other


def test_the_best_utility_within_the_limits_is_recommended():
    assert recommend(ROWS, {"reidentification": 0.5}) == 1
    assert recommend(ROWS, {"reidentification": 0.41, "inversion": 1.5}) == 0
    assert recommend(ROWS, {"reidentification": 0.39}) == 0  # 0.30 + 0.1 is past it: the interval's upper end counts
    assert recommend(ROWS, {"reidentification": 0.1}) is None
    assert recommend(ROWS, {}) is None


def test_it_is_chosen_on_validation_patients_alone():
    worse = {"auc": found(0.1), "reidentification": found(1.0), "inversion": found(9.0)}
    rows = [*ROWS[:1], setting(0.05, 0.70, 0.30, 2.0, test=worse)]
    assert recommend(rows, {"reidentification": 0.5}) == 1
    assert not within(rows[1], {"reidentification": 0.5}, "test")


def test_what_cannot_be_measured_holds_no_limit():
    row = setting(0.02, 0.6, 0.1, 1.0)
    for part in ("validation", "test", "plaintext"):
        row[part]["reidentification"] = None
    assert recommend([row], {"reidentification": 1.0}) is None
    assert recommend([row], {"inversion": 2.0}) == 0
    assert corners([row], found(0.9))["chance"]["reidentification"] is None
    assert draw_frontier({"": verdict([row], found(0.9), {"inversion": 2.0})}).startswith(b"\x89PNG")


def test_a_setting_that_nobody_can_publish_is_named_and_not_chosen():
    refused = {"stage": "surrogate", "alpha": 0.1, "beta": 1.0, "plaintext": {}, "refused": "failed the phase check"}
    kept = verdict([*ROWS, refused], found(0.9), {"reidentification": 0.5})
    assert kept["refused"] == {"surrogate, alpha 0.1, beta 1": "failed the phase check"}
    assert kept["recommended"] == "synthetic, alpha 0.05, beta 0.5"
    assert [row["alpha"] for row in kept["settings"]] == [0.02, 0.05, 0.1, 0.25]
    assert len(list(csv.DictReader(io.StringIO(table({"": kept}).decode())))) == 4


def test_a_sweep_of_which_nothing_can_be_published_is_written_all_the_same():
    refused = {"stage": "synthetic", "alpha": 0.5, "beta": 1.0, "plaintext": {}, "refused": "failed the phase check"}
    kept = verdict([refused], found(0.9), {"reidentification": 0.5})
    assert kept["recommended"] is None
    assert table({"": kept}).decode().startswith("stage,alpha,beta,pareto,recommended,validation_auc_value,")
    assert draw_frontier({"": kept}).startswith(b"\x89PNG")


def test_the_corners_are_plaintexts_and_chance():
    bounds = corners(ROWS, found(0.9))
    assert bounds["plaintext"]["reidentification"]["value"] == 0.75  # of the widest band
    assert bounds["plaintext"]["auc"]["value"] == 0.9
    assert bounds["chance"] == {
        "auc": {"value": 0.5}, "reidentification": {"value": 0.02}, "inversion": {"value": 0.0}
    }  # fmt: skip


def test_the_table_says_which_is_which():
    kept = verdict(ROWS, found(0.9), {"reidentification": 0.5})
    lines = list(csv.DictReader(io.StringIO(table({"": kept}).decode())))
    assert list(lines[0])[:5] == ["stage", "alpha", "beta", "pareto", "recommended"]
    sets = list(csv.DictReader(io.StringIO(table({"a": kept, "b": kept}).decode())))
    assert [line["set"] for line in sets] == ["a"] * 4 + ["b"] * 4
    assert [line["pareto"] for line in lines] == ["1", "1", "0", "1"]
    assert [line["recommended"] for line in lines] == ["0", "1", "0", "0"]
    assert lines[1]["test_reidentification_high"] == "0.4000"
    assert lines[1]["validation_auc_low"] == ""
    assert name(ROWS[1]) == "synthetic, alpha 0.05, beta 0.5"


@pytest.mark.parametrize("limits", [{}, {"reidentification": 0.5}])
def test_the_picture_has_a_panel_for_each_risk(limits):
    kept = verdict(ROWS, found(0.9), limits)
    picture = Image.open(io.BytesIO(draw_frontier({"": kept})))
    assert picture.width > 2 * picture.height
    assert Image.open(io.BytesIO(draw_frontier({"a": kept, "b": kept}))).height == 2 * picture.height
