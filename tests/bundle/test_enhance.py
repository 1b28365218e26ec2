"""enhance.json trains the IQEM in the hospital; hide.json then uses its generator, quality.json measures it."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from PIL import Image

from fesf.networks import EnhancementGenerator, SurrogateNet
from fesf.networks.surrogate import STAGES
from fesf.scripts.data.hosts import HostPool
from fesf.scripts.engines.errors import first_cause, show
from tests.bundle.test_resume import equal
from tests.bundle.tiny import CONFIGS, run
from tests.conftest import smooth, write_png

SIZE = 16
LOSSES = ("generator_loss", "content_loss", "discriminator_loss")
DISTANCES = ("val_mmd", "val_frechet", "val_gap_closed", "val_step")
# Few and large steps: the averaged generator must leave the identity within seconds.
SMALL = {
    "image_size": [SIZE, SIZE], "fractions": [0.5, 0.25, 0.25], "epochs": 4, "iterations": 3, "batch_size": 4,
    "learning_rate": 0.003, "averaging": 0.5, "sheet_interval": 2, "patience": 9, "discriminator_def#channels": 8,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _leave_the_process_as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    mask = os.umask(0o022)
    yield
    os.umask(mask)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve patients of two images, twelve hosts, a secret; patients' names in all paths."""
    folder = tmp_path_factory.mktemp("source") / "Anna-Schmidt-cohort"
    (folder / "images").mkdir(parents=True)
    (folder / "hosts").mkdir()
    rows = [("image", "label", "patient")]
    for patient in range(12):
        for image in range(2):
            name = f"images/SCHMIDT-{patient}-{image}.png"
            write_png(folder / name, smooth(1000 + 2 * patient + image, (SIZE, SIZE)))
            rows.append((name, ("no", "yes")[patient % 2], f"Anna Schmidt {patient}"))
    with open(folder / "cohort.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    for host in range(12):
        write_png(folder / "hosts" / f"{host:02d}.png", smooth(host, (SIZE, SIZE)))
    (folder / "secret").write_text("a secret for the tests, 32 bytes and more\n")
    (folder / "secret").chmod(0o600)
    return folder


def places(source: Path, hospital: Path) -> dict[str, Any]:
    return {"cohort": str(source / "cohort.csv"), "hosts_dir": str(source / "hosts"), "hospital_dir": str(hospital)}


def enhance(source: Path, hospital: Path, **override: Any) -> ConfigWorkflow:
    return run("enhance.json", **places(source, hospital) | SMALL | override)


def hide(source: Path, hospital: Path, store: Path, generator: Path | None = None, **override: Any) -> ConfigWorkflow:
    ids = {"store_dir": str(store), "secret_file": str(source / "secret"), "image_size": [SIZE, SIZE]}
    ids |= {"generator_file": None if generator is None else str(generator)}
    return run("hide.json", kind="infer", **places(source, hospital) | ids | override)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, source: Path) -> Iterator[tuple[Path, ConfigWorkflow]]:
    """The hospital's folder after a training of four epochs, and the workflow that ran."""
    mask = os.umask(0o022)
    hospital = tmp_path_factory.mktemp("trained") / "hospital"
    yield hospital, enhance(source, hospital)
    os.umask(mask)


def table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def weights(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)


def refused(*args: Any, of: Any = enhance, **override: Any) -> str:
    """The one line that a user sees."""
    with pytest.raises((RuntimeError, ValueError)) as caught:
        of(*args, **override)
    cause = first_cause(caught.value)
    assert cause is not None, caught.value
    return str(cause)


