"""hide.json end to end: the store, the hospital's folder, and what happens when something goes wrong."""

from __future__ import annotations

import csv
import hashlib
import hmac
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from monai.bundle import ConfigWorkflow
from PIL import Image

from fesf.scripts.data.cohort import CohortError
from fesf.scripts.data.keys import derive_key, keyed_id, load_secret
from fesf.scripts.data.release import Release

CONFIG = Path(__file__).parents[2] / "bundle" / "configs" / "hide.json"
SECRET = b"a secret for the tests, 32 bytes and more"


@pytest.fixture(autouse=True)
def _keep_excepthook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)


def workflow(folder: Path, **overrides: Any) -> ConfigWorkflow:
    paths = {"cohort": folder / "cohort.csv", "hosts_dir": folder / "hosts", "secret_file": folder / "secret"}
    places = {"store_dir": folder / "out" / "store", "hospital_dir": folder / "hospital"}
    ids = {key: str(value) for key, value in (paths | places).items()} | {
        "image_size": [24, 24],
        "device": "$torch.device('cpu')",
    }
    return ConfigWorkflow(
        config_file=str(CONFIG), workflow_type="infer", run_id="hiding", logging_file=False, **(ids | overrides)
    )


def hide(folder: Path, **overrides: Any) -> Path:
    run = workflow(folder, **overrides)
    run.initialize()
    run.run()
    run.finalize()
    return Path(overrides.get("store_dir", folder / "out" / "store"))


def cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error)


def refused(folder: Path, **overrides: Any) -> str:
    with pytest.raises((RuntimeError, ValueError)) as caught:
        hide(folder, **overrides)
    return cause(caught.value)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def reference(plain: np.ndarray, host: np.ndarray, alpha: float, beta: float) -> np.ndarray:
    """The Image Hidden Module in float64, from its equations."""
    amplitude, phase = np.abs(np.fft.fftn(host)), np.angle(np.fft.fftn(host))
    grids = np.meshgrid(*(np.abs(np.fft.fftfreq(n) * n) <= np.floor(alpha * n) for n in host.shape), indexing="ij")
    mask = np.logical_and.reduce(grids)
    mixed = np.where(mask, (1 - beta) * amplitude + beta * np.abs(np.fft.fftn(plain)), amplitude)
    return np.fft.ifftn(mixed * np.exp(1j * phase)).real


def test_properties_are_complete(make_cohort: Callable[..., Path]) -> None:
    run = workflow(make_cohort())
    run.initialize()
    assert run.check_properties() == []


def test_store_and_hospital_folder_are_as_specified(make_cohort: Callable[..., Path]) -> None:
    folder = make_cohort()
    store, hospital = hide(folder), folder / "hospital"
    manifest, dataset = (json.loads((store / f"{name}.json").read_text()) for name in ("manifest", "dataset"))
    assert set(manifest) == {"format", "version", "spatial_size", "encoding", "commitment", "files"}
    found = {name: content for name, content in contents(store).items() if name != "manifest.json"}
    assert manifest["files"] == {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)} for name, content in found.items()
    }
    assert len(found) == 25
    assert dataset["class_names"] == ["no", "yes"]
    listed = [item for section in ("training", "validation", "test") for item in dataset[section]]
    assert all(set(item) == {"image", "label"} for item in listed)
    for section in ("training", "validation", "test"):
        names = [item["image"] for item in dataset[section]]
        assert names
        assert names == sorted(names)

    assert hospital.stat().st_mode & 0o777 == 0o700
    assert {p.name for p in hospital.iterdir()} == {"linkage.csv", "splits.csv", "release.json", "quarantine.csv"}
    assert all(p.stat().st_mode & 0o777 == 0o600 for p in hospital.iterdir())
    key = derive_key(SECRET, "release-1", "commitment")
    release = (hospital / "release.json").read_bytes()
    assert manifest["commitment"] == hmac.new(key, release, hashlib.sha256).hexdigest()
    times = {p.stat().st_mtime for p in [store, *store.rglob("*")]}
    assert len(times) == 1
    assert not (folder / "out" / "store.partial").exists()

    linkage = table(hospital / "linkage.csv")
    cohort = table(folder / "cohort.csv")
    splits = {r["patient"]: r["split"] for r in table(hospital / "splits.csv")}
    image_key = derive_key(SECRET, "release-1", "image")
    for line in linkage:
        row = cohort[int(line["row"]) - 2]
        assert line["id"] == keyed_id(image_key, row["image"], "")
        assert (line["patient"], line["label"]) == (row["patient"], row["label"])
        assert line["split"] == splits[row["patient"]]
        item = {"image": f"images/{line['id']}.png", "label": ("no", "yes").index(row["label"])}
        assert item in dataset[line["split"]]


