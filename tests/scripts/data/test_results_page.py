"""The tables and the page of results, against figures worked out by hand."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fesf.scripts.data import results_page
from fesf.scripts.data.distance import MEASURES
from fesf.scripts.data.grid import ARMS, CNN, DEMO, Job, Source, cells
from fesf.scripts.data.outcome import Outcome
from fesf.scripts.data.results import Results, SetResult, collect
from fesf.scripts.data.results_page import COLUMNS, IMAGES, QUALITY_COLUMNS, write_page, write_quality, write_table
from fesf.scripts.data.studies import ALPHAS, BETAS, OtherLambda, SweepPoint
from fesf.scripts.engines.metrics import METRICS

from ..conftest import leave, made_up_quality

LABELS = np.array([0, 0, 0, 1, 1])
ORIGIN: dict[str, Any] = {
    "command": "python -m fesf.scripts.reproduce --quick",
    "commit": "0123abc",
    "machine": {"processor": "Thing 9000", "cores": 2, "memory_gib": 4.0},
    "software": {"python": "3.12.1", "torch": "2.8"},
}


def arm(scores: list[float], first: int = 2, labels: np.ndarray = LABELS, commit: str = "0123abc") -> Outcome:
    p = np.array(scores)
    rows = list(range(first, first + len(labels)))
    return Outcome(rows, [str(row) for row in rows], labels, np.stack([1 - p, p], 1), (p >= 0.5).astype(int), commit)


# AUC, balanced accuracy: RIGHT 1, 1; HALF 5/6, (2/3 + 1/2) / 2
RIGHT, HALF = [0.1, 0.2, 0.3, 0.8, 0.9], [0.1, 0.4, 0.8, 0.45, 0.9]


def made(root: Path, runs: int = 2, **quality: Any) -> SetResult:
    """The demo: full surrogates are worse in run 1, where IQEM images are as good as IHM's."""
    found = [Source(DEMO, run, "", str(root)) for run in range(runs)]
    for source in found:
        leave(source, **quality)
    first = {name: arm(RIGHT) for name in ARMS}
    second = first | {"full": arm(HALF)}
    figures = {source.run: source.done for source in found}
    return SetResult(DEMO, found, {CNN: [(0, first), (1, second)][:runs]}, figures=figures)


def results_of(*sets: SetResult, done: int = 3, planned: int = 8) -> Results:
    machines = ["Thing 9000, 2 cores", "Other, 4 cores"]
    return Results(list(sets), done, planned, ["0123abc", "9876fed"], machines)


def page(results: Results) -> str:
    return write_page(results, ORIGIN).decode()


def tables(text: str) -> dict[str, list[list[str]]]:
    """Cells of the tables by the heading (or the bold line) above each, a second table with a number."""
    found: dict[str, list[list[str]]] = {}
    name = ""
    for before, line in zip(["", *text.splitlines()], text.splitlines(), strict=False):
        if line.startswith(("## ", "**")):
            name = line.strip("#* ")
        if line.startswith("| "):
            if not before.startswith("| "):
                name += " 2" if name in found else ""
                found[name] = []
            found[name].append([cell.strip() for cell in line.strip("|").split("|")])
    for rows in found.values():
        assert len({len(row) for row in rows}) == 1  # every row has the head's cells
        assert set(rows.pop(1)) == {"---"}
    return found


def test_table(tmp_path: Path) -> None:
    item = made(tmp_path)
    lines = list(csv.DictReader(io.StringIO(write_table(results_of(item)).decode())))
    assert tuple(lines[0]) == COLUMNS
    places = ("set", "network", "arm", "run", "n_test")
    assert (*places, *METRICS, "clipped_share", "commit") == COLUMNS
    assert [(line["run"], line["arm"]) for line in lines] == [(run, name) for run in "01" for name in ARMS]
    assert {(line["set"], line["network"], line["n_test"], line["commit"]) for line in lines} == {
        ("demo", "cnn", "5", "0123abc")
    }
    worst = {"accuracy": "0.6000", "balanced_accuracy": "0.5833", "auc": "0.8333", "f1": "0.5000"}
    worst |= {"sensitivity": "0.5000", "specificity": "0.6667"}
    # Brier: (0.1^2 + 0.4^2 + 0.8^2 + 0.55^2 + 0.1^2) / 5; ECE, bins of 0.1: [0.1], [0.4, 0.45], [0.8], [0.9]
    worst |= {"brier": "0.2245", "ece": "0.2300"}
    assert worst.items() <= lines[7].items()
    assert [line["clipped_share"] for line in lines] == ["", "0.1250", "0.2500", "0.5000"] * 2
    assert {line["auc"] for line in lines[:7]} == {"1.0000"}