def test_files_are_the_hospitals_alone(trained: tuple[Path, ConfigWorkflow]) -> None:
    hospital, _ = trained
    found = {str(path.relative_to(hospital)): path.stat().st_mode & 0o777 for path in hospital.rglob("*")}
    assert {name for name, mode in found.items() if mode == 0o700} == {"iqem", "iqem/pictures"}
    names = (
        "distance.json",
        "generator.pt",
        "history.csv",
        "last.pt",
        "pictures/epoch_0002.png",
        "pictures/epoch_0004.png",
    )
    assert {name for name, mode in found.items() if mode == 0o600} == {
        "splits.csv",
        *(f"iqem/{name}" for name in names),
    }
    assert len(found) == 9
    assert hospital.stat().st_mode & 0o777 == 0o700


def test_splitting_writes_the_splits_that_training_keeps(
    source: Path, trained: tuple[Path, ConfigWorkflow], tmp_path: Path
) -> None:
    hospital = tmp_path / "hospital"
    enhance(source, hospital, run_id="splitting")
    assert [path.name for path in hospital.iterdir()] == ["splits.csv"]
    assert (hospital / "splits.csv").read_bytes() == (trained[0] / "splits.csv").read_bytes()


def test_properties(trained: tuple[Path, ConfigWorkflow]) -> None:
    _, built = trained
    assert built.check_properties() == []
    assert built.parser["run"] == built.parser["training"] == built.parser["enhancing"]


def test_history_and_metric_names(trained: tuple[Path, ConfigWorkflow]) -> None:
    hospital, built = trained
    rows = table(hospital / "iqem" / "history.csv")
    assert tuple(rows[0]) == ("epoch", *LOSSES, *DISTANCES)
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert all(math.isfinite(float(value)) for row in rows for value in row.values())
    content = built.parser.get_parsed_content
    assert set(content("validate#evaluator").state.metrics) >= set(DISTANCES)
    assert set(content("train#trainer").state.metrics) == set(LOSSES)


def test_kept_generator_is_that_of_the_best_epoch(trained: tuple[Path, ConfigWorkflow]) -> None:
    hospital, built = trained
    rows = table(hospital / "iqem" / "history.csv")
    best = min(rows, key=lambda row: float(row["val_mmd"]))
    document = json.loads((hospital / "iqem" / "distance.json").read_text())
    assert document["epoch"] == int(best["epoch"])
    for name in DISTANCES:
        assert document[name] == round(float(best[name]), 6)
    generator = EnhancementGenerator(2)
    generator.load_state_dict(weights(hospital / "iqem" / "generator.pt"))  # raw, strict
    images = built.parser.get_parsed_content("val_synthetic")
    with torch.no_grad():
        step = float((generator.eval()(images) - images).abs().mean())
    assert document["val_step"] == pytest.approx(step, abs=1e-6)


def same(first: Path, second: Path) -> None:
    for name in ("last.pt", "generator.pt"):
        states = [weights(folder / "iqem" / name) for folder in (first, second)]
        assert equal(*states), name
    for name, content in contents(first).items():
        if not name.endswith(".pt"):
            assert (second / name).read_bytes() == content, name


def test_last_holds_all_that_a_training_needs(trained: tuple[Path, ConfigWorkflow]) -> None:
    state = weights(trained[0] / "iqem" / "last.pt")
    networks = {"generator", "averaged_generator", "discriminator"}
    handlers = {"best_generator", "early_stop", "history"}
    assert set(state) == networks | {"optimizer", "discriminator_optimizer"} | handlers | {"trainer", "evaluator"}
    assert not equal(state["generator"], state["averaged_generator"])
    assert len(state["history"]["rows"]) == 4


@pytest.mark.parametrize("stop", [1, 2])
def test_resumed_training_is_the_uninterrupted_one(
    trained: tuple[Path, ConfigWorkflow], source: Path, tmp_path: Path, stop: int
) -> None:
    torch.set_num_threads(1)
    enhance(source, tmp_path / "h", **{"train#trainer#max_epochs": stop})
    assert len(table(tmp_path / "h" / "iqem" / "history.csv")) == stop
    torch.rand(7)  # whatever else the process does
    enhance(source, tmp_path / "h", resume=str(tmp_path / "h" / "iqem" / "last.pt"))
    same(trained[0], tmp_path / "h")


