"""Step times: work of known length, and every step of a real run."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from fesf.networks import EnhancementGenerator
from fesf.scripts.bench_pipeline import hide_ids, workflow
from fesf.scripts.data import step_times
from fesf.scripts.data.radiographs import make_link_cohort, make_radiographs
from fesf.scripts.data.step_times import SHIFT, STEPS, profile


@pytest.fixture(autouse=True)
def _keep_logging() -> Iterator[None]:
    yield
    logging.disable(logging.NOTSET)


def spin(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def first() -> None:
    spin(0.05)


def second() -> None:
    spin(0.03)


def never() -> None:
    raise AssertionError


def test_seconds_are_of_the_processor_and_the_rest_is_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = {"hide": (first,), "iqem": (never,), "check": (second, never)}
    monkeypatch.setattr(step_times, "STEPS", steps)

    def run() -> None:
        first()
        second()
        second()
        time.sleep(0.2)  # no processor time
        spin(0.04)

    found = profile(run)
    assert list(found) == ["hide", "check", "rest", "total"]
    assert found["hide"] == pytest.approx(0.05, rel=0.2)
    assert found["check"] == pytest.approx(0.06, rel=0.2)
    assert found["rest"] == pytest.approx(0.04, rel=0.3)
    assert found["total"] == pytest.approx(sum(found.values()) - found["total"])


@pytest.mark.parametrize(("iqem", "mask"), [(False, False), (True, False), (False, True)])
def test_a_run_of_hide_has_every_step(tmp_path: Path, iqem: bool, mask: bool) -> None:
    if mask:
        pytest.importorskip("rapidocr_onnxruntime", reason="needs the extra text")
    files = make_radiographs(tmp_path / "files", "jpeg-2000", ((80, 70),))
    make_link_cohort(tmp_path / "cohort", files, 4, 32)
    ids: dict[str, Any] = hide_ids(tmp_path / "cohort", 32) | {"intensity_range": "window", "mask_text": mask}
    ids["release#_target_"] = "fesf.scripts.bench_pipeline.BenchRelease"
    if iqem:
        torch.save(EnhancementGenerator(2).state_dict(), tmp_path / "generator.pt")
        ids["generator_file"] = str(tmp_path / "generator.pt")
    found = profile(workflow(["hide"], "hiding", "infer", ids).run)
    taken = {"iqem": iqem, "mask": mask}
    expected = [step for step in STEPS if taken.get(step, True)] + [SHIFT] * iqem
    assert list(found) == [*expected, "rest", "total"]
    assert all(seconds > 0 for seconds in found.values())
    assert sum(found[step] for step in (*expected, "rest")) == pytest.approx(found["total"])
    if iqem:  # hidden and enhanced twice, once for the check alone
        assert found[SHIFT] == pytest.approx(found["hide"] + found["iqem"], rel=0.5)
