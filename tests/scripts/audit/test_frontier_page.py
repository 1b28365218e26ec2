"""The settings on the privacy page: Pareto set, default, corners, what to take, and what was not measured."""

from __future__ import annotations

from fesf.scripts.audit.frontier import verdict
from fesf.scripts.audit.frontier_page import section
from tests.scripts.audit.test_frontier import ROWS, found


def test_the_tables_hold_the_pareto_set_the_default_and_the_corners() -> None:
    text = section({"demo": verdict(ROWS, found(0.9), {"reidentification": 0.5, "inversion": 2.5})})
    rows = [line for line in text.splitlines() if line.startswith("| ")][1:]
    assert rows[1:] == [
        "| synthetic, alpha 0.02, beta 0.5 | yes | 0.60 [0.50, 0.70] | 0.10 [0.00, 0.20] | 1.00 [0.90, 1.10] |",
        "| synthetic, alpha 0.05, beta 0.5 | yes | 0.70 [0.60, 0.80] | 0.30 [0.20, 0.40] | 2.00 [1.90, 2.10] |",
        "| synthetic, alpha 0.1, beta 0.5 | no | 0.65 [0.55, 0.75] | 0.35 [0.25, 0.45] | 2.50 [2.40, 2.60] |",
        "| synthetic, alpha 0.25, beta 0.5 | yes | 0.80 [0.70, 0.90] | 0.60 [0.50, 0.70] | 4.00 [3.90, 4.10] |",
        "| plaintext |  | 0.90 [0.80, 1.00] | 0.75 [0.65, 0.85] | 9.00 [8.90, 9.10] |",
        "| chance |  | 0.50 | 0.02 | 0.00 |",
    ]
    assert "### demo, settings" in text
    assert "Recommended: synthetic, alpha 0.05, beta 0.5; on test patients it holds the limits." in text
    assert "Without a limit" not in text


def test_a_set_that_cannot_measure_a_risk_says_so() -> None:
    rows = [{**ROWS[0], part: ROWS[0][part] | {"reidentification": None}} for part in ("test",)]
    rows = [{**rows[0], "validation": rows[0]["test"], "plaintext": rows[0]["test"]}]
    text = section({"mri": verdict(rows, found(0.9), {"inversion": 0.5})})
    assert "| not measured |" in text
    assert (
        "No setting holds the limits on validation patients. Without a limit on what this set cannot measure:" in text
    )


def test_a_setting_that_nobody_can_publish_is_named() -> None:
    refused = {"stage": "surrogate", "alpha": 0.1, "beta": 1.0, "refused": "Row 3 of the cohort: failed."}
    text = section({"mri": verdict([*ROWS, refused], found(0.9), {"inversion": 9.0})})
    assert text.endswith("Not published: surrogate, alpha 0.1, beta 1. Row 3 of the cohort: failed.")


def test_without_settings_the_page_says_so() -> None:
    assert section({}) == "Not measured in this run."
