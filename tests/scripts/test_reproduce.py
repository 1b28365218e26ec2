"""Reproduction: one whole run on a small set in this process, and the plan, marker and error paths around it."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from fesf.scripts import reproduce
from fesf.scripts.data.public_sets import SETS, PublicSet, _labelled
from fesf.scripts.data.recipe import Recipe
from fesf.scripts.data.results import Outcome
from fesf.scripts.data.store import load_datalist
from fesf.scripts.reproduce import DEMO, Job, is_done, main, plan, result, run_job, run_jobs

from ..conftest import smooth, write_png

TINY = PublicSet("tiny", _labelled, (24, 24), own_splits=False, runs=5, unit="patients")


class Here:
    """A pool that works in this process, at once."""

    def __init__(self, workers: int, **_: Any) -> None:
        self.workers = workers

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *_: object) -> None: ...

    def submit(self, work: Callable[[Job], None], job: Job) -> Future[None]:
        future: Future[None] = Future()
        try:
            work(job)
            future.set_result(None)
        except Exception as error:
            future.set_exception(error)
        return future


@pytest.fixture(scope="module")
def patch() -> Iterator[pytest.MonkeyPatch]:
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", os.environ["OMP_NUM_THREADS"])  # run_jobs sets it: given back at the end
        patch.setitem(SETS, "tiny", TINY)
        patch.setattr(reproduce, "QUICK_EPOCHS", 1)
        patch.setattr(reproduce, "ProcessPoolExecutor", Here)
        yield patch
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 patients with two images each, 24 x 24."""
    folder = tmp_path_factory.mktemp("shared")
    (folder / "data" / "tiny").mkdir(parents=True)
    with open(folder / "data" / "tiny" / "labels.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("file", "label", "patient_id"))
        for patient in range(12):
            for image in range(2):
                name = f"{patient:02d}-{image}.png"
                write_png(folder / "data" / "tiny" / name, smooth(2 * patient + image))
                table.writerow((name, ("no", "yes")[patient % 2], f"P{patient:02d}"))
    return folder


@pytest.fixture(scope="module")
def finished(patch: pytest.MonkeyPatch, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one run of ``main``: "work" and "docs" in it."""
    folder = tmp_path_factory.mktemp("reproduce")
    assert main(arguments(shared, folder)) == 0
    return folder


def arguments(shared: Path, folder: Path) -> list[str]:
    places = ["--shared", str(shared), "--work", str(folder / "work"), "--out", str(folder / "docs")]
    return [*places, "--sets", "tiny", "--jobs", "1", "--quick"]


def table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def run_of(finished: Path) -> Path:
    return finished / "work" / "quick" / "tiny" / "0"


def test_the_table_holds_what_each_arms_predictions_give(finished: Path) -> None:
    lines = table(finished / "docs" / "results.csv")
    assert [(line["set"], line["arm"], line["run"]) for line in lines] == [
        ("tiny", "plaintext", "0"),
        ("tiny", "ihm", "0"),
    ]
    for line in lines:
        predictions = table(run_of(finished) / line["arm"] / "predictions_test.csv")
        labels = [item["label"] == "yes" for item in predictions]
        decisions = [item["decision"] == "yes" for item in predictions]
        assert line["n_test"] == str(len(labels))
        assert float(line["auc"]) == pytest.approx(
            roc_auc_score(labels, [float(item["p_yes"]) for item in predictions]), abs=1e-4
        )
        assert float(line["balanced_accuracy"]) == pytest.approx(balanced_accuracy_score(labels, decisions), abs=1e-4)
    release = json.loads((run_of(finished) / "hospital" / "release.json").read_text())
    assert [line["clipped_share"] for line in lines] == ["", f"{release['clipped_share']['mean']:.4f}"]
    assert release["image_size"] == [24, 24]


def test_the_page_names_its_command_and_set(finished: Path) -> None:
    page = (finished / "docs" / "results.md").read_text()
    assert "Written by `python -m fesf.scripts.reproduce --quick --sets tiny` at commit " in page
    line = next(line for line in page.splitlines() if line.startswith("| tiny |"))
    count = len(table(run_of(finished) / "ihm" / "predictions_test.csv"))
    assert line.startswith(f"| tiny | 1 folds | {count} | ")
    assert line.endswith(" | 2 |")  # the host's patient has two images
    assert str(finished) not in page


def test_both_arms_split_the_same_patients_and_train_alike(finished: Path) -> None:
    run = run_of(finished)
    linkage = table(run / "hospital" / "linkage.csv")
    rows = {line["id"]: int(line["row"]) for line in linkage}
    tested = {arm: [line["id"] for line in table(run / arm / "predictions_test.csv")] for arm in ("plaintext", "ihm")}
    assert sorted(f"row-{rows[name]}" for name in tested["ihm"]) == sorted(tested["plaintext"])
    given = {line["patient"]: line["split"] for line in table(run / "cohort" / "cohort.csv")}
    assert {line["patient"]: line["split"] for line in linkage} == given
    assert Counter(given.values())["test"] == len({line["patient"] for line in linkage if line["split"] == "test"})
    assert len(load_datalist(run / "store", "all")) == len(linkage) == 22
    for arm in tested:
        assert [line["epoch"] for line in table(run / arm / "history.csv")] == ["1"]
    shapes = [
        {name: tuple(value.shape) for name, value in torch.load(run / arm / "models" / "model.pt").items()}
        for arm in tested
    ]
    assert shapes[0] == shapes[1]


def test_done_says_what_was_made(finished: Path, patch: pytest.MonkeyPatch) -> None:
    run = run_of(finished)
    job = Job("tiny", 0, "", str(run), 1)
    done = json.loads((run / "done.json").read_text())
    assert done["class_names"] == ["no", "yes"]
    assert done["withdrawn"] == 2
    assert done["key"] == job.key
    assert is_done(job)
    for other in (replace(job, epochs=2), replace(job, run=1), replace(job, name="demo")):
        assert not is_done(other)
    assert is_done(replace(job, source="elsewhere"))
    assert not is_done(replace(job, folder=str(run.parent)))


def test_a_rerun_does_only_what_is_missing(
    finished: Path, shared: Path, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (finished / "docs" / "results.csv").read_bytes()
    with patch.context() as again:
        again.setattr(reproduce, "run_job", lambda job: pytest.fail("it was done before"))
        assert main(arguments(shared, finished)) == 0
    assert (finished / "docs" / "results.csv").read_bytes() == before
    assert "| tiny | 1 folds |" in capsys.readouterr().out


def test_a_changed_config_is_another_job(finished: Path, tmp_path: Path, patch: pytest.MonkeyPatch) -> None:
    job = Job("tiny", 0, "", str(run_of(finished)), 1)
    for changed in ("hide", "train", "plaintext", "evaluate", "inference"):
        folder = tmp_path / changed
        folder.mkdir()
        for path in reproduce.configs_folder().glob("*.json"):
            (folder / path.name).write_text(path.read_text() + (" " if path.stem == changed else ""))
        with patch.context() as other:
            other.setattr(reproduce, "configs_folder", lambda folder=folder: folder)
            assert is_done(job) == (changed == "inference"), changed


def test_what_a_stopped_run_left_is_hidden_anew(shared: Path, tmp_path: Path, patch: pytest.MonkeyPatch) -> None:
    """A store made under other settings must not be taken for the one of now."""
    job = Job("tiny", 1, str(shared / "data" / "tiny"), str(tmp_path / "run"), 1)
    stop = RuntimeError("stopped")

    def hide_only(configs: list[str], run_id: str, ids: dict[str, Any], kind: str = "train") -> None:
        if configs != ["hide"]:
            raise stop
        workflow(configs, run_id, ids | next(settings), kind)

    workflow = reproduce._workflow
    settings = iter([{"beta": 0.5, "bit_depth": 8}, {"beta": 0.25, "bit_depth": 16}])
    secrets, releases = [], []
    with patch.context() as half:
        half.setattr(reproduce, "_workflow", hide_only)
        for _ in range(2):
            with pytest.raises(RuntimeError, match="stopped"):
                run_job(job)
            releases.append(json.loads((tmp_path / "run" / "hospital" / "release.json").read_text()))
            secrets.append((tmp_path / "run" / "secret").read_text())
    assert [(release["beta"], release["bit_depth"]) for release in releases] == [(0.5, 8), (0.25, 16)]
    assert releases[0]["host_sha256"] == releases[1]["host_sha256"]
    assert secrets[0] == secrets[1]
    assert len(secrets[0]) == 64
    manifest = json.loads((tmp_path / "run" / "store" / "manifest.json").read_text())
    assert manifest["encoding"]["bits"] == 16
    assert not (tmp_path / "run" / "done.json").exists()


def test_demo_and_the_arms_settings(tmp_path: Path, patch: pytest.MonkeyPatch) -> None:
    """The demo makes its cohort; the arms differ in nothing but what they read and where they write."""
    made, calls, folder = [], [], tmp_path / "run"

    def make_demo(out: Path, **options: Any) -> None:
        made.append(options)
        out.mkdir(parents=True, exist_ok=True)
        (out / "cohort.csv").write_text("image,label,patient\na.png,x,1\nb.png,y,2\nc.png,z,3\n")

    def workflow(configs: list[str], run_id: str, ids: dict[str, Any], kind: str = "train") -> None:
        calls.append((configs, run_id, ids, kind))
        if run_id == "hiding":
            (folder / "hospital").mkdir()
            (folder / "hospital" / "release.json").write_text('{"clipped_share": {"mean": 0.25, "max": 1}}')

    with patch.context() as stubbed:
        stubbed.setattr(reproduce, "make_demo", make_demo)
        stubbed.setattr(reproduce, "_workflow", workflow)
        run_job(Job(DEMO, 2, "", str(folder), None))
    assert made == [{"seed": 2, "overwrite": True, "progress": False}]
    assert [(configs, run_id, kind) for configs, run_id, _, kind in calls] == [
        (["hide"], "hiding", "infer"),
        (["train", "plaintext"], "training", "train"),
        (["train", "evaluate", "plaintext"], "evaluating", "train"),
        (["train"], "training", "train"),
        (["train", "evaluate"], "evaluating", "train"),
    ]
    hide, plain, _, surrogate, _ = (ids for _, _, ids, _ in calls)
    cohort = folder / "cohort"
    assert hide == {
        "cohort": str(cohort / "cohort.csv"),
        "hosts_dir": str(cohort / "hosts"),
        "secret_file": str(folder / "secret"),
        "store_dir": str(folder / "store"),
        "hospital_dir": str(folder / "hospital"),
        "image_size": [64, 64],
        "device": "$torch.device('cpu')",
    }
    common = {"num_classes": 3, "seed": 2, "device": "$torch.device('cpu')"}
    places = [
        {"output_dir": str(folder / arm), "ckpt_dir": str(folder / arm / "models")} for arm in ("plaintext", "ihm")
    ]
    splits = str(folder / "hospital" / "splits.csv")
    reads = {"cohort": str(cohort / "cohort.csv"), "splits": splits, "image_size": [64, 64]}
    assert plain == common | reads | places[0]  # no "epochs": train.json's own
    assert surrogate == common | {"dataset_dir": str(folder / "store")} | places[1]
    assert calls[1][2] == calls[2][2]
    assert calls[3][2] == calls[4][2]
    done = json.loads((folder / "done.json").read_text())
    assert done == {
        "key": Job(DEMO, 2, "", "", None).key,
        "class_names": ["x", "y", "z"],
        "clipped_share": {"mean": 0.25, "max": 1},
        "withdrawn": 0,
    }


def test_image_size_is_the_sets() -> None:
    sizes = {name: Job(name, 0, "", "", None).image_size for name in (DEMO, "cxr_nih1000", "us_breastmnist")}
    assert sizes == {DEMO: (64, 64), "cxr_nih1000": (64, 64), "us_breastmnist": (28, 28)}
    assert all(Recipe("x", image_size=size).spatial_size == size for size in sizes.values())


def fail_in(log: Path) -> None:
    with reproduce._logged(log):
        print("from Python")
        subprocess.run([sys.executable, "-c", "print('from a child')"], check=True)
        raise ZeroDivisionError("what went wrong")


def test_log_holds_what_the_process_and_its_children_print(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log.txt"
    with open(1, "w", closefd=False) as out, open(2, "w", closefd=False) as err:  # pytest's own write elsewhere
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        kept = [os.fstat(number).st_ino for number in (1, 2)]
        with pytest.raises(ZeroDivisionError):
            fail_in(log)
        assert [os.fstat(number).st_ino for number in (1, 2)] == kept
        text = log.read_text()
        for piece in ("from Python\n", "from a child\n", "Traceback", "ZeroDivisionError: what went wrong"):
            assert piece in text
        with reproduce._logged(log):
            print("again", file=sys.stderr)
        assert log.read_text() == "again\n"  # a new run, a new log
        print("afterwards", flush=True)
        monkeypatch.undo()
    assert log.read_text() == "again\n"


def test_plan(tmp_path: Path) -> None:
    for name in ("cxr_nih1000", "us_breastmnist"):
        (tmp_path / "data" / name).mkdir(parents=True)
    names = [DEMO, "cxr_nih1000", "us_breastmnist"]
    jobs = plan(tmp_path, Path("work"), names, quick=False)
    assert Counter(job.name for job in jobs) == {DEMO: 3, "cxr_nih1000": 5, "us_breastmnist": 3}
    assert jobs[0] == Job(DEMO, 0, "", "work/full/demo/0", None)
    assert jobs[7] == Job("cxr_nih1000", 4, str(tmp_path / "data" / "cxr_nih1000"), "work/full/cxr_nih1000/4", None)
    assert len({job.key for job in jobs}) == len({job.folder for job in jobs}) == 11
    quick = plan(tmp_path, Path("work"), names, quick=True)
    assert [(job.run, job.epochs) for job in quick] == [(0, reproduce.QUICK_EPOCHS)] * 3
    assert {job.folder for job in quick}.isdisjoint(job.folder for job in jobs)


def test_absent_set_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--shared", str(tmp_path), "--work", str(tmp_path / "work"), "--sets", "demo", "mri_cheng430"])
    assert code == 1
    expected = "error: mri_cheng430 is not there: set --shared or FESF_SHARED to the folder that holds data/.\n"
    assert capsys.readouterr().err == expected
    assert not (tmp_path / "work").exists()


def test_failures_are_listed_and_no_table_is_written(
    tmp_path: Path, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tried = []

    def fail(job: Job) -> None:
        tried.append(job.run)
        if job.run == 1:
            raise ValueError("bad luck")

    with patch.context() as failing:
        failing.setattr(reproduce, "run_job", fail)
        code = main(["--work", str(tmp_path / "work"), "--out", str(tmp_path / "docs"), "--sets", DEMO])
        assert code == 1
        assert tried == [0, 1, 2]  # one failure does not stop the others
        place = tmp_path / "work" / "full" / "demo" / "1"
        assert f"error: demo run 1: bad luck (see {place}/log.txt)" in capsys.readouterr().err
        assert not (tmp_path / "docs").exists()
        os.environ["OMP_NUM_THREADS"] = "2"
        assert run_jobs(plan(tmp_path, tmp_path, [DEMO], quick=True), 1) == []
    assert os.environ["OMP_NUM_THREADS"] == "1"  # what spawned processes will read


def test_command_of_all_sets_names_none_and_metadata_get_the_demos_means(
    tmp_path: Path, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands: list[str] = []

    def provenance(command: str) -> dict[str, Any]:
        commands.append(command)
        return {}

    with patch.context() as stubbed:
        stubbed.setattr(reproduce, "provenance", provenance)
        stubbed.setattr(reproduce, "plan", lambda *_: [])
        stubbed.setattr(reproduce, "run_jobs", lambda *_: [])
        stubbed.setattr(reproduce, "result", lambda name, jobs: SimpleNamespace(name=name, means=lambda: {"auc": 0.75}))
        stubbed.setattr(reproduce, "write_table", lambda results: ",".join(item.name for item in results).encode())
        stubbed.setattr(reproduce, "write_page", lambda results, origin: b"the page")
        assert main(["--out", str(tmp_path)]) == 0
        assert (tmp_path / "results.csv").read_text() == ",".join([DEMO, *SETS])
        metadata = tmp_path / "metadata.json"
        metadata.write_text('{"version": "1", "eval_metrics": {"auc": 0.1}, "name": "x"}')
        given = ["--out", str(tmp_path), "--metadata", str(metadata), "--sets"]
        for untouched in (["us_breastmnist"], [DEMO, "--quick"]):  # no demo, or figures that mean nothing
            assert main([*given, *untouched]) == 0
            assert json.loads(metadata.read_text())["eval_metrics"] == {"auc": 0.1}
        assert main([*given, DEMO, "us_breastmnist"]) == 0
    assert list(json.loads(metadata.read_text()).items()) == [
        ("version", "1"),
        ("eval_metrics", {"auc": 0.75}),
        ("name", "x"),
    ]
    base = "python -m fesf.scripts.reproduce"
    flags = ["", " --sets us_breastmnist", " --quick --sets demo", " --sets demo us_breastmnist"]
    assert commands == [base + flag for flag in flags]
    assert capsys.readouterr().out == "the page\n" * 4
    assert (tmp_path / "results.csv").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("name", "seeds", "unit"),
    [(DEMO, True, "patients"), ("cxr_nih1000", False, "patients"), ("us_breastmnist", True, "images")],
)
def test_result_reads_all_runs(name: str, seeds: bool, unit: str, tmp_path: Path) -> None:
    jobs = [Job(name, run, "", str(tmp_path / str(run)), None) for run in range(2)]
    for run in range(2):
        folder = tmp_path / str(run)
        for part in ("hospital", "plaintext", "ihm"):
            (folder / part).mkdir(parents=True)
        (folder / "hospital" / "linkage.csv").write_text("id,row,patient,study,label,split\nff,2,Z,,b,test\n")
        (folder / "plaintext" / "predictions_test.csv").write_text("id,label,p_a,p_b,decision\nrow-2,b,0.25,0.75,b\n")
        (folder / "ihm" / "predictions_test.csv").write_text("id,label,p_a,p_b,decision\nff,b,0.75,0.25,a\n")
        done = {"class_names": ["a", "b"], "clipped_share": {"mean": 0.125 + run}, "withdrawn": 4}
        (folder / "done.json").write_text(json.dumps(done))
    found = result(name, jobs)
    assert (found.name, found.seeds, found.unit) == (name, seeds, unit)
    assert (found.clipped, found.withdrawn, len(found.pairs)) == ([0.125, 1.125], 4, 2)
    plain, hidden = found.pairs[1]
    assert isinstance(plain, Outcome)
    assert plain.rows == hidden.rows == [2]
    assert plain.groups == ["Z"]
    assert np.array_equal(plain.decisions - hidden.decisions, [1])
