"""What the reproduction asks beside its cells: what these jobs hand to the bundle."""

from __future__ import annotations

import json
from pathlib import Path

from fesf.scripts.data import grid
from fesf.scripts.data.grid import DEMO, Source
from fesf.scripts.data.studies import ALPHAS, BETAS, STRONG, PaperLoss, SecondPass, SweepPoint, studies

from .conftest import Call


def test_every_set_has_the_papers_loss_and_a_stronger_second_pass_once() -> None:
    found = [Source(name, run, "", "root") for name in (DEMO, "cxr_nih1000", "us_breastmnist") for run in range(2)]
    first = [source for source in found if source.run == 0]
    always = [*(PaperLoss(source) for source in first), *(SecondPass(source, *STRONG) for source in first)]
    assert list(studies(found, sweep=False)) == always
    swept = [source for source in first if source.name != "cxr_nih1000"]
    points = [SweepPoint(source, alpha, beta) for source in swept for alpha in ALPHAS for beta in BETAS]
    assert list(studies(found, sweep=True)) == always + points


def test_paper_loss_trains_without_content_term_on_the_same_splits(tmp_path: Path, calls: list[Call]) -> None:
    source = Source(DEMO, 2, "", str(tmp_path))
    source.execute()
    calls.clear()
    PaperLoss(source).execute()
    run, hospital = tmp_path / "demo" / "2", tmp_path / "demo" / "2" / "paper_loss" / "hospital"
    assert [call[:3] for call in calls] == [
        (["enhance"], "training", "train"),
        (["hide", "quality"], "measuring", "infer"),
    ]
    previous = {"previous_splits": run / "hospital" / "splits.csv"}
    assert calls[0][3] == source.ids | previous | {"hospital_dir": hospital, "content_weight": 0.0}
    assert calls[1][3]["generator_file"] == hospital / "iqem" / "generator.pt"
    assert calls[1][3]["hospital_dir"] == hospital
    assert PaperLoss(source).done["quality"] == {"images": 7}
    assert source.content_weight == json.loads((grid.configs_folder() / "enhance.json").read_text())["content_weight"]
    assert source.content_weight > 0


def test_a_sweep_point_hides_once_with_its_alpha_and_beta(tmp_path: Path, calls: list[Call]) -> None:
    source = Source(DEMO, 2, "", str(tmp_path))
    source.execute()
    calls.clear()
    point = SweepPoint(source, 0.25, 1.0)
    (point.folder / "store" / "stale").mkdir(parents=True)
    point.execute()
    run = tmp_path / "demo" / "2"
    assert [call[:2] for call in calls] == [
        (["hide"], "hiding"),
        (["train"], "training"),
        (["train", "evaluate"], "evaluating"),
    ]
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
    assert [call[:2] for call in calls] == [
        (["hide"], "hiding"),
        (["train"], "training"),
        (["train", "evaluate"], "evaluating"),
        (["hide", "quality"], "measuring"),
    ]
    second = {"generator_file": run / "hospital" / "iqem" / "generator.pt", "second_alpha": 0.25, "second_beta": 1.0}
    own = {"hospital_dir": job.folder / "hospital", "store_dir": job.folder / "store", "secret_file": run / "secret"}
    assert calls[0][3] == source.ids | second | own | {"previous_splits": run / "hospital" / "splits.csv"}
    assert calls[1][3]["dataset_dir"] == job.folder / "store"
    measured = {"hospital_dir": run / "hospital", "output_file": job.folder / "quality.json"}
    assert calls[3][3] == source.ids | second | measured
    assert not (job.folder / "store").exists()
    assert (job.done["clipped_share"], job.done["quality"]) == (0.25, {"images": 7})