def test_another_seed_is_another_training(trained: tuple[Path, ConfigWorkflow], source: Path, tmp_path: Path) -> None:
    enhance(source, tmp_path / "h", seed=1, host=None)
    with pytest.raises(AssertionError, match=r"last\.pt"):
        same(trained[0], tmp_path / "h")


def test_test_patients_are_not_read(trained: tuple[Path, ConfigWorkflow], source: Path, tmp_path: Path) -> None:
    hospital, built = trained
    splits = {row["patient"]: row["split"] for row in table(hospital / "splits.csv")}
    content = built.parser.get_parsed_content
    held = [row for row in table(source / "cohort.csv") if splits[row["patient"]] == "test"]
    counts = [len(content("synthetic")), len(content("val_synthetic"))]
    assert held
    assert sum(counts) + len(held) == 24
    copy = tmp_path / "copy"
    for name, data in contents(source).items():
        if name not in {row["image"] for row in held}:
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes(data)
    enhance(copy, tmp_path / "h")
    assert (tmp_path / "h" / "iqem" / "generator.pt").read_bytes() == (hospital / "iqem" / "generator.pt").read_bytes()


def rounded(network: SurrogateNet, path: Path) -> np.ndarray:
    plain = torch.from_numpy(np.asarray(Image.open(path)).T / np.float32(255))[None, None].float()
    return np.rint(network(plain)[0, 0].numpy() * 255).T


@pytest.mark.parametrize(
    ("options", "stage", "seconds"),
    [
        ({}, "surrogate", (0.1, 0.5)),
        ({"second_alpha": 0.25, "second_beta": 0.8}, "surrogate", (0.25, 0.8)),
        ({"stage": "enhanced"}, "enhanced", (None, None)),
        ({"stage": "synthetic"}, "synthetic", (None, None)),
    ],
)
def test_hiding_with_the_generator(
    trained: tuple[Path, ConfigWorkflow],
    source: Path,
    tmp_path: Path,
    options: dict[str, Any],
    stage: str,
    seconds: tuple,
) -> None:
    iqem = trained[0] / "iqem"
    hospital, generator = tmp_path / "hospital", iqem / "generator.pt"
    hospital.mkdir(mode=0o700)
    (hospital / "splits.csv").write_bytes((trained[0] / "splits.csv").read_bytes())
    hide(source, hospital, tmp_path / "store", generator, **options)
    assert (hospital / "splits.csv").read_bytes() == (trained[0] / "splits.csv").read_bytes()  # other fractions: kept
    digest = hashlib.sha256(generator.read_bytes()).hexdigest()
    release = json.loads((hospital / "release.json").read_text())
    assert release["stage"] == stage
    assert (release["second_alpha"], release["second_beta"]) == seconds
    assert release["generator_sha256"] == (None if stage == "synthetic" else digest)
    pool: HostPool = trained[1].parser.get_parsed_content("pool")
    assert release["host_sha256"] == pool.host_sha256  # G was trained on the host that hides now

    store = contents(tmp_path / "store")
    names = {f"images/{row['id']}.png" for row in table(hospital / "linkage.csv")}
    assert set(store) == {"manifest.json", "dataset.json"} | names
    assert len(names) == 24
    everything = b"\0".join(store.values())
    for secret in (digest, bytes.fromhex(digest), "generator", "enhanced", "synthetic", "iqem", pool.host_sha256):
        assert (secret if isinstance(secret, bytes) else secret.encode()) not in everything, secret
    for name, value in weights(generator).items():
        raw = value.flatten().numpy().tobytes()
        for start in range(0, len(raw) - 15, 16):
            assert raw[start : start + 16] not in everything, name
    assert hashlib.sha256(everything).hexdigest() != digest

    network = EnhancementGenerator(2)
    network.load_state_dict(weights(generator))
    net = SurrogateNet(pool.host, 0.1, 0.5, network.eval().requires_grad_(False), stage=stage)
    if seconds[0] is not None:
        net.second_alpha, net.second_beta = seconds
    rows = table(source / "cohort.csv")
    for line in table(hospital / "linkage.csv"):
        written = np.asarray(Image.open(tmp_path / "store" / "images" / f"{line['id']}.png"))
        assert np.array_equal(written, rounded(net, source / rows[int(line["row"]) - 2]["image"]))


