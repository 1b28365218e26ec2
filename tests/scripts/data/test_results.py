"""Joining predictions with the linkage, and the paired difference against scikit-learn and hand-made cases."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from fesf.scripts.data.grid import ARMS, CNN, DEMO, Cell, Job, Source, cells
from fesf.scripts.data.outcome import Outcome
from fesf.scripts.data.records import Records
from fesf.scripts.data.results import Results, SetResult, collect, paired_difference
from fesf.scripts.data.results_page import write_quality, write_table
from fesf.scripts.data.studies import GENERATED, LambdaCell, OtherLambda, SweepPoint

from ..conftest import ROWS, leave


def outcome(scores: list[float], labels: list[int], groups: list[str] | None = None, first: int = 2) -> Outcome:
    """Two classes, decided at 0.5."""
    p = np.array(scores)
    groups = groups or [f"p{n}" for n in range(len(labels))]
    rows = list(range(first, first + len(labels)))
    return Outcome(rows, groups, np.array(labels), np.stack([1 - p, p], 1), (p >= 0.5).astype(int))


def random_outcomes(seed: int, count: int, patients: int, first: int = 2) -> tuple[Outcome, Outcome]:
    rng = np.random.default_rng(seed)
    labels = (np.arange(count) % 3 == 0).astype(int)
    groups = [f"p{n}" for n in rng.integers(patients, size=count)]
    arms = [np.clip(0.3 * labels + share * rng.random(count), 0, 1).round(2) for share in (0.7, 1.0)]
    plain, hidden = (outcome(arm.tolist(), labels.tolist(), groups, first) for arm in arms)
    return plain, hidden


def test_value_is_the_mean_over_runs_of_ihm_less_plaintext() -> None:
    pairs = [random_outcomes(0, 60, 20), random_outcomes(1, 40, 15)]
    found = paired_difference(pairs, same_test=False, draws=20)
    aucs = [[roc_auc_score(arm.labels, arm.probabilities[:, 1]) for arm in pair] for pair in pairs]
    assert found["auc"]["value"] == pytest.approx(np.mean([hidden - plain for plain, hidden in aucs]), abs=1e-12)
    assert set(found) == {"auc", "balanced_accuracy"}


def _repeated(arm: Outcome, chosen: list[str]) -> tuple[float, float]:
    """AUC and balanced accuracy of a test set that holds the patients' images as often as they were chosen."""
    where = np.concatenate([np.flatnonzero(np.array(arm.groups) == patient) for patient in chosen])
    labels, decisions = arm.labels[where], arm.decisions[where]
    recalls = [float((decisions[labels == k] == k).mean()) for k in (0, 1)]
    low, high = (arm.probabilities[where[labels == k], 1] for k in (0, 1))
    auc = ((high[:, None] > low).mean() + (high[:, None] >= low).mean()) / 2
    return float(auc), float(np.mean(recalls))


def test_interval_is_a_bootstrap_of_patients_within_each_run() -> None:
    pairs = [random_outcomes(2, 90, 30), random_outcomes(3, 80, 25, first=200)]
    found = paired_difference(pairs, same_test=False, draws=2000)
    rng = np.random.default_rng(99)  # another stream: what is compared is the distribution
    drawn = []
    for _ in range(1000):
        gaps = []
        for plain, hidden in pairs:
            patients = sorted(set(plain.groups))
            chosen = rng.choice(patients, len(patients)).tolist()
            gaps.append(np.subtract(_repeated(hidden, chosen), _repeated(plain, chosen)))
        drawn.append(np.mean(gaps, axis=0))
    spread = np.std(drawn, axis=0)
    for name, position in (("auc", 0), ("balanced_accuracy", 1)):
        ends = np.quantile(np.array(drawn)[:, position], [0.025, 0.975])
        assert [found[name]["low"], found[name]["high"]] == pytest.approx(ends.tolist(), abs=0.2 * spread[position])
        assert found[name]["low"] < found[name]["value"] < found[name]["high"]