@pytest.mark.parametrize("bits", [8, 16])
def test_images_follow_the_equations(make_cohort: Callable[..., Path], bits: int) -> None:
    folder = make_cohort(10)
    store = hide(folder, alpha=0.2, beta=0.7, bit_depth=bits)
    release = json.loads((folder / "hospital" / "release.json").read_text())
    digests = {hashlib.sha256(p.read_bytes()).hexdigest(): p for p in (folder / "hosts").iterdir()}
    host = np.asarray(Image.open(digests[release["host_sha256"]])) / 255
    shares = []
    for line in table(folder / "hospital" / "linkage.csv"):
        rows = table(folder / "cohort.csv")
        plain = np.asarray(Image.open(folder / rows[int(line["row"]) - 2]["image"])) / 255
        expected = reference(plain, host, 0.2, 0.7)
        shares.append(((expected < 0) | (expected > 1)).mean())
        written = np.asarray(Image.open(store / "images" / f"{line['id']}.png"))
        assert np.abs(written - np.clip(expected, 0, 1) * (2**bits - 1)).max() <= 0.5 + 2**bits * 1e-6
    assert release["clipped_share"]["mean"] == pytest.approx(np.mean(shares), abs=1e-4)
    assert release["clipped_share"]["max"] == pytest.approx(np.max(shares), abs=1e-4)
    assert release["phase_check"]["lowest_coherence"] > 0.8