def test_enhance_and_hide_share_one_folder(source: Path, tmp_path: Path) -> None:
    enhance(source, tmp_path / "h", epochs=1)
    before = contents(tmp_path / "h")
    hide(source, tmp_path / "h", tmp_path / "store", tmp_path / "h" / "iqem" / "generator.pt")
    after = contents(tmp_path / "h")
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"linkage.csv", "quarantine.csv", "release.json"}
    splits = {row["patient"]: row["split"] for row in table(tmp_path / "h" / "splits.csv")}
    for line in table(tmp_path / "h" / "linkage.csv"):
        assert line["split"] == splits[line["patient"]]


def other_generator(path: Path, **options: Any) -> Path:
    torch.manual_seed(3)
    torch.save(EnhancementGenerator(2, **options).state_dict(), path)
    return path


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"stage": "enhanced"},
            "stage='enhanced' needs a generator: train one with enhance.json, or choose 'synthetic'.",
        ),
        ({"stage": "surrogate"}, "stage='surrogate' needs a generator: train one with enhance.json"),
        ({"second_alpha": 0.2}, "second_alpha=0.2 describes a second pass, which stage 'synthetic' does not make"),
        ({"generator_file": "nowhere.pt"}, "'nowhere.pt' is not a file: give the path of one, or null for none."),
        (
            {"generator_file": "fits", "stage": "synthetic", "second_beta": 0.2},
            "second_beta=0.2 describes a second pass",
        ),
        (
            {"generator_file": "other"},
            "does not fit generator_def (RuntimeError): give hide.json the generator_def that",
        ),
    ],
)
def test_hiding_mistakes(source: Path, tmp_path: Path, options: dict[str, Any], message: str) -> None:
    files = {
        "fits": other_generator(tmp_path / "fits.pt"),
        "other": other_generator(tmp_path / "o.pt", channels=(4, 8)),
    }
    if "generator_file" in options:
        options = options | {"generator_file": str(files.get(options["generator_file"], options["generator_file"]))}
    assert message in refused(source, tmp_path / "h", tmp_path / "store", of=hide, **options)
    assert not (tmp_path / "store").exists()
    assert not (tmp_path / "h").exists()