def test_all_images_of_a_patient_are_drawn_together() -> None:
    """Eight copies of each image must not narrow the interval, as drawing images would."""
    labels, plain, hidden = [0, 1] * 10, [0.4, 0.6] * 10, [0.4, 0.6, 0.8, 0.2, 0.6, 0.9, 0.3, 0.4, 0.1, 0.7] * 2
    groups = [f"p{n:02d}" for n in range(20)]
    single = paired_difference([(outcome(plain, labels, groups), outcome(hidden, labels, groups))], True)
    copied = [outcome(arm * 8, labels * 8, groups * 8) for arm in (plain, hidden)]
    assert paired_difference([(copied[0], copied[1])], True)["auc"] == pytest.approx(single["auc"], abs=1e-12)
    images = [outcome(arm * 8, labels * 8) for arm in (plain, hidden)]
    narrow = paired_difference([(images[0], images[1])], True)["auc"]
    assert narrow["high"] - narrow["low"] < 0.5 * (single["auc"]["high"] - single["auc"]["low"])


def test_seeds_share_the_draws_and_folds_do_not() -> None:
    """Swapped arms cancel in each draw if, and only if, both runs draw the same patients."""
    first, second = random_outcomes(4, 60, 20)
    swapped = [(first, second), (second, first)]
    for metric in paired_difference(swapped, same_test=True, draws=200).values():
        assert [metric["value"], metric["low"], metric["high"]] == pytest.approx([0, 0, 0], abs=1e-12)
    apart = paired_difference(swapped, same_test=False, draws=200)["auc"]
    assert apart["value"] == pytest.approx(0, abs=1e-12)
    assert apart["low"] < -0.01 < 0.01 < apart["high"]


def test_exact_cases() -> None:
    labels = [0, 1] * 8
    right, wrong = outcome([0.1, 0.9] * 8, labels), outcome([0.9, 0.1] * 8, labels)
    for pair, value in (((wrong, right), 1.0), ((right, wrong), -1.0), ((right, right), 0.0)):
        found = paired_difference([pair], same_test=True, draws=50)
        assert found == {name: {"value": value, "low": value, "high": value} for name in ("auc", "balanced_accuracy")}


def test_draws_without_a_class_are_left_out() -> None:
    """Two patients of one class each: half of the draws hold one class, the others are the test set itself."""
    plain, hidden = outcome([0.4, 0.6], [0, 1]), outcome([0.6, 0.7], [0, 1])
    found = paired_difference([(plain, hidden)], same_test=True, draws=60)
    assert found["balanced_accuracy"] == {"value": -0.5, "low": -0.5, "high": -0.5}
    lone = paired_difference([(outcome([0.4], [0]), outcome([0.6], [0]))], same_test=True, draws=10)
    assert all(np.isnan(value) for value in lone["auc"].values())


def test_arms_on_different_rows_are_refused() -> None:
    with pytest.raises(ValueError, match=r"The arms were tested on 2 and 3 rows that differ\."):
        paired_difference([(outcome([0.4, 0.6], [0, 1]), outcome([0.4, 0.6, 0.7], [0, 1, 1]))], same_test=True)


def grid_of(root: Path, runs: int = 2, networks: tuple[str, ...] = (CNN,)) -> list[Job]:
    """Jobs of the demo, without files."""
    found = [Source(DEMO, run, "", str(root)) for run in range(runs)]
    again: list[Job] = [OtherLambda(found[0], 0.0), *(LambdaCell(found[0], 0.0, arm) for arm in GENERATED)]
    again += [SweepPoint(found[0], 0.1, beta) for beta in (0.25, 0.5)]
    return [*found, *cells(found, networks), *again]


def scores_of(seed: int) -> list[float]:
    return np.random.default_rng(seed).uniform(0.01, 0.99, len(ROWS)).round(3).tolist()


