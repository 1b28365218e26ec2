"""Cells of the reproduction: their keys, what they hand to the bundle, and one real set of them (see conftest)."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.networks.nets import EfficientNetBN
from PIL import Image
from sklearn.metrics import roc_auc_score

from fesf.scripts.data import grid
from fesf.scripts.data.grid import (
    ARMS,
    CNN,
    DEMO,
    NETWORKS,
    OTHER_EPOCHS,
    STAGES,
    Cell,
    Job,
    Source,
    cells,
    sources,
)
from fesf.scripts.data.provenance import machine_name
from fesf.scripts.data.public_sets import SETS
from fesf.scripts.data.results import collect
from fesf.scripts.data.studies import LambdaCell, OtherLambda, SecondPass, SweepPoint
from fesf.scripts.engines.best_generator import BestGenerator
from fesf.transforms.functional import half_widths

from .conftest import Call

SOURCE = Source(DEMO, 0, "", "root")
FULL, PLAIN = Cell(SOURCE, CNN, "full"), Cell(SOURCE, CNN, "plaintext")
ARM = LambdaCell(SOURCE, 0.0, "full")
PAPER, POINT, SECOND = OtherLambda(SOURCE, 0.0), SweepPoint(SOURCE, 0.25, 1.0), SecondPass(SOURCE, 0.25, 1.0)


def table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_titles_and_folders() -> None:
    densenet = Cell(replace(SOURCE, run=2), "densenet121", "iqem")
    jobs = {
        SOURCE: ("demo/0/source", "root/demo/0"),
        FULL: ("demo/0/cnn/full", "root/demo/0/cnn/full"),
        densenet: ("demo/2/densenet121/iqem", "root/demo/2/densenet121/iqem"),
        PAPER: ("demo/0/lambda/0/generator", "root/demo/0/lambda/0"),
        ARM: ("demo/0/lambda/0/full", "root/demo/0/lambda/0-full"),
        POINT: ("demo/0/sweep/0.25/1.0", "root/demo/0/sweep/0.25-1.0"),
        SECOND: ("demo/0/second_pass/0.25/1.0", "root/demo/0/second_pass/0.25-1.0"),
    }
    assert {job: (job.title, str(job.folder)) for job in jobs} == jobs
    needs = [(), (SOURCE,), (replace(SOURCE, run=2),), (SOURCE,), (SOURCE, PAPER), (SOURCE,), (SOURCE,)]
    assert [job.after for job in jobs] == needs


def test_keys_change_with_every_setting_and_not_with_places() -> None:
    jobs: list[Job] = [SOURCE, PLAIN, FULL, PAPER, ARM, POINT, SECOND]
    for source in (replace(SOURCE, run=1), replace(SOURCE, quick=True), replace(SOURCE, name="us_breastmnist")):
        jobs += [source, Cell(source, CNN, "plaintext"), Cell(source, CNN, "full"), OtherLambda(source, 0.0)]
        jobs += [LambdaCell(source, 0.0, "full"), SweepPoint(source, 0.25, 1.0), SecondPass(source, 0.25, 1.0)]
    jobs += [Cell(SOURCE, CNN, "ihm"), Cell(SOURCE, CNN, "iqem"), Cell(SOURCE, "vit", "full")]
    jobs += [replace(PAPER, weight=80.0), replace(ARM, weight=80.0), replace(ARM, arm="iqem")]
    jobs += [replace(study, **other) for study in (POINT, SECOND) for other in ({"alpha": 0.1}, {"beta": 0.5})]
    keys = [job.key for job in jobs]
    assert len(set(keys)) == len(keys)
    assert all(re.fullmatch(r"[0-9a-f]{64}", key) for key in keys)
    moved = replace(SOURCE, data="elsewhere", root="another")
    assert moved.key == SOURCE.key
    for job in (PLAIN, FULL, PAPER, ARM, POINT, SECOND):
        assert replace(job, source=moved).key == job.key


def test_the_image_size_is_in_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {name: Source(name, 0, "", "").image_size for name in (DEMO, "cxr_nih1000", "us_breastmnist")}
    assert sizes == {DEMO: (64, 64), "cxr_nih1000": (64, 64), "us_breastmnist": (32, 32)}
    job = Source("us_breastmnist", 0, "", "")
    before = job.key
    monkeypatch.setitem(SETS, "us_breastmnist", replace(SETS["us_breastmnist"], image_size=(28, 28)))
    assert job.key != before


def test_the_epochs_of_other_networks_are_in_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    vit = Cell(SOURCE, "vit", "plaintext")
    assert (vit.training_ids, FULL.training_ids) == ({"epochs": OTHER_EPOCHS}, {})
    assert Cell(replace(SOURCE, quick=True), "vit", "full").training_ids == {"epochs": 2}
    before = vit.key, PLAIN.key
    monkeypatch.setattr(grid, "OTHER_EPOCHS", OTHER_EPOCHS + 1)
    assert (vit.key != before[0], PLAIN.key == before[1]) == (True, True)


def test_plaintexts_that_efficientnet_could_not_take_are_not_cropped() -> None:
    small = Source("us_breastmnist", 0, "", "")
    assert Cell(small, "efficientnet_b0", "plaintext").training_ids == {"epochs": OTHER_EPOCHS, "crop": 1.0}
    for cell in (Cell(small, "efficientnet_b0", "full"), Cell(small, "vit", "plaintext")):
        assert cell.training_ids == {"epochs": OTHER_EPOCHS}
    assert "crop" not in Cell(SOURCE, "efficientnet_b0", "plaintext").training_ids  # 64 pixels
    crop = json.loads((grid.configs_folder() / "plaintext.json").read_text())["crop"]
    network = EfficientNetBN("efficientnet-b0", spatial_dims=2, in_channels=1, num_classes=2, pretrained=False).eval()
    assert crop < 1
    assert network(torch.zeros(1, 1, 32, 32)).shape == (1, 2)
    with pytest.raises(RuntimeError, match="Kernel size can't be greater"):
        network(torch.zeros(1, 1, 31, 31))


def test_keys_change_with_the_text_of_each_config_that_is_read(rewrite: Callable[[str], None]) -> None:
    vit = Cell(SOURCE, "vit", "plaintext")
    jobs = (SOURCE, PLAIN, FULL, PAPER, ARM, POINT, SECOND, vit)
    before = [job.key for job in jobs]
    changed = {
        "enhance": {SOURCE, FULL, PAPER, ARM, SECOND},  # full: through its source; the plaintext arm reads no generator
        "hide": {SOURCE, FULL, PAPER, ARM, POINT, SECOND},
        "quality": {SOURCE, FULL, PAPER, ARM, SECOND},
        "train": {PLAIN, FULL, ARM, POINT, SECOND, vit},
        "evaluate": {PLAIN, FULL, ARM, POINT, SECOND, vit},
        "plaintext": {PLAIN, vit},
        "networks/vit": {vit},
        "inference": set(),
    }
    for name, expected in changed.items():
        rewrite(name)
        found = {job for job, key in zip(jobs, before, strict=True) if job.key != key}
        assert found == expected, name


def test_sources_are_every_fold_or_seed(tmp_path: Path) -> None:
    for name in ("cxr_nih1000", "us_breastmnist"):
        (tmp_path / "data" / name).mkdir(parents=True)
    names = [DEMO, "cxr_nih1000", "us_breastmnist"]
    found = sources(tmp_path, Path("work"), names, quick=False)
    runs = {name: [source.run for source in found if source.name == name] for name in names}
    assert runs == {DEMO: [0, 1, 2], "cxr_nih1000": [0, 1, 2, 3, 4], "us_breastmnist": [0, 1, 2]}
    assert found[0] == Source(DEMO, 0, "", "work", False)
    assert found[3] == Source("cxr_nih1000", 0, str(tmp_path / "data" / "cxr_nih1000"), "work", False)
    quick = sources(tmp_path, Path("work"), names, quick=True)
    assert [(source.name, source.run, source.quick) for source in quick] == [(name, 0, True) for name in names]
    with pytest.raises(ValueError, match=r"is not a folder: point --shared at the folder that holds data/mri_cheng430"):
        sources(tmp_path, Path("work"), ["mri_cheng430"], quick=False)


def test_the_small_network_runs_everywhere_others_on_the_first_run() -> None:
    found = [Source(name, run, "", "") for name in (DEMO, "us_breastmnist") for run in range(3)]
    jobs = list(cells(found, NETWORKS))
    small = [job for job in jobs if job.network == CNN]
    assert small == [Cell(source, CNN, arm) for source in found for arm in ARMS]
    for network in NETWORKS[1:]:
        firsts = (found[0], found[3])
        assert [job for job in jobs if job.network == network] == [
            Cell(source, network, arm) for source in firsts for arm in ARMS
        ]
    assert len(jobs) == 6 * 4 + 6 * 2 * 4


@dataclass(frozen=True)
class Simple(Job):
    """A job whose work is given."""

    place: Path
    doing: Callable[[Path], dict[str, Any]]
    version: int = 0

    title = "simple"
    folder = property(lambda self: self.place)  # type: ignore[assignment]
    settings = property(lambda self: [self.version])  # type: ignore[assignment]
    configs = ("hide",)

    def work(self) -> dict[str, Any]:
        return self.doing(self.place)


def test_done_says_with_what_and_goes_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rewrite: Callable[[str], None]
) -> None:
    place = tmp_path / "a" / "b"
    seen: list[bool] = []

    def work(folder: Path) -> dict[str, Any]:
        seen.append((folder / "done.json").exists())
        return {"found": len(seen)}

    monkeypatch.setattr(grid, "commit", lambda: "0123abc")
    monkeypatch.setattr(grid, "machine_name", lambda: "a processor, 2 cores")
    job = Simple(place, work)
    assert not job.is_done
    job.execute()
    assert job.is_done
    assert job.done == {"key": job.key, "commit": "0123abc", "machine": "a processor, 2 cores", "found": 1}
    changed = replace(job, version=1)
    assert not changed.is_done
    changed.execute()
    assert seen == [False, False]  # the old done.json does not outlive the start of another run
    assert (changed.is_done, job.is_done) == (True, False)
    rewrite("train")
    assert changed.is_done
    rewrite("hide")
    assert not changed.is_done

    def fail(folder: Path) -> dict[str, Any]:
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        replace(changed, doing=fail).execute()
    assert not (place / "done.json").exists()


def test_two_processes_do_not_do_the_same_job(tmp_path: Path) -> None:
    def work(_: Path) -> dict[str, Any]:
        with pytest.raises(ValueError, match="simple is being done by another process: wait for it"):
            job.execute()
        return {"finished": True}

    job = Simple(tmp_path / "job", work)
    job.execute()
    assert job.done["finished"]


def test_a_config_that_changes_meanwhile_leaves_the_job_undone(tmp_path: Path, rewrite: Callable[[str], None]) -> None:
    def work(_: Path) -> dict[str, Any]:
        rewrite("hide")
        return {}

    job = Simple(tmp_path / "job", work)
    before = job.key
    job.execute()
    assert job.done["key"] == before != job.key
    assert not job.is_done


def test_a_source_trains_hides_each_stage_and_measures(tmp_path: Path, calls: list[Call]) -> None:
    source = Source(DEMO, 2, "", str(tmp_path))
    run = tmp_path / "demo" / "2"
    for stale in ("stores/ihm/images", "hospital/iqem"):
        (run / stale).mkdir(parents=True)
    source.execute()
    assert [call[:3] for call in calls] == [
        (["enhance"], "training", "train"),
        (["hide"], "hiding", "infer"),
        (["hide"], "hiding", "infer"),
        (["hide"], "hiding", "infer"),
        (["hide", "quality"], "measuring", "infer"),
    ]
    hospital = run / "hospital"
    shared = {"cohort": run / "cohort" / "cohort.csv", "hosts_dir": run / "cohort" / "hosts"}
    shared |= {"image_size": [64, 64], "seed": 2}
    generator = {"generator_file": hospital / "iqem" / "generator.pt"}
    assert calls[0][3] == shared | {"hospital_dir": hospital}  # no epochs: enhance.json's own
    assert list(STAGES.items()) == [("ihm", "synthetic"), ("iqem", "enhanced"), ("full", "surrogate")]
    for (arm, stage), call in zip(STAGES.items(), calls[1:4], strict=True):
        assert call[3] == shared | ({} if arm == "ihm" else generator) | {
            "hospital_dir": hospital / "releases" / arm,
            "store_dir": run / "stores" / arm,
            "stage": stage,
            "secret_file": run / "secret",
            "previous_splits": hospital / "splits.csv",
        }
    assert calls[4][3] == shared | generator | {"hospital_dir": hospital}
    assert not (run / "stores" / "ihm" / "images").exists()
    assert source.done == {
        "key": source.key,
        "commit": source.done["commit"],
        "machine": machine_name(),
        "class_names": ["x", "y", "z"],
        "withdrawn": 0,
        "clipped_share": {"ihm": 0.125, "iqem": 0.25, "full": 0.25},
        "distance": {"val_mmd": 0.5},
        "quality": {"images": 7},
    }
    secret = (run / "secret").read_text()
    assert secret == hashlib.sha256(b"fesf reproduction demo 2").hexdigest()  # the same ids on another machine


def refuse(*configs: Any, **ids: Any) -> None:
    """Training whose generator changes nothing, as MONAI hands the error on."""
    try:
        raise_ours = BestGenerator("nowhere", torch.nn.Identity(), None).refuse_identity  # type: ignore[arg-type]
        raise_ours()
    except ValueError as error:
        raise RuntimeError("Failed to evaluate") from error


def test_a_refused_generator_is_a_finding_and_its_cells_are_void(
    tmp_path: Path, calls: list[Call], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = grid.run_bundle
    monkeypatch.setattr(grid, "run_bundle", refuse)
    source = Source(DEMO, 2, "", str(tmp_path))
    source.execute()
    why = "The generator stayed the identity (mean change 0.0e+00, at least"
    assert source.done["refused"].startswith(why)
    jobs: list[Job] = [Cell(source, CNN, "plaintext"), Cell(source, CNN, "full"), SecondPass(source, 0.25, 1.0)]
    for job in jobs:
        job.execute()
        assert set(job.done) == {"key", "commit", "machine"}
    assert calls == []
    monkeypatch.setattr(grid, "run_bundle", made)
    (source.folder / "done.json").unlink()
    source.execute()
    monkeypatch.setattr(grid, "run_bundle", refuse)
    OtherLambda(source, 0.0).execute()
    assert OtherLambda(source, 0.0).done["refused"].startswith(why)
    arm = LambdaCell(source, 0.0, "full")
    calls.clear()
    arm.execute()
    assert (set(arm.done), calls) == ({"key", "commit", "machine"}, [])


def test_other_errors_of_training_are_errors(
    tmp_path: Path, calls: list[Call], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*configs: Any, **ids: Any) -> None:
        half_widths((8, 8), 2.0)  # an error of ours, as a loss that became nan is

    monkeypatch.setattr(grid, "run_bundle", fail)
    with pytest.raises(ValueError, match="alpha must be a number in"):
        Source(DEMO, 2, "", str(tmp_path)).execute()


def test_a_public_set_is_read_with_the_runs_number(
    tmp_path: Path, calls: list[Call], monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_cohort(public: Any, data: Path, folder: Path, run: int) -> int:
        assert (public.name, data, run) == ("us_breastmnist", Path("data"), 1)
        folder.mkdir(parents=True)
        (folder / "cohort.csv").write_text("image,label,patient\na.png,0,1\nb.png,1,2\n")
        return 5

    monkeypatch.setattr(grid, "write_cohort", write_cohort)
    source = Source("us_breastmnist", 1, "data", str(tmp_path))
    source.execute()
    assert source.done["withdrawn"] == 5
    assert all(call[3]["image_size"] == [32, 32] for call in calls)


def test_a_quick_source_trains_a_little(tmp_path: Path, calls: list[Call]) -> None:
    source = Source(DEMO, 2, "", str(tmp_path), quick=True)
    source.execute()
    own = {"hospital_dir": source.hospital}
    own |= {"epochs": 2, "iterations": 50, "averaging": 0.1, "content_weight": 2.0}
    assert calls[0][3] == source.ids | own
    assert source.content_weight == 2.0


@pytest.mark.parametrize("arm", ARMS)
def test_arms_differ_in_what_they_read_alone(arm: str, tmp_path: Path, calls: list[Call]) -> None:
    source = Source(DEMO, 2, "", str(tmp_path))
    source.execute()
    calls.clear()
    for network in (CNN, "vit"):
        Cell(source, network, arm).execute()
    run = tmp_path / "demo" / "2"
    overlays = ["plaintext"] if arm == "plaintext" else []
    assert [call[:3] for call in calls] == [
        (["train", *overlays], "training", "train"),
        (["train", "evaluate", *overlays], "evaluating", "train"),
        (["train", *overlays, "networks/vit"], "training", "train"),
        (["train", "evaluate", *overlays, "networks/vit"], "evaluating", "train"),
    ]
    data: dict[str, Any] = {"dataset_dir": run / "stores" / arm}
    if arm == "plaintext":
        data = {"cohort": run / "cohort" / "cohort.csv", "splits": run / "hospital" / "splits.csv"}
        data["image_size"] = [64, 64]
    common = {"num_classes": 3, "seed": 2, **data}
    places = [{"output_dir": run / name / arm, "ckpt_dir": run / name / arm / "models"} for name in (CNN, "vit")]
    assert calls[0][3] == calls[1][3] == common | places[0]  # no epochs: train.json's own
    assert calls[2][3] == calls[3][3] == common | places[1] | {"epochs": OTHER_EPOCHS}
    assert not (run / CNN / arm / "models" / "last.pt").exists()


def test_a_real_grid_leaves_every_jobs_files(tiny_grid: list[Job]) -> None:
    assert all(job.is_done for job in tiny_grid)
    source, *_ = tiny_grid
    assert isinstance(source, Source)
    assert source.done["class_names"] == ["normal", "opacity"]
    generators = {job.folder / "hospital" / "iqem" / "generator.pt" for job in tiny_grid if not isinstance(job, Cell)}
    weights = [torch.load(path) for path in sorted(generators) if path.is_file()]
    assert len(weights) == 2
    assert any(not torch.equal(weights[0][name], weights[1][name]) for name in weights[0])  # lambda 0 is another one
    linkages = {arm: table(source.linkage(arm)) for arm in STAGES}
    point = tiny_grid[-1]
    assert isinstance(point, SweepPoint)
    linkages["sweep"] = table(point.linkage)
    linkages["second"] = table(next(job.linkage for job in tiny_grid if isinstance(job, SecondPass)))
    splits = [{line["row"]: line["split"] for line in linkage} for linkage in linkages.values()]
    assert all(found == splits[0] for found in splits)
    ids = [[line["id"] for line in linkage] for linkage in linkages.values()]
    assert all(found == ids[0] for found in ids)  # so every arm trains on the images in the same order
    images = {arm: Image.open(next((source.store(arm) / "images").iterdir())) for arm in STAGES}
    assert all(np.asarray(image).shape == (64, 64) for image in images.values())
    stages = {arm: json.loads((source.release(arm) / "release.json").read_text())["stage"] for arm in STAGES}
    assert stages == STAGES


def test_a_real_grid_is_collected(tiny_grid: list[Job]) -> None:
    results = collect(tiny_grid)
    assert (results.done, results.planned, len(results.commits)) == (10, 10, 1)
    (item,) = results.sets
    assert item.majority_accuracy >= 0.5
    ((run, arms),) = item.networks[CNN]
    assert run == 0
    for cell in tiny_grid:
        if isinstance(cell, Cell):
            rows = table(cell.predictions)
            labels = [row["label"] == "opacity" for row in rows]
            auc = roc_auc_score(labels, [float(row["p_opacity"]) for row in rows])
            assert item.values(CNN, cell.arm, "auc") == pytest.approx([auc])
            assert cell.metrics()["auc"] == pytest.approx(auc, abs=1e-6)
            assert arms[cell.arm].rows == arms["plaintext"].rows
            assert arms[cell.arm].groups == arms["plaintext"].groups
    assert item.lambdas[0.0]["quality"]["images"] == len(arms["plaintext"].rows)
    hidden = {job.arm for job in tiny_grid if isinstance(job, LambdaCell) and "refused" not in job.done}
    assert set(item.lambda_arms[0.0]) == hidden
    assert {tuple(found.rows) for found in item.lambda_arms[0.0].values()} == {tuple(arms["plaintext"].rows)}
    assert list(item.sweep) == [(0.1, 0.5)]
    assert item.sweep[0.1, 0.5].rows == arms["plaintext"].rows
    source, point = tiny_grid[0], tiny_grid[-1]  # alpha 0.1 and beta 0.5 are hide.json's own: the IHM arm's images
    assert point.done["clipped_share"] == source.done["clipped_share"]["ihm"]
    outcome, done = item.second_pass[0]  # hide.json's own alpha and beta again: the full arm's images
    assert outcome.probabilities == pytest.approx(arms["full"].probabilities, abs=1e-6)
    assert done["quality"] == source.done["quality"]
    assert done["clipped_share"] == source.done["clipped_share"]["full"]


def test_the_secret_follows_from_set_and_run_and_is_written_once(tmp_path: Path) -> None:
    one, same, other = (Source("demo", run, "", str(tmp_path / place)) for run, place in ((0, "a"), (0, "b"), (1, "a")))
    for source in (one, same, other):
        source.folder.mkdir(parents=True)
    first = one.secret().stat()
    assert one.secret().stat().st_ino == first.st_ino  # another job may be reading it
    assert one.secret().read_bytes() == same.secret().read_bytes() != other.secret().read_bytes()