def test_a_published_store_keeps_its_generator(
    trained: tuple[Path, ConfigWorkflow], source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = (source, tmp_path / "h", tmp_path / "store")
    generator = trained[0] / "iqem" / "generator.pt"
    hide(*where, generator)
    before = contents(tmp_path / "store")
    hide(*where, generator)
    assert "published already; nothing was done" in capsys.readouterr().out
    other = other_generator(tmp_path / "other.pt")
    assert "holds this release with another generator_sha256: a published store" in refused(*where, other, of=hide)
    changed = refused(*where, generator, of=hide, stage="enhanced")
    assert "holds this release with another second_alpha and second_beta and stage" in changed
    assert "with another second_beta:" in refused(*where, generator, of=hide, second_beta=0.9)
    assert contents(tmp_path / "store") == before


def test_an_unfinished_run_goes_on_with_its_generator_only(
    trained: tuple[Path, ConfigWorkflow], source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fesf.scripts.data.release import Release

    where = (source, tmp_path / "h", tmp_path / "store")
    generator = trained[0] / "iqem" / "generator.pt"
    monkeypatch.setattr(Release, "_publish", lambda self, digest: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        hide(*where, generator)
    monkeypatch.undo()
    assert "unfinished run with another recipe" in refused(*where, other_generator(tmp_path / "g.pt"), of=hide)
    hide(*where, generator)
    assert (tmp_path / "store" / "manifest.json").is_file()


@pytest.mark.parametrize("stage", ["enhanced", "surrogate"])
def test_a_pipeline_that_lets_the_plaintext_through_publishes_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    """Its generator puts out the very plaintext that is being hidden."""
    original = SurrogateNet._stages

    def leak(self: SurrogateNet, image: torch.Tensor) -> dict[str, torch.Tensor]:
        self.generator = torch.nn.Identity()
        self.generator.forward = lambda images: image.expand_as(images)  # type: ignore[method-assign]
        return original(self, image)

    monkeypatch.setattr(SurrogateNet, "_stages", leak)
    generator = other_generator(tmp_path / "g.pt")
    text = refused(source, tmp_path / "h", tmp_path / "store", generator, of=hide, stage=stage)
    assert "its surrogate failed the phase check" in text
    assert "change under a shift of the plaintext" in text
    assert not (tmp_path / "store").exists()
    assert not (tmp_path / "store.partial" / "manifest.json").exists()


def test_quality(trained: tuple[Path, ConfigWorkflow], source: Path, tmp_path: Path) -> None:
    hospital = tmp_path / "h"
    hospital.mkdir(mode=0o700)
    (hospital / "splits.csv").write_bytes((trained[0] / "splits.csv").read_bytes())
    ids = {"generator_file": str(trained[0] / "iqem" / "generator.pt"), "image_size": [SIZE, SIZE]}
    run("hide.json", "quality.json", kind="infer", **places(source, hospital) | ids)  # no secret is needed
    assert sorted(path.name for path in hospital.iterdir()) == ["quality.json", "splits.csv"]
    assert (hospital / "quality.json").stat().st_mode & 0o777 == 0o600
    figures = json.loads((hospital / "quality.json").read_text())
    splits = [row["split"] for row in table(hospital / "splits.csv")]
    assert (figures["section"], figures["images"]) == ("test", 2 * splits.count("test"))
    assert figures["images_drawn"] == min(6, figures["images"])
    assert set(figures["distance"]) == {"floor", "host", "plaintext", *STAGES}
    assert all(set(value) == {"mmd", "frechet"} for value in figures["distance"].values())
    assert set(figures["gap_closed"]) == {"enhanced", "surrogate"}
    assert set(figures["likeness_to_host"]) == {"plaintext", *STAGES}
    assert set(figures["likeness_to_plaintext"]) == {"another plaintext", *STAGES}
    assert figures["likeness_to_host"]["synthetic"]["ssim"] > figures["likeness_to_plaintext"]["synthetic"]["ssim"]
    floor, synthetic, enhanced = (figures["distance"][name]["mmd"] for name in ("floor", "synthetic", "enhanced"))
    assert figures["gap_closed"]["enhanced"]["mmd"] == pytest.approx((synthetic - enhanced) / abs(synthetic - floor))
    ids |= {"section": "validation", "output_file": str(hospital / "v.json"), "generator_file": None}
    run("hide.json", "quality.json", kind="infer", **places(source, hospital) | ids)
    validation = json.loads((hospital / "v.json").read_text())
    assert validation["section"] == "validation"
    assert set(validation["distance"]) == {"floor", "host", "plaintext", "synthetic"}


def test_quality_agrees_with_the_training(trained: tuple[Path, ConfigWorkflow], source: Path, tmp_path: Path) -> None:
    """On the validation images it finds the distance that distance.json holds."""
    iqem = trained[0] / "iqem"
    ids = {"generator_file": str(iqem / "generator.pt"), "image_size": [SIZE, SIZE], "stage": "enhanced"}
    ids |= {"section": "validation", "output_file": str(tmp_path / "out" / "quality.json")}
    run("hide.json", "quality.json", kind="infer", **places(source, trained[0]) | ids)
    figures = json.loads((tmp_path / "out" / "quality.json").read_text())
    document = json.loads((iqem / "distance.json").read_text())
    assert figures["distance"]["enhanced"]["mmd"] == pytest.approx(document["val_mmd"], abs=1e-5)
    assert figures["distance"]["floor"]["mmd"] == pytest.approx(document["val_mmd_floor"], abs=1e-5)
    assert figures["gap_closed"]["enhanced"]["mmd"] == pytest.approx(document["val_gap_closed"], abs=1e-3)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"content_weight": -1}, "content_weight=-1: give a number of at least 0; 0 is the paper's loss."),
        ({"criterion": "wasserstein"}, "criterion='wasserstein': choose log, least_squares, hinge."),
        ({"pack": 5}, "images_per_pack=5: give a whole number from 1 to batch_size"),
        ({"image_limit": 6}, "The host pool has 6 images: measuring the distance to it needs 8 or more."),
        ({"fractions": [0.9, 0.2, -0.1]}, "give three positive shares"),
        ({"alpha": 0.7}, "alpha must be a number in"),
        ({"patience": 0}, "patience=0 must be at least 1"),
        ({"sheet_interval": 0}, "interval=0 must be at least 1"),
        ({"resume": "nowhere.pt"}, "resume 'nowhere.pt' is not a file"),
        (
            {"learning_rate": 0.0, "epochs": 1},
            "The generator stayed the identity (mean change 0.0e+00, at least 0.001)",
        ),
    ],
)
def test_mistakes_end_in_one_line(source: Path, tmp_path: Path, override: dict[str, Any], message: str) -> None:
    assert message in refused(source, tmp_path / "h", **override)