def test_collect_reads_every_arm_of_every_run(tmp_path: Path) -> None:
    jobs = grid_of(tmp_path, networks=(CNN, "vit"))
    given: dict[Job, list[float]] = {}
    for number, job in enumerate(jobs):
        given[job] = scores_of(number)
        leave(job, given[job])
    results = collect(jobs)
    assert (results.done, results.planned, results.commits) == (len(jobs), len(jobs), ["0123abc"])
    assert (results.machines, results.refused) == (["a processor, 2 cores"], {})
    (item,) = results.sets
    assert (item.name, item.seeds, item.unit) == (DEMO, True, "patients")
    assert item.sources == jobs[:2]
    assert {name: [run for run, _ in runs] for name, runs in item.networks.items()} == {CNN: [0, 1], "vit": [0]}
    labels = [row % 2 for row in ROWS]
    for network in (CNN, "vit"):
        for arm in ARMS:
            mine = [job for job in jobs if isinstance(job, Cell) and (job.network, job.arm) == (network, arm)]
            aucs = [roc_auc_score(labels, given[job]) for job in mine]
            accuracies = [balanced_accuracy_score(labels, np.array(given[job]) >= 0.5) for job in mine]
            assert item.values(network, arm, "auc") == pytest.approx(aucs)
            assert item.values(network, arm, "balanced_accuracy") == pytest.approx(accuracies)
    gap = np.subtract(item.values(CNN, "full", "auc"), item.values(CNN, "ihm", "auc")).mean()
    assert item.difference(CNN, "ihm", "full")["auc"]["value"] == pytest.approx(gap)
    assert item.majority_accuracy == 0.5
    assert item.lambdas[0.0]["quality"]["gap_closed"]["enhanced"]["mmd"] == 0.25
    assert list(item.lambdas) == list(item.lambda_arms) == [0.0]
    assert {arm: float(found.metrics()["auc"][0]) for arm, found in item.lambda_arms[0.0].items()} == pytest.approx(
        {job.arm: roc_auc_score(labels, given[job]) for job in jobs if isinstance(job, LambdaCell)}
    )
    assert {place: float(outcome.metrics()["auc"][0]) for place, outcome in item.sweep.items()} == pytest.approx(
        {(job.alpha, job.beta): roc_auc_score(labels, given[job]) for job in jobs if isinstance(job, SweepPoint)}
    )
    assert results.sweep == [item]
    assert results.eval_metrics() == {
        f"demo_{metric}": round(float(np.mean(item.values(CNN, "full", metric))), 4)
        for metric in ("auc", "balanced_accuracy")
    }


def test_a_run_counts_once_all_four_arms_are_there(tmp_path: Path) -> None:
    jobs = grid_of(tmp_path, runs=3)
    assert collect(jobs).sets == []
    missing = {(1, "iqem"), (2, "plaintext")}
    for job in jobs[:-5]:
        if not (isinstance(job, Cell) and (job.source.run, job.arm) in missing):
            leave(job)
    results = collect(jobs)
    (item,) = results.sets
    assert (results.done, results.planned) == (len(jobs) - 5 - len(missing), len(jobs))
    assert [source.run for source in item.sources] == [0, 1, 2]
    assert [run for run, _ in item.networks[CNN]] == [0]
    assert (item.lambdas, item.lambda_arms, item.sweep, results.sweep) == ({}, {}, {}, [])
    for job in jobs:
        if isinstance(job, Cell) and (job.source.run, job.arm) == (1, "iqem"):
            leave(job)
    assert [run for run, _ in collect(jobs).sets[0].networks[CNN]] == [0, 1]


def test_what_other_settings_made_does_not_count(tmp_path: Path) -> None:
    jobs = grid_of(tmp_path, runs=1)
    for job in jobs:
        leave(job)
    other = json.loads((jobs[0].folder / "done.json").read_text()) | {"key": "0" * 64}
    (jobs[0].folder / "done.json").write_text(json.dumps(other))
    results = collect(jobs)
    assert results.sets == []  # without its source, nothing of a run can be read
    assert results.done == len(jobs) - 1


