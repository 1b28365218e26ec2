"""The cost of the workflows: tiny cohorts, what is timed and what never gets published; verdicts on scripted times."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import logging
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events

from fesf.scripts import bench_pipeline
from fesf.scripts.bench_pipeline import (
    MOST,
    BenchRelease,
    bench_epoch,
    bench_hide,
    bench_memory,
    bench_stages,
    hide_ids,
    workflow,
)
from fesf.scripts.data.cohort import CohortError
from fesf.scripts.make_demo import make_demo

IDENTITY = {"network_def": {"_target_": "torch.nn.Identity"}}
TIMED = {"release#_target_": "fesf.scripts.bench_pipeline.BenchRelease"}


def test_thresholds_are_the_targets_of_the_project() -> None:
    assert MOST == {"hide": 1.15, "epoch": 1.05, "memory_mb": 20.0}


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    make_demo(tmp_path / "demo", patients=6, size=32, hosts=3)
    return tmp_path / "demo"


@pytest.mark.parametrize("network", [{}, IDENTITY])
def test_timed_release_publishes_nothing(
    network: dict[str, Any], demo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written = []
    publish = BenchRelease._publish

    def look(release: BenchRelease, host_sha256: str) -> None:
        written.append(sorted(path.stem for path in (release.folders.partial / "images").iterdir()))
        publish(release, host_sha256)

    monkeypatch.setattr(BenchRelease, "_publish", look)
    before = {path for path in demo.rglob("*") if path.is_file()}
    run = workflow(["hide"], "hiding", "infer", hide_ids(demo, 32) | TIMED | network)
    run.run()
    release = run.parser.get_parsed_content("release")
    assert written == [list(release.rows)]  # the work that is timed was done
    assert release.seconds > 0
    assert {path for path in demo.rglob("*") if path.is_file()} == before
    assert not (demo / "hospital").exists()
    assert list((demo / "out").iterdir()) == []
    assert run.parser.get_parsed_content("device") == torch.device("cpu")


def test_the_release_of_everyone_else_refuses_the_identity(demo: Path) -> None:
    run = workflow(["hide"], "hiding", "infer", hide_ids(demo, 32) | IDENTITY)
    with pytest.raises(RuntimeError) as caught:  # MONAI's, about the expression that ran
        run.run()
    assert isinstance(caught.value.__cause__, CohortError)
    assert "its surrogate failed the phase check" in str(caught.value.__cause__)
    assert not (demo / "out" / "store").exists()


def test_bench_hide(tmp_path: Path) -> None:
    found = bench_hide(tmp_path, size=32, patients=3, repeats=1)
    with open(tmp_path / "hide-32" / "cohort.csv", newline="") as file:
        images = len(list(csv.DictReader(file)))
    assert (found["size"], found["images"]) == (32, images)
    # Times are of an image, rounded to a microsecond; with one repeat the ratio is theirs.
    assert found["ratio"] == pytest.approx(found["ihm_ms"] / found["identity_ms"], rel=0.02)
    assert found["meets"] == (found["ratio"] <= 1.15) or found["ratio"] == 1.15  # the verdict is of the whole ratio
    assert not list((tmp_path / "hide-32").rglob("manifest.json"))


class Scripted:
    """Stands for ``workflow``: hands out one written time after the other, per arm."""

    def __init__(self, seconds: dict[str, list[float]]) -> None:
        self.seconds = {name: iter(values) for name, values in seconds.items()}
        self.order: list[str] = []

    def __call__(self, configs: list[str], run_id: str, kind: str, ids: dict[str, Any]) -> SimpleNamespace:
        arm = "identity" if ids.get("network_def") == IDENTITY["network_def"] else "ihm"
        assert ids["release#_target_"] == TIMED["release#_target_"]
        self.order.append(arm)
        release = SimpleNamespace(seconds=next(self.seconds[arm]))
        return SimpleNamespace(run=lambda: None, parser=SimpleNamespace(get_parsed_content={"release": release}.get))


@pytest.mark.parametrize(("last", "ratio", "meets"), [(4.5, 1.125, True), (4.8, 1.2, False)])
def test_hide_ratio_is_the_median_of_pairs_without_the_warm_up(
    last: float, ratio: float, meets: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted = Scripted({"ihm": [500.0, 3.0, 2.0, last], "identity": [1.0, 1.0, 2.0, 4.0]})  # 3, 1, ratio
    monkeypatch.setattr(bench_pipeline, "workflow", scripted)
    found = bench_hide(tmp_path, size=32, patients=2, repeats=3)
    assert (found["ratio"], found["at_most"], found["meets"]) == (ratio, 1.15, meets)
    assert found["ihm_ms"] == pytest.approx(3000 / found["images"], abs=1e-3)
    assert found["identity_ms"] == pytest.approx(2000 / found["images"], abs=1e-3)
    assert scripted.order == ["identity", "ihm", "ihm", "identity"] * 2  # in turn, neither always first


def test_bench_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []

    def record(configs: list[str], run_id: str, kind: str, ids: dict[str, Any]) -> Any:
        small = {"batch_size": 64} if kind == "train" else {}
        runs.append((configs, run_id, ids))
        return workflow(configs, run_id, kind, ids | small)

    monkeypatch.setattr(bench_pipeline, "workflow", record)
    found = bench_epoch(tmp_path, cache_rate=1.0, patients=20, repeats=1)
    assert set(found) == {"cache_rate", "surrogate_s", "plaintext_s", "ratio", "at_most", "meets"}
    assert found["cache_rate"] == 1.0
    assert found["surrogate_s"] > 0
    rounding = 5e-4 / found["surrogate_s"] + 5e-4 / found["plaintext_s"]
    assert found["ratio"] == pytest.approx(found["surrogate_s"] / found["plaintext_s"], rel=1.2 * rounding, abs=1e-3)
    assert [(configs, run_id) for configs, run_id, _ in runs] == [
        (["hide"], "hiding"),
        (["train", "plaintext"], "training"),
        (["train"], "training"),
    ]
    plain, surrogate = runs[1][2], runs[2][2]
    same = {"epochs": 3, "cache_rate": 1.0, "tensorboard": False}
    assert same.items() <= plain.items()
    assert same.items() <= surrogate.items()
    assert set(plain) - set(surrogate) == {"cohort", "splits"}
    for arm in ("surrogate", "plaintext"):
        with open(tmp_path / "epoch-1.0" / arm / "history.csv", newline="") as file:
            assert [line["epoch"] for line in csv.DictReader(file)] == ["1", "2", "3"]


def test_epoch_ratio_is_the_median_of_pairs_without_first_epochs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    epochs = {"surrogate": [[900.0, 1.0, 3.0], [900.0, 6.0, 6.0], [0.0, 1.0, 1.0]]}  # medians 2, 6, 1
    epochs["plaintext"] = [[0.0, 2.0, 2.0], [0.0, 5.0, 5.0], [0.0, 0.1, 0.1]]  # ratios 1, 1.2, 10
    left = {name: iter(values) for name, values in epochs.items()}

    def scripted(configs: list[str], run_id: str, kind: str, ids: dict[str, Any]) -> SimpleNamespace:
        arm = "plaintext" if "plaintext" in configs else "surrogate"
        trainer = next(left[arm]) if kind == "train" else None
        return SimpleNamespace(
            run=lambda: None, parser=SimpleNamespace(get_parsed_content={"train#trainer": trainer}.get)
        )

    monkeypatch.setattr(bench_pipeline, "workflow", scripted)
    monkeypatch.setattr(bench_pipeline, "time_epochs", lambda trainer: trainer)
    found = bench_epoch(tmp_path, cache_rate=0.0, patients=2, repeats=3)
    times = {"surrogate_s": 2.0, "plaintext_s": 2.0}
    assert found == {"cache_rate": 0.0} | times | {"ratio": 1.2, "at_most": 1.05, "meets": False}


def test_stages_cost_more_one_after_another_and_once_is_the_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([0, 0, 0] + 2 * [0, 8, 0, 24, 0, 32])  # a warm-up, then two repeats of three stages
    monkeypatch.setattr(bench_pipeline, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    found = bench_stages(16, repeats=2, batch=4)
    assert found == {
        "size": 16,
        "synthetic_ms": 2000.0,
        "synthetic_ratio": 1.0,
        "enhanced_ms": 6000.0,
        "enhanced_ratio": 3.0,
        "surrogate_ms": 8000.0,
        "surrogate_ratio": 4.0,
    }


def test_an_epochs_time_ends_with_its_last_iteration(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(bench_pipeline, "time", SimpleNamespace(perf_counter=lambda: clock[0]))

    def step(engine: Engine, batch: int) -> None:
        clock[0] += 1.0 + engine.state.epoch

    def validate() -> None:
        clock[0] += 1000.0

    trainer = Engine(step)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, validate)
    epochs = bench_pipeline.time_epochs(trainer)
    assert epochs == []
    trainer.run([0, 1, 2], max_epochs=2)
    assert epochs == [6.0, 9.0]


def test_bench_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hidden: list[tuple[int, int]] = []

    def here(command: list[str], check: bool, capture_output: bool, text: bool) -> SimpleNamespace:
        """What the command would do, in this process."""
        executable, flag, code = command
        assert (executable, flag, check, capture_output, text) == (sys.executable, "-c", True, True, True)
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(code, {})
        count = int(next(tmp_path.iterdir()).name.removeprefix("memory-"))
        manifest = json.loads(next(tmp_path.rglob("manifest.json")).read_text())
        hidden.append((count, len(manifest["files"]) - 1))
        return SimpleNamespace(stdout=printed.getvalue())

    monkeypatch.setattr(subprocess, "run", here)
    found = bench_memory(tmp_path, [40, 90])
    assert hidden == [(40, 40), (90, 90)]
    assert list(tmp_path.iterdir()) == []
    low, high = found["peak_mb"]["40"], found["peak_mb"]["90"]
    assert 50 < low <= high < 50_000  # the high-water mark of this process, which has torch in it, in MB
    assert found["growth_mb"] == pytest.approx(high - low, abs=0.051)
    assert found["at_most_mb"] == 20.0
    assert found["meets"] == (found["growth_mb"] <= 20.0)


@pytest.mark.parametrize(("peaks", "growth", "meets"), [((700.0, 720.0), 20.0, True), ((700.0, 720.2), 20.2, False)])
def test_memory_verdict(
    peaks: tuple[float, float], growth: float, meets: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = iter(f"Published 10 surrogates, 0 rows in quarantine.\n{peak}\n" for peak in peaks)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=next(texts)))
    found = bench_memory(tmp_path, [10, 30])
    expected = {"10": peaks[0], "30": peaks[1]}
    assert found == {"peak_mb": expected, "growth_mb": growth, "at_most_mb": 20.0, "meets": meets}


def test_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    works: list[Path] = []

    def hide(work: Path, size: int, patients: int, repeats: int) -> dict[str, Any]:
        assert work.is_dir()
        works.append(work)
        return {"asked": [size, patients, repeats]}

    def epoch(work: Path, rate: float, patients: int, repeats: int) -> dict[str, Any]:
        return {"asked": [rate, patients, repeats]}

    monkeypatch.setattr(bench_pipeline, "bench_hide", hide)
    monkeypatch.setattr(bench_pipeline, "bench_epoch", epoch)
    monkeypatch.setattr(bench_pipeline, "bench_stages", lambda *asked: {"asked": list(asked)})
    monkeypatch.setattr(bench_pipeline, "bench_memory", lambda work, counts: {"asked": counts})
    threads, disabled = torch.get_num_threads(), logging.root.manager.disable
    given = ["--patients", "5", "--repeats", "2", "--sizes", "32", "48", "--counts", "10", "20"]
    try:
        bench_pipeline.main(["--out", str(tmp_path / "docs"), *given])
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(threads)
        logging.disable(disabled)
    path = tmp_path / "docs" / "bench_pipeline.json"
    found = json.loads(path.read_text())
    assert found["hide"] == [{"asked": [32, 5, 2]}, {"asked": [48, 5, 2]}]
    assert found["epoch"] == [{"asked": [1.0, 5, 2]}, {"asked": [0.0, 5, 2]}]
    assert found["stages"] == [{"asked": [32, 2]}, {"asked": [48, 2]}]
    assert found["memory"] == {"asked": [10, 20]}
    assert (found["threads"], found["seed"], found["repeats"]) == (1, 0, 2)
    assert found["command"].startswith("python -m fesf.scripts.bench_pipeline")
    assert {"commit", "machine", "software"} <= set(found)
    assert path.stat().st_mode & 0o777 == 0o644
    assert json.loads(capsys.readouterr().out) == {name: found[name] for name in ("hide", "epoch", "stages", "memory")}
    assert not works[0].exists()