def test_nothing_of_the_patient_reaches_the_store(
    make_cohort: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    folder = make_cohort()
    store = hide(folder, disclose_patients=True)
    everything = b"\0".join(name.encode() + content for name, content in contents(store).items())
    printed = "".join(capfd.readouterr()).encode()
    for marker in (b"Schmidt", b"SCHMIDT", b"release-1", SECRET, str(folder / "images").encode()):
        assert marker not in everything
        assert marker not in printed
    numbers = json.loads((store / "manifest.json").read_text())
    assert "alpha" not in json.dumps(numbers)


def test_patients_are_disclosed_and_labels_held_out_only_when_asked(make_cohort: Callable[..., Path]) -> None:
    folder = make_cohort()
    store = hide(folder, disclose_patients=True, hold_out_labels=True)
    dataset = json.loads((store / "dataset.json").read_text())
    assert all("label" not in item for item in dataset["test"])
    assert all("label" in item for item in dataset["training"] + dataset["validation"])
    patient_key = derive_key(SECRET, "release-1", "patient")
    linkage = {r["id"]: r for r in table(folder / "hospital" / "linkage.csv")}
    for item in dataset["training"] + dataset["test"]:
        line = linkage[item["image"][7:39]]
        assert item["patient"] == keyed_id(patient_key, line["patient"])
        assert line["label"]


def test_another_release_has_other_ids_and_the_same_splits(make_cohort: Callable[..., Path]) -> None:
    folder = make_cohort(20)
    first = hide(folder, disclose_patients=True)
    later = {"hospital_dir": str(folder / "hospital2"), "store_dir": str(folder / "out" / "second"), "seed": 5}
    splits = str(folder / "hospital" / "splits.csv")
    second = hide(folder, release_id="release-2", previous_splits=splits, disclose_patients=True, **later)
    assert Path(splits).read_bytes() == (folder / "hospital2" / "splits.csv").read_bytes()
    names = [{p.name for p in (store / "images").iterdir()} for store in (first, second)]
    assert len(names[0]) == 40
    assert not names[0] & names[1]
    patients = [
        {i["patient"] for i in json.loads((s / "dataset.json").read_text())["training"]} for s in (first, second)
    ]
    assert not patients[0] & patients[1]


def test_given_splits_are_taken(make_cohort: Callable[..., Path]) -> None:
    names = ("training", "validation", "test")
    folder = make_cohort(columns={"split": lambda patient, _: names[patient % 3]})
    hide(folder)
    for line in table(folder / "hospital" / "splits.csv"):
        assert line["split"] == names[int(line["patient"].split()[-1]) % 3]


def interrupt(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    original, done = Release.add, []

    def add(self: Release, *args: Any) -> None:
        if len(done) == after:
            raise KeyboardInterrupt
        done.append(1)
        original(self, *args)

    monkeypatch.setattr(Release, "add", add)


@pytest.mark.parametrize("workers", [0, 2])
def test_interrupted_run_ends_in_the_same_bytes(
    make_cohort: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    folder = make_cohort()
    whole = {"hospital_dir": str(folder / "whole"), "store_dir": str(folder / "whole-store")}
    hide(folder, hide_batch_size=1, **whole)
    for after in (3, 6):
        interrupt(monkeypatch, after)
        with pytest.raises(KeyboardInterrupt):
            hide(folder, num_workers=workers)
        monkeypatch.undo()
        assert not (folder / "out" / "store").exists()
    damaged = next((folder / "out" / "store.partial" / "images").iterdir())
    damaged.write_bytes(b"half")
    store = hide(folder, num_workers=workers)
    assert contents(store) == contents(folder / "whole-store")
    assert contents(folder / "hospital") == contents(folder / "whole")


def test_unfinished_run_goes_on_only_with_the_same_recipe(
    make_cohort: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_cohort()
    interrupt(monkeypatch, 3)
    with pytest.raises(KeyboardInterrupt):
        hide(folder)
    monkeypatch.undo()
    assert "unfinished run with another recipe" in refused(folder, alpha=0.2)
    assert "unfinished run with another host" in refused(folder, host="0.png") + refused(folder, host="1.png")


def test_rerun_recognises_its_own_store_only(
    make_cohort: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_cohort()
    store = hide(folder)
    before = contents(store)
    hide(folder)
    assert "published already; nothing was done" in capsys.readouterr().out
    assert contents(store) == before
    assert "holds another release" in refused(folder, release_id="release-2")
    assert "holds this release with another alpha and beta" in refused(folder, alpha=0.2, beta=0.4)
    other_host = json.loads((folder / "hospital" / "release.json").read_text())["host_sha256"]
    for name in ("0.png", "1.png", "2.png"):
        if hashlib.sha256((folder / "hosts" / name).read_bytes()).hexdigest() != other_host:
            assert "with another host_sha256" in refused(folder, host=name)
    other = {"store_dir": str(folder / "out" / "other")}
    assert "holds the release.json of another store" in refused(folder, **other)


def test_dry_run_says_all_and_writes_nothing(
    make_cohort: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_cohort()
    (folder / "images" / "SCHMIDT-3-1.png").unlink()
    (folder / "images" / "SCHMIDT-5-0.png").write_text("no image")
    before = sorted(folder.rglob("*"))
    hide(folder, dry_run="true")
    said = capsys.readouterr().out
    assert "24 of 24 rows were hidden in memory" in said
    assert "images    22 (training" in said
    assert "patients  12, classes no, yes" in said
    assert "excluded  2 rows: 9, 12" in said
    assert "Row 12 of the cohort: its image cannot be read" in said
    assert "disk      about" in said
    assert "time      about" in said
    assert sorted(folder.rglob("*")) == before


def test_bad_rows_stop_the_run_or_are_set_aside(make_cohort: Callable[..., Path]) -> None:
    folder = make_cohort()
    broken = folder / "images" / "SCHMIDT-5-0.png"
    good = broken.read_bytes()
    broken.write_text("no image")
    message = refused(folder, num_workers=2)
    assert message.startswith("Row 12 of the cohort: its image cannot be read")
    assert "What is done is kept: correct the row and run the same command again" in message
    assert "SCHMIDT" not in message
    broken.write_bytes(good)
    assert len(contents(hide(folder))) == 26
    broken.write_text("no image")
    aside = {"hospital_dir": str(folder / "h2"), "store_dir": str(folder / "s2"), "on_bad_row": "quarantine"}
    store = hide(folder, **aside)
    assert len(contents(store)) == 25
    assert (folder / "h2" / "quarantine.csv").read_text().splitlines()[1].startswith('12,"Row 12 of the cohort')
    assert json.loads((folder / "h2" / "release.json").read_text())["quarantined"] == 1


def test_a_host_from_the_cohort_is_refused(make_cohort: Callable[..., Path]) -> None:
    folder = make_cohort()
    picture = Image.open(folder / "images" / "SCHMIDT-4-1.png")
    picture.point(lambda v: min(255, v + 3)).save(folder / "hosts" / "extra.png")
    message = refused(folder)
    assert message.startswith("Row 11 of the cohort nearly equals a host (correlation ")
    assert not (folder / "out" / "store").exists()


def test_the_identity_never_publishes(make_cohort: Callable[..., Path]) -> None:
    folder = make_cohort()
    message = refused(folder, network_def={"_target_": "torch.nn.Identity"})
    assert "failed the phase check" in message
    assert not (folder / "out" / "store").exists()
    assert not (folder / "out" / "store.partial" / "manifest.json").exists()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"alpha": 0.6}, "alpha must be a number in"),
        ({"beta": float("nan")}, "beta must be a number in"),
        ({"image_size": [4, 4]}, "image_size=.*lengths"),
        ({"release_id": "a/b"}, "release_id='a/b'"),
        ({"secret_file": None}, "No secret"),
        ({"host": "9.png"}, "host '9.png' is not in hosts_dir"),
        ({"hosts_dir": "nowhere"}, "holds no images"),
        ({"previous_splits": "nowhere.csv"}, "is not a file"),
    ],
)
def test_bad_ids_are_refused_before_an_image_is_read(
    make_cohort: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, overrides: dict[str, Any], message: str
) -> None:
    monkeypatch.delenv("FESF_SECRET", raising=False)
    folder = make_cohort(3)
    for image in (folder / "images").iterdir():
        image.unlink()
    assert re.search(message, refused(folder, **overrides))
    assert not (folder / "hospital").exists()


@pytest.mark.parametrize("preset", ["mlflow", str(CONFIG.with_name("mlflow.json"))])
def test_tracking_is_refused(make_cohort: Callable[..., Path], preset: str) -> None:
    assert "run it without --tracking" in refused(make_cohort(), tracking=preset)


def test_the_page_names_every_id() -> None:
    config = json.loads(CONFIG.read_text())
    page = (CONFIG.parents[2] / "docs" / "hide.md").read_text()
    knobs = list(config)[list(config).index("cohort") : list(config).index("save_execute_config")]
    assert [knob for knob in knobs if f"`{knob}`" not in page] == []


def test_hospital_folder_inside_the_store_is_refused(make_cohort: Callable[..., Path]) -> None:
    folder = make_cohort(3)
    inside = str(folder / "out" / "store" / "hospital")
    assert "lies inside store_dir" in refused(folder, hospital_dir=inside)


def test_volumes_become_nifti_without_scanner_geometry(make_cohort: Callable[..., Path]) -> None:
    folder = make_cohort(3)
    rng = np.random.default_rng(0)
    affine = np.array([[-1.25, 0.1, 0, 90.7], [0.1, 1.25, 0, -120.3], [0, 0, 2.5, 33.1], [0, 0, 0, 1]])
    rows = ["image,label,patient"]
    for number in range(10):
        nib.save(
            nib.Nifti1Image(rng.integers(0, 200, (16, 16, 12)).astype(np.uint8), affine), folder / f"{number}.nii.gz"
        )
        rows.append(f"{number}.nii.gz,{number % 2},P{number}")
    (folder / "cohort.csv").write_text("\n".join(rows) + "\n")
    hosts = folder / "hosts3d"
    hosts.mkdir()
    nib.save(nib.Nifti1Image(rng.integers(0, 200, (16, 16, 12)).astype(np.uint8), affine), hosts / "h.nii.gz")
    store = hide(folder, image_size=[16, 16, 12], hosts_dir=str(hosts))
    files = sorted((store / "images").iterdir())
    assert len(files) == 10
    for file in files:
        volume = nib.load(file)
        assert volume.shape == (16, 16, 12)
        np.testing.assert_allclose(volume.affine, np.diag([1.3, 1.3, 2.5, 1.0]))


def test_files_are_not_left_in_the_working_folder(
    make_cohort: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_cohort()
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    hide(folder)
    assert os.listdir(tmp_path / "cwd") == []


def test_secret_can_come_from_the_environment(
    make_cohort: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_cohort()
    monkeypatch.setenv("FESF_SECRET", SECRET.decode())
    assert load_secret() == SECRET
    store = hide(folder, secret_file=None)
    hospital2 = {"hospital_dir": str(folder / "h2"), "store_dir": str(folder / "s2")}
    assert contents(hide(folder, **hospital2)) == contents(store)


def test_add_refuses_what_fails_the_phase_check(make_cohort: Callable[..., Path]) -> None:
    from fesf.scripts.data.phase import PhaseCheck
    from fesf.scripts.data.recipe import Recipe

    folder = make_cohort()
    recipe = Recipe("r", image_size=[24, 24])
    release = Release(recipe, folder / "cohort.csv", folder / "s", folder / "h", folder / "secret")
    with pytest.raises(CohortError, match=r"Row \d+ of the cohort: .*coherence with the host 0.500, at least 0.7"):
        release.add(release.pending[0], b"", 0.0, PhaseCheck(0.5, 0.0))
    with pytest.raises(CohortError, match=r"with the plaintext 0.400, at most 0.12"):
        release.add(release.pending[0], b"", 0.0, PhaseCheck(0.9, 0.4))
