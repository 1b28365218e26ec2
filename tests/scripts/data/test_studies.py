"""What the reproduction asks beside its cells: what these jobs hand to the bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fesf.scripts.data import grid
from fesf.scripts.data.grid import DEMO, Job, Source
from fesf.scripts.data.outcome import outcome_of
from fesf.scripts.data.phase import PhaseCheckError
from fesf.scripts.data.results import collect
from fesf.scripts.data.studies import (
    ALPHAS,
    BETAS,
    LAMBDAS,
    STRONG,
    LambdaCell,
    OtherLambda,
    SecondPass,
    SweepPoint,
    studies,
)

from .conftest import Call

REHIDDEN = [(["hide"], "hiding"), (["train"], "training"), (["train", "evaluate"], "evaluating")]
"""What a study runs that hides the cohort in another way."""


def test_every_set_has_other_lambdas_and_a_stronger_second_pass_once() -> None:
    found = [Source(name, run, "", "root") for name in (DEMO, "cxr_nih1000", "us_breastmnist") for run in range(2)]
    first = [source for source in found if source.run == 0]
    always: list[Job] = []
    for weight in LAMBDAS:
        for source in first:
            always += [OtherLambda(source, weight), *(LambdaCell(source, weight, arm) for arm in ("iqem", "full"))]
    always += [SecondPass(source, *STRONG) for source in first]
    assert list(studies(found, sweep=False)) == always
    swept = [source for source in first if source.name != "cxr_nih1000"]
    points = [SweepPoint(source, alpha, beta) for source in swept for alpha in ALPHAS for beta in BETAS]
    assert list(studies(found, sweep=True)) == always + points


def test_another_lambda_trains_without_content_term_on_the_same_splits(tmp_path: Path, calls: list[Call]) -> None:
    source = Source(DEMO, 2, "", str(tmp_path))
    source.execute()
    calls.clear()
    OtherLambda(source, 0.0).execute()
    run, hospital = tmp_path / "demo" / "2", tmp_path / "demo" / "2" / "lambda" / "0" / "hospital"
    assert [call[:3] for call in calls] == [
        (["enhance"], "training", "train"),
        (["hide", "quality"], "measuring", "infer"),
    ]
    previous = {"previous_splits": run / "hospital" / "splits.csv"}
    assert calls[0][3] == source.ids | previous | {"hospital_dir": hospital, "content_weight": 0.0}
    assert calls[1][3]["generator_file"] == hospital / "iqem" / "generator.pt"
    assert calls[1][3]["hospital_dir"] == hospital
    assert OtherLambda(source, 0.0).done["quality"] == {"images": 7}
    assert source.content_weight == json.loads((grid.configs_folder() / "enhance.json").read_text())["content_weight"]
    assert source.content_weight > 0


@pytest.mark.parametrize(("arm", "stage"), [("iqem", "enhanced"), ("full", "surrogate")])
def test_an_arm_of_another_lambda_hides_with_its_generator(
    tmp_path: Path, calls: list[Call], arm: str, stage: str
) -> None:
    source = Source(DEMO, 2, "", str(tmp_path))
    source.execute()
    cell = LambdaCell(source, 80.0, arm)
    cell.before.execute()
    calls.clear()
    cell.execute()
    run = tmp_path / "demo" / "2"
    assert [call[:2] for call in calls] == REHIDDEN
    own = {"generator_file": run / "lambda" / "80" / "hospital" / "iqem" / "generator.pt", "stage": stage}
    own |= {"hospital_dir": cell.folder / "hospital", "store_dir": cell.folder / "store"}
    own |= {"secret_file": run / "secret", "previous_splits": run / "hospital" / "splits.csv"}
    assert calls[0][3] == source.ids | own
    assert calls[1][3]["dataset_dir"] == cell.folder / "store"


def test_images_that_the_phase_check_refuses_are_a_finding(
    tmp_path: Path, calls: list[Call], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source(DEMO, 2, "", str(tmp_path))
    source.execute()
    cell, second = LambdaCell(source, 0.0, "full"), SecondPass(source, 0.25, 1.0)
    cell.before.execute()
    causes: list[Exception] = [PhaseCheckError("Row 3: no."), ValueError("Row 4: wrong.")]

    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("Engine stopped.") from causes[0]

    monkeypatch.setattr(grid, "run_bundle", refuse)
    monkeypatch.setattr(grid, "first_cause", lambda error: error.__cause__)  # else only those raised in fesf
    for job in (cell, second, SweepPoint(source, 0.1, 0.5)):
        job.execute()
        assert job.done["refused"] == "Row 3: no."
        assert outcome_of(job) is None
        assert collect([source, job]).sets[0].second_pass == {}
    assert calls[-1][:2] == (["hide", "quality"], "measuring")  # of before: nothing is measured of what is refused
    causes.pop(0)
    with pytest.raises(RuntimeError, match="Engine stopped"):
        LambdaCell(source, 0.0, "iqem").execute()


def test_a_sweep_point_hides_once_with_its_alpha_and_beta(tmp_path: Path, calls: list[Call]) -> None:
    source = Source(DEMO, 2, "", str(tmp_path))
    source.execute()
    calls.clear()
    point = SweepPoint(source, 0.25, 1.0)
    (point.folder / "store" / "stale").mkdir(parents=True)
    point.execute()
    run = tmp_path / "demo" / "2"
    assert [call[:2] for call in calls] == REHIDDEN
    own = {"alpha": 0.25, "beta": 1.0, "hospital_dir": point.folder / "hospital", "store_dir": point.folder / "store"}
    own |= {"secret_file": run / "secret", "previous_splits": run / "hospital" / "splits.csv"}
    assert calls[0][3] == source.ids | own  # no generator: one pass
    assert calls[1][3]["dataset_dir"] == point.folder / "store"
    assert calls[1][3]["output_dir"] == point.folder
    assert not (point.folder / "store").exists()  # a grid of them fills the disk
    assert point.done["clipped_share"] == 0.125


def test_a_second_pass_takes_the_sources_generator_and_measures(tmp_path: Path, calls: list[Call]) -> None:
    source = Source(DEMO, 2, "", str(tmp_path))
    source.execute()
    calls.clear()
    job = SecondPass(source, 0.25, 1.0)
    job.execute()
    run = tmp_path / "demo" / "2"
    assert [call[:2] for call in calls] == [*REHIDDEN, (["hide", "quality"], "measuring")]
    second = {"generator_file": run / "hospital" / "iqem" / "generator.pt", "second_alpha": 0.25, "second_beta": 1.0}
    own = {"hospital_dir": job.folder / "hospital", "store_dir": job.folder / "store", "secret_file": run / "secret"}
    assert calls[0][3] == source.ids | second | own | {"previous_splits": run / "hospital" / "splits.csv"}
    assert calls[1][3]["dataset_dir"] == job.folder / "store"
    measured = {"hospital_dir": run / "hospital", "output_file": job.folder / "quality.json"}
    assert calls[3][3] == source.ids | second | measured
    assert not (job.folder / "store").exists()
    assert (job.done["clipped_share"], job.done["quality"]) == (0.25, {"images": 7})