def test_an_undefined_figure_is_an_empty_cell(tmp_path: Path) -> None:
    item = made(tmp_path, runs=1)
    lone = arm([0.25, 0.75], labels=np.array([1, 1]))
    item.networks[CNN] = [(0, dict.fromkeys(ARMS, lone))]
    lines = list(csv.DictReader(io.StringIO(write_table(results_of(item)).decode())))
    assert {(line["auc"], line["balanced_accuracy"], line["accuracy"]) for line in lines} == {("", "", "0.5000")}


def test_quality_table(tmp_path: Path) -> None:
    item = replace(made(tmp_path), lambdas={0.0: {"quality": made_up_quality(0.25)}})
    content = write_quality(results_of(item)).decode()
    assert "nan" not in content.lower()
    assert "None" not in content
    lines = list(csv.DictReader(io.StringIO(content)))
    assert tuple(lines[0]) == QUALITY_COLUMNS
    weight = str(item.sources[0].content_weight)
    places = [("0", weight), ("1", weight), ("0", "0.0")]
    assert [(line["run"], line["content_weight"], line["stage"]) for line in lines] == [
        (*place, stage) for place in places for stage in IMAGES
    ]
    enhanced = {"set": "demo", "images_drawn": "6", "mmd": "0.0625", "frechet": "10.0000", "mmd_gap_closed": "0.7500"}
    enhanced |= {"frechet_gap_closed": "-0.7500", "ssim_to_host": "0.6250", "psnr_to_plaintext": "11.0000"}
    assert enhanced.items() <= lines[4].items()
    assert lines[16]["mmd_gap_closed"] == "0.2500"
    floor, plaintext = lines[0], lines[1]
    assert {floor[f"{name}_gap_closed"] for name in MEASURES} == {floor["ssim_to_host"]} == {""}
    assert (plaintext["ssim_to_host"], plaintext["ssim_to_plaintext"]) == ("0.1250", "")


def test_one_run_has_no_spread_and_more_have(tmp_path: Path) -> None:
    found = tables(page(results_of(made(tmp_path))))
    assert found["AUC, small CNN"] == [
        ["set", "runs", "tested images", "plaintext", "IHM", "IHM + IQEM", "full", "accuracy of the majority class"],
        ["demo", "2 seeds", "10", *["1.000 ± 0.000"] * 3, "0.917 ± 0.118", "0.600"],  # sqrt(2) x 1/12; 3 of 5
    ]
    assert found["Balanced accuracy, small CNN"][1][6] == "0.792 ± 0.295"
    single = tables(page(results_of(made(tmp_path, runs=1))))["AUC, small CNN"]
    assert single[1] == ["demo", "1 seeds", "5", *["1.000"] * 4, "0.600"]
    folds = replace(made(tmp_path), name="cxr_nih1000")
    assert tables(page(results_of(folds)))["AUC, small CNN"][1][:2] == ["cxr_nih1000", "2 folds"]


def test_differences_are_of_each_pair_of_arms(tmp_path: Path) -> None:
    item = made(tmp_path)
    heads, row = tables(page(results_of(item)))["AUC, small CNN 2"]
    assert heads == [
        "set",
        "IHM less plaintext",
        "IHM + IQEM less plaintext",
        "full less plaintext",
        "IHM + IQEM less IHM",
        "full less IHM",
        "full less IHM + IQEM",
        "interval over",
    ]
    gap = item.difference(CNN, "ihm", "full")["auc"]
    assert gap["value"] == pytest.approx(-1 / 12)
    assert row[1] == row[2] == row[4] == "+0.000 [+0.000, +0.000]"
    assert row[3] == row[5] == row[6] == f"-0.083 [{gap['low']:+.3f}, {gap['high']:+.3f}]"
    assert row[7] == "patients"
    images = replace(item, name="us_breastmnist")
    assert tables(page(results_of(images)))["AUC, small CNN 2"][1][7] == "images"


