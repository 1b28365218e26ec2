"""The table and the page of results, against figures worked out by hand."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from fesf.scripts.data.results import Outcome
from fesf.scripts.data.results_page import SetResult, write_page, write_table

LABELS = np.array([0, 0, 0, 1, 1])


def arm(scores: list[float], first: int = 2) -> Outcome:
    p = np.array(scores)
    rows = list(range(first, first + 5))
    return Outcome(rows, [str(row) for row in rows], LABELS, np.stack([1 - p, p], 1), (p >= 0.5).astype(int))


# AUC, balanced accuracy: RIGHT 1, 1; HALF 5/6, (2/3 + 1/2) / 2
RIGHT, HALF = [0.1, 0.2, 0.3, 0.8, 0.9], [0.1, 0.4, 0.8, 0.45, 0.9]
ORIGIN = {
    "command": "python -m fesf.scripts.reproduce --quick",
    "commit": "0123abc",
    "machine": {"processor": "Thing 9000", "cores": 2, "memory_gib": 4.0},
    "software": {"python": "3.12.1", "torch": "2.8"},
}


def make(seeds: bool = False, first: int = 2) -> SetResult:
    pairs = [(arm(RIGHT), arm(RIGHT)), (arm(RIGHT, first), arm(HALF, first))]
    return SetResult("some_set", seeds, pairs, [0.125, 0.25], 7, "patients")


def test_table() -> None:
    lines = list(csv.DictReader(io.StringIO(write_table([make(first=50)]).decode())))
    assert [(line["arm"], line["run"]) for line in lines] == [
        ("plaintext", "0"),
        ("plaintext", "1"),
        ("ihm", "0"),
        ("ihm", "1"),
    ]
    worst = {"set": "some_set", "n_test": "5", "accuracy": "0.6000", "balanced_accuracy": "0.5833", "auc": "0.8333"}
    worst |= {"f1": "0.5000", "sensitivity": "0.5000", "specificity": "0.6667", "clipped_share": "0.2500"}
    # Brier: (0.1^2 + 0.4^2 + 0.8^2 + 0.55^2 + 0.1^2) / 5; ECE, bins of 0.1: [0.1], [0.4, 0.45], [0.8], [0.9]
    worst |= {"brier": "0.2245", "ece": "0.2300"}
    assert worst.items() <= lines[3].items()
    assert [line["clipped_share"] for line in lines] == ["", "", "0.1250", "0.2500"]
    assert lines[0]["auc"] == "1.0000"


def test_one_line_a_set() -> None:
    cells = [cell.strip() for cell in make(first=50).line().strip("|").split("|")]
    assert cells[:3] == ["some_set", "2 folds", "10"]
    assert cells[3:5] == ["1.000 ± 0.000", "0.917 ± 0.118"]  # sqrt(2) x 1/12
    assert cells[5].startswith("-0.083 [-0.")
    assert cells[6:8] == ["1.000 ± 0.000", "0.792 ± 0.295"]
    assert cells[8].startswith("-0.208 [-0.")
    assert cells[9:] == ["patients", "18.8 %", "7"]


def test_seeds_share_a_test_set_which_counts_once() -> None:
    cells = [cell.strip() for cell in make(seeds=True).line().strip("|").split("|")]
    assert cells[1:3] == ["2 seeds", "5"]
    assert make().one_test_set
    assert not make(first=3).one_test_set


def test_one_run_has_no_spread() -> None:
    single = SetResult("s", True, [(arm(RIGHT), arm(HALF))], [0.0], 0, "images")
    cells = [cell.strip() for cell in single.line().strip("|").split("|")]
    assert cells[1:5] == ["1 seeds", "5", "1.000", "0.833"]
    assert cells[9:] == ["images", "0.0 %", "0"]


def test_interval_shares_draws_over_seeds_only(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def difference(pairs: list[tuple[Outcome, Outcome]], same_test: bool) -> dict[str, dict[str, float]]:
        asked.append(same_test)
        return {name: {"value": 0.1, "low": -0.2, "high": 0.3} for name in ("auc", "balanced_accuracy")}

    monkeypatch.setattr("fesf.scripts.data.results_page.paired_difference", difference)
    assert "| +0.100 [-0.200, +0.300] |" in make().line()
    make(first=50).line()
    assert asked == [True, False]


def test_page() -> None:
    text = write_page([make(), make(first=50)], ORIGIN).decode()
    lines = text.splitlines()
    assert lines[0] == "# Plaintext against surrogates"
    assert (
        "Written by `python -m fesf.scripts.reproduce --quick` at commit 0123abc on Thing 9000, 2 cores;"
        " python 3.12.1, torch 2.8." in text
    )
    start = next(number for number, line in enumerate(lines) if line.startswith("| set "))
    head, rule, *rows = lines[start : start + 4]
    assert head.startswith("| set | runs | test images | AUC, plaintext | AUC, IHM | difference | balanced accuracy, p")
    assert rule == "|" + " --- |" * 12
    assert [row.count("|") for row in (head, *rows)] == [13, 13, 13]
    assert rows == [make().line(), make(first=50).line()]
    assert text.endswith("\n")


def test_means_are_the_surrogate_arms() -> None:
    assert make().means() == {"some_set_auc": 0.9167, "some_set_balanced_accuracy": 0.7917}