def test_what_a_refused_generator_should_have_made_has_no_figures(tmp_path: Path) -> None:
    jobs = grid_of(tmp_path, runs=2)
    for job in jobs:
        leave(job)
    leave(jobs[1], refused="no good")
    leave(next(job for job in jobs if isinstance(job, OtherLambda)), refused="no better")
    results = collect(jobs)
    (item,) = results.sets
    assert (item.sources, item.figures, item.lambda_arms) == ([jobs[0]], {0: jobs[0].done}, {})
    assert item.lambdas[0.0]["refused"] == "no better"
    assert [run for run, _ in item.networks[CNN]] == [0]
    assert results.refused == {"demo/1/source": "no good", "demo/0/lambda/0/generator": "no better"}
    assert results.done == len(jobs)


def test_records_stand_for_what_was_done_elsewhere(tmp_path: Path) -> None:
    there, here = grid_of(tmp_path / "there"), grid_of(tmp_path / "here")
    records = Records(tmp_path / "records")
    for number, job in enumerate(there):
        leave(job, scores_of(number), machine="there")
        records.keep(job)
    assert collect(here).sets == []
    found, original = collect(here, records), collect(there)
    assert (found.done, found.machines, found.commits) == (len(here), ["there"], ["0123abc"])
    assert write_table(found) == write_table(original)
    assert write_quality(found) == write_quality(original)
    leave(here[0], machine="here")  # what is done here goes before
    assert collect(here, records).machines == ["here", "there"]


def test_commits_are_named_once_each(tmp_path: Path) -> None:
    jobs = grid_of(tmp_path, runs=1)
    for number, job in enumerate(jobs):
        leave(job, commit="a" if number < 3 else "b")
    assert collect(jobs).commits == ["a", "b"]


def test_majority_accuracy_is_the_largest_class_of_each_test_set() -> None:
    def arms(labels: list[int]) -> dict[str, Outcome]:
        return {"plaintext": outcome([0.5] * len(labels), labels)}

    runs = [(0, arms([0, 0, 0, 1])), (1, arms([1, 1]))]
    assert SetResult(DEMO, [], {CNN: runs}).majority_accuracy == (0.75 + 1) / 2


@pytest.mark.parametrize(
    ("name", "seeds", "unit"),
    [(DEMO, True, "patients"), ("cxr_nih1000", False, "patients"), ("us_breastmnist", True, "images")],
)
def test_runs_are_seeds_or_folds(name: str, seeds: bool, unit: str) -> None:
    item = SetResult(name, [], {})
    assert (item.seeds, item.unit) == (seeds, unit)
    assert (item.arms(CNN), item.values(CNN, "full", "auc")) == ([], [])


def test_differences_share_draws_where_test_sets_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[list[tuple[Outcome, Outcome]], bool]] = []
    monkeypatch.setattr("fesf.scripts.data.results.paired_difference", lambda *given: asked.append(given))
    (plain, hidden), (other_plain, other_hidden) = random_outcomes(0, 9, 4), random_outcomes(1, 9, 4, first=50)
    first, other = {"plaintext": plain, "full": hidden}, {"plaintext": other_plain, "full": other_hidden}
    SetResult(DEMO, [], {CNN: [(0, first), (1, first)]}).difference(CNN, "plaintext", "full")
    SetResult(DEMO, [], {CNN: [(0, first), (1, other)]}).difference(CNN, "plaintext", "full")
    assert asked == [
        ([(plain, hidden), (plain, hidden)], True),
        ([(plain, hidden), (other_plain, other_hidden)], False),
    ]


def test_metadata_get_no_undefined_figure() -> None:
    lone = outcome([0.25, 0.75], [1, 1])
    results = Results([SetResult(DEMO, [], {CNN: [(0, dict.fromkeys(ARMS, lone))]})], 1, 1, [], [])
    assert results.eval_metrics() == {}