@pytest.mark.parametrize(
    ("closed", "low", "gap", "loss"),
    [(0.5, -0.01, "met", "met"), (0.499, -0.0101, "not met", "not met"), (0.9, 0.02, "met", "met")],
)
def test_the_goals_verdict_is_at_the_stated_limits(
    closed: float, low: float, gap: str, loss: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interval = {"value": 0.05, "low": low, "high": 0.1}
    monkeypatch.setattr(SetResult, "difference", lambda *_: dict.fromkeys(("auc", "balanced_accuracy"), interval))
    text = page(results_of(made(tmp_path, quality=made_up_quality(closed))))
    assert "shall close half of the gap" in text
    assert "shall reach no lower than -0.01." in text
    heads, enhanced, surrogate = tables(text)["The goal"]
    assert heads == ["set", "images", "gap closed, MMD", "gap closed, Fréchet", "AUC less IHM's"]
    shown = f"+0.050 [{low:+.3f}, +0.100], {loss}"
    assert enhanced == ["demo", "enhanced", f"{closed:+.2f}, {gap}", f"{-closed:+.2f}, not met", shown]
    less = closed - 0.25
    verdict = "met" if less >= 0.5 else "not met"
    assert surrogate == ["demo", "surrogate", f"{less:+.2f}, {verdict}", f"{-less:+.2f}, not met", shown]


def test_lambda_zero_has_rows_of_its_own(tmp_path: Path) -> None:
    item = replace(made(tmp_path), lambdas={0.0: {"quality": made_up_quality(0.25)}})
    found = tables(page(results_of(item)))
    weight = f"{item.sources[0].content_weight:g}"
    distances = [f"{n / 64:.3f}" for n in range(6)]
    heads, ours, papers = found["Squared MMD"]
    assert heads == ["set", "lambda", "runs", "images", *IMAGES, "gap closed, enhanced", "gap closed, surrogate"]
    assert ours == ["demo", weight, "2", "6", *distances, "+0.75", "+0.50"]
    assert papers == ["demo", "0", "1", "6", *distances, "+0.25", "+0.00"]
    assert found["Fréchet distance"][1][4:] == [*(f"{2.5 * n:.3f}" for n in range(6)), "-0.75", "-0.50"]
    without = tables(page(results_of(made(tmp_path))))
    assert [row[1] for row in without["Squared MMD"][1:]] == [weight]


def test_the_goal_at_other_lambdas(tmp_path: Path) -> None:
    """Lambda 0 keeps the AUC and closes too little; 80 closes enough on the enhanced images and loses nothing there."""
    both = made_up_quality(1.0)
    both["gap_closed"] = {"enhanced": {"mmd": 0.5, "frechet": 0.75}, "surrogate": {"mmd": 0.5, "frechet": 0.75}}
    lambdas = {0.0: {"quality": made_up_quality(0.25)}, 80.0: {"quality": both}}
    lambdas[160.0] = {"refused": "no good"}
    arms = {0.0: dict.fromkeys(("iqem", "full"), arm(RIGHT, commit="a"))}
    arms[80.0] = {"iqem": arm(RIGHT, commit="b"), "full": arm(HALF, commit="b")}
    item = replace(made(tmp_path), lambdas=lambdas, lambda_arms=arms)
    item.networks[CNN][0][1]["full"] = arm(HALF)  # with our own lambda; IHM is right
    text = page(results_of(item))
    heads, *rows = tables(text)["The goal at other lambdas, first fold or seed"]
    assert heads[2:6] == [f"gap closed, {of}, {by}" for of in ("enhanced", "surrogate") for by in ("MMD", "Fréchet")]
    assert heads[6:] == ["AUC, IHM + IQEM", "AUC, full", "IHM + IQEM less IHM", "full less IHM"]
    assert [row[1] for row in rows] == ["0", f"{item.sources[0].content_weight:g}", "80", "160"]
    none = "+0.000 [+0.000, +0.000]"
    assert rows[0][2:] == ["+0.25", "-0.25", "+0.00", "-0.00", "1.000", "1.000", none, none]
    assert rows[1][2:8] == ["+0.75", "-0.75", "+0.50", "-0.50", "1.000", "0.833"]  # run 0 alone
    assert rows[2][2:9] == ["+0.50", "+0.75", "+0.50", "+0.75", "1.000", "0.833", none]
    assert rows[2][9].startswith("-0.167 [-")
    assert rows[3][2:] == ["-"] * 8
    assert "together are met by: demo, enhanced images, lambda 80." in text
    lines = list(csv.DictReader(io.StringIO(write_table(results_of(item)).decode())))
    again = [(line["arm"], line["commit"]) for line in lines if line["commit"] in "ab"]
    assert again == [
        (f"{name}_lambda_{weight}", by) for weight, by in ((0, "a"), (80, "b")) for name in ("iqem", "full")
    ]
    less = replace(item, lambdas={0.0: lambdas[0.0]})
    assert "together are met by: none." in page(results_of(less))
    without = page(results_of(made(tmp_path)))
    assert "other lambdas, first" not in without
    alone = replace(item, networks={CNN: item.networks[CNN][1:]})  # run 0 is not done
    assert len(tables(page(results_of(alone)))["The goal at other lambdas, first fold or seed"]) == 1


def test_likeness_shows_what_there_is(tmp_path: Path) -> None:
    _, *rows = tables(page(results_of(made(tmp_path))))["What an onlooker sees"]
    assert rows == [
        ["demo", "plaintext", "0.125, 9.0, 0.500", "-"],
        ["demo", "synthetic", "0.500, 10.0, 0.250", "0.500, 10.0, 0.250"],
        ["demo", "enhanced", "0.625, 11.0, 0.250", "0.625, 11.0, 0.250"],
        ["demo", "surrogate", "0.750, 12.0, 0.250", "0.750, 12.0, 0.250"],
        ["demo", "another plaintext", "-", "0.125, 9.0, -"],  # too small for three scales
    ]


def test_sweep_shows_a_cell_for_each_alpha_and_beta(tmp_path: Path) -> None:
    sweep = {(0.1, 0.5): arm(HALF), (0.5, 1.0): arm(RIGHT), (0.02, 0.25): arm([0.5] * 2, labels=np.array([1, 1]))}
    item = replace(made(tmp_path), sweep=sweep)
    text = page(results_of(item))
    rows = tables(text)["demo** (plaintext 1.000)"]
    assert rows[0] == ["alpha", *(f"beta {beta:g}" for beta in BETAS)]
    assert [row[0] for row in rows[1:]] == [f"{alpha:g}" for alpha in ALPHAS]
    shown = {
        (alpha, beta): cell
        for alpha, row in zip(ALPHAS, rows[1:], strict=True)
        for beta, cell in zip(BETAS, row[1:], strict=True)
    }
    assert {place: cell for place, cell in shown.items() if cell != "-"} == {(0.1, 0.5): "0.833", (0.5, 1.0): "1.000"}
    assert "alpha and beta (IHM alone" in text
    assert "alpha and beta (IHM alone" not in page(results_of(made(tmp_path)))
    alone = replace(item, networks={})  # the sweep is done before the arms are
    assert "demo" in tables(page(results_of(alone)))
    assert "plaintext" not in tables(page(results_of(alone)))["demo"][0]


def test_the_stronger_second_pass_stands_beside_each_arm(tmp_path: Path) -> None:
    second = {
        run: (arm(scores, commit="fedcba9"), {"quality": made_up_quality(closed), "clipped_share": 0.75})
        for run, scores, closed in ((0, HALF, 1), (1, RIGHT, 0.5))
    }
    item = replace(made(tmp_path), second_pass=second)
    lines = list(csv.DictReader(io.StringIO(write_table(results_of(item)).decode())))
    assert [(line["run"], line["arm"]) for line in lines] == [
        (run, name) for run in "01" for name in (*ARMS, "second_pass")
    ]
    assert [lines[4][name] for name in ("auc", "clipped_share", "commit")] == ["0.8333", "0.7500", "fedcba9"]
    lines = list(csv.DictReader(io.StringIO(write_quality(results_of(item)).decode())))
    assert [(line["run"], line["stage"], line["mmd_gap_closed"]) for line in lines[-2:]] == [
        ("0", "second_pass", "0.7500"),
        ("1", "second_pass", "0.2500"),
    ]
    text = page(results_of(item))
    assert "accuracy is bought with exposure" in text
    heads, row = tables(text)["A stronger second pass: alpha' 0.25, beta' 1"]
    assert heads[2:6] == ["AUC", "less plaintext", "less IHM", "less full"]
    assert row[:3] == ["demo", "2", "0.917 ± 0.118"]
    assert row[3] == row[4]  # plaintext and IHM are right in both runs
    assert row[4].startswith("-0.083 [-")
    assert row[5].startswith("+0.000 [")  # full is worse in run 1 as it is in run 0
    assert row[6:] == ["+0.50", "-0.50"]  # surrogates: a quarter less than the enhanced images' 1 and 0.5
    assert "stronger second pass" not in page(results_of(made(tmp_path)))


def test_other_networks_have_a_table_once_they_are_done(tmp_path: Path) -> None:
    item = made(tmp_path)
    assert "other networks" not in page(results_of(item))
    arms = {name: arm(HALF if name == "ihm" else RIGHT) for name in ARMS}
    item.networks.update({"vit": [(0, arms)], "densenet121": [(0, arms)]})
    found = tables(page(results_of(item)))["AUC, other networks, first fold or seed, 10 epochs"]
    assert [row[:2] for row in found[1:]] == [["demo", "densenet121"], ["demo", "vit"]]
    assert found[1][2:6] == ["1.000", "0.833", "1.000", "1.000"]
    less = [f"{name} less plaintext" for name in ("IHM", "IHM + IQEM", "full")]
    assert found[0][6:] == [*less, "full less IHM"]
    assert found[1][6].startswith("-0.167 [-0.")
    assert found[1][7] == found[1][8] == "+0.000 [+0.000, +0.000]"
    assert found[1][9].startswith("+0.167 [+0.000, +0.")


def test_head_says_by_what_from_how_much_and_where(tmp_path: Path) -> None:
    text = page(results_of(made(tmp_path), done=3, planned=8))
    assert text.splitlines()[0] == "# The whole method and its ablations"
    assert (
        "Written by `python -m fesf.scripts.reproduce --quick` at commit 0123abc from 3 of 8 jobs that ran at 0123abc,"
        " 9876fed on Thing 9000, 2 cores; Other, 4 cores; python 3.12.1, torch 2.8." in text
    )
    assert text.endswith("\n")
    assert results_page.INTRODUCTION in text
    assert results_page.LIMITS in text


def test_refused_generators_are_named(tmp_path: Path) -> None:
    results = results_of(made(tmp_path))
    assert "refused" not in page(results)
    results.refused.update({"mri_cheng430/2/source": "The generator stayed the identity."})
    assert (
        "Generators and images that were refused; what needs them has no figures below:\n\n"
        "- `mri_cheng430/2/source`: The generator stayed the identity.\n\n## AUC, small CNN"
    ) in page(results)


def test_a_partial_grid_shows_what_is_done_and_no_nan(tmp_path: Path) -> None:
    first, second = (Source(DEMO, run, "", str(tmp_path)) for run in range(2))
    other = Source("us_breastmnist", 0, "", str(tmp_path))
    points = [SweepPoint(other, 0.1, beta) for beta in BETAS]
    jobs: list[Job] = [first, second, other, *cells([first, second, other], [CNN]), OtherLambda(first, 0.0), *points]
    undone = {job for job in jobs if job.title in ("demo/1/cnn/full", "us_breastmnist/0/cnn/ihm", points[0].title)}
    for job in jobs:
        if job not in undone:
            leave(job)
    results = collect(jobs)
    text = page(results)
    assert f"from {len(jobs) - 3} of {len(jobs)} jobs" in text
    assert "nan" not in text.lower().replace("retinamnist", "")
    found = tables(text)
    assert [row[:2] for row in found["AUC, small CNN"][1:]] == [["demo", "1 seeds"]]  # no set without all arms
    assert {row[0] for row in found["Squared MMD"][1:]} == {"demo", "us_breastmnist"}
    assert found["us_breastmnist"][3] == ["0.1", "-", "1.000", "1.000"]
    assert len(list(csv.reader(io.StringIO(write_table(results).decode())))) == 1 + len(ARMS)


def test_undefined_figures_are_dashes(tmp_path: Path) -> None:
    item = made(tmp_path, runs=1)
    lone = arm([0.25, 0.75], labels=np.array([1, 1]))
    item.networks.update({CNN: [(0, dict.fromkeys(ARMS, lone))], "vit": [(0, dict.fromkeys(ARMS, lone))]})
    text = page(results_of(item))
    assert "nan" not in text.lower()
    found = tables(text)
    assert found["AUC, small CNN"][1][3:7] == ["-"] * 4
    assert found["AUC, small CNN 2"][1][1:7] == ["-"] * 6
    assert found["The goal"][1][4] == "-, not met"