def test_a_training_that_breaks_says_where(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The epoch before can be resumed with smaller rates."""
    enhance(source, tmp_path / "h", epochs=1)
    last = tmp_path / "h" / "iqem" / "last.pt"
    before = last.read_bytes()
    state = weights(last)
    state["optimizer"]["param_groups"][0]["lr"] = 1e38
    torch.save(state, tmp_path / "broken.pt")
    with pytest.raises(RuntimeError) as caught:
        enhance(source, tmp_path / "h", resume=str(tmp_path / "broken.pt"))
    capsys.readouterr()
    show(RuntimeError, caught.value, None)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("error: The generator's loss became nan in epoch 2, iteration 5: lower the learning rates")
    assert last.read_bytes() == before


def test_copies_of_hosts_and_bad_rows(source: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    for name, data in contents(source).items():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes(data)
    enhance(copy, tmp_path / "h", epochs=1)
    splits = {row["patient"]: row["split"] for row in table(tmp_path / "h" / "splits.csv")}
    rows = table(copy / "cohort.csv")
    number = next(n for n, row in enumerate(rows, 2) if splits[row["patient"]] == "training")
    image = copy / rows[number - 2]["image"]
    image.write_text("no image")
    assert f"Row {number} of the cohort: its image cannot be read" in refused(copy, tmp_path / "h", epochs=1)
    built = enhance(copy, tmp_path / "h", epochs=1, on_bad_row="quarantine")
    assert len(built.parser.get_parsed_content("synthetic")) == 2 * list(splits.values()).count("training") - 1
    image.write_bytes((copy / "hosts" / "03.png").read_bytes())
    assert f"Row {number} of the cohort nearly equals a host" in refused(copy, tmp_path / "h", epochs=1)


def test_monais_own_tracking_is_refused_where_the_environment_names_a_server(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    said = refused(source, tmp_path / "h", epochs=1, tracking="mlflow")
    assert "MLFLOW_TRACKING_URI is set, and a workflow of the hospital logs to no server that was not named" in said


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")  # MLflow 3.17 on SQLAlchemy 2.1
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # MONAI's handler leaves the validator's SQLite connection open
def test_mlflow_learns_losses_and_distances_and_nothing_of_the_cohort(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # nobody listens: logging there would fail
    enhance(source, tmp_path / "h", epochs=2, tracking=str(CONFIGS / "mlflow.json"))
    iqem = tmp_path / "h" / "iqem"
    database = sqlite3.connect(iqem / "mlruns.db")
    try:
        logged = set(database.execute("select key, step from metrics").fetchall())
        status = database.execute("select status from runs").fetchall()
    finally:
        database.close()
    expected = {(name, step) for name in (*LOSSES, *DISTANCES) for step in (1, 2)}
    assert expected <= logged
    assert {name for name, _ in logged - expected} == {"val_mmd_synthetic", "val_mmd_floor", "val_closeness"}
    assert status == [("FINISHED",)]
    assert (iqem / "mlruns.db").stat().st_mode & 0o777 == 0o600
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "splits.csv"]
    assert not [path for path in kept if path.name.startswith("config_")]
    for path in kept:
        for secret in (str(source), source.name, "cohort.csv", "Schmidt", "SCHMIDT"):
            assert secret.encode() not in path.read_bytes(), (path.name, secret)


def test_volumes(source: Path, tmp_path: Path) -> None:
    """Three axes, one of them short: train, hide, measure."""
    shape = (12, 16, 9)
    folder = tmp_path / "volumes"
    (folder / "hosts").mkdir(parents=True)
    rows = ["image,label,patient"]
    for number in range(18):
        values = np.rint(255 * smooth(number, shape)).astype(np.uint8)
        name = f"hosts/{number}.nii.gz" if number < 8 else f"{number}.nii.gz"
        nib.save(nib.Nifti1Image(values, np.eye(4)), folder / name)
        if number >= 8:
            rows.append(f"{name},{number % 2},P{number}")
    (folder / "cohort.csv").write_text("\n".join(rows) + "\n")
    (folder / "secret").write_bytes((source / "secret").read_bytes())
    (folder / "secret").chmod(0o600)
    enhance(folder, tmp_path / "h", image_size=list(shape), epochs=1)
    generator = tmp_path / "h" / "iqem" / "generator.pt"
    hide(folder, tmp_path / "h", tmp_path / "store", generator, image_size=list(shape))
    assert len(list((tmp_path / "store" / "images").glob("*.nii.gz"))) == 10
    assert json.loads((tmp_path / "h" / "release.json").read_text())["stage"] == "surrogate"
    ids = {"image_size": list(shape), "generator_file": str(generator)}
    run("hide.json", "quality.json", kind="infer", **places(folder, tmp_path / "h") | ids)
    assert json.loads((tmp_path / "h" / "quality.json").read_text())["gap_closed"]


@pytest.mark.parametrize("length", [8, 11, 12, 47, 48])
def test_the_discriminator_takes_every_size(length: int) -> None:
    parser = ConfigParser()
    parser.read_config(str(CONFIGS / "enhance.json"))
    parser["image_size"] = [length, 64]
    network = parser.get_parsed_content("discriminator_def")
    assert network(torch.rand(1, 2, length, 64))[-1].numel() > 0


def test_the_generator_stays_in_the_hospital() -> None:
    """Every place that the IQEM writes to lies under hospital_dir, and the analyst's configs know none of it."""
    parser = ConfigParser()
    parser.read_config(str(CONFIGS / "enhance.json"))
    parser["hospital_dir"] = "the/hospital"
    for name in ("output_dir", "ckpt_dir"):
        assert parser.get_parsed_content(name) == "the/hospital/iqem"
    for name, key in (
        ("best_generator", "folder"),
        ("training_state", "path"),
        ("history", "path"),
        ("picture_sheet", "folder"),
    ):
        assert any(place in parser[name][key] for place in ("@output_dir", "@ckpt_dir")), name
    for name in ("train", "evaluate", "inference", "plaintext", "multi_gpu_train"):
        text = (CONFIGS / f"{name}.json").read_text()
        assert "generator" not in text, name
        assert "hospital_dir" not in text, name
    hiding = json.loads((CONFIGS / "hide.json").read_text())
    assert hiding["generator_file"] is None
