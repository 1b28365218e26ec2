"""The demo cohort: files, columns, counts, determinism, hosts apart, and a task that needs more than brightness."""

from __future__ import annotations

import csv
import re
import stat
import subprocess
import sys
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fesf.scripts import make_cohort
from fesf.scripts.data.demo_export import UNFIT
from fesf.scripts.data.keys import DEMO_SECRET_PREFIX, is_demo_secret, load_secret
from fesf.scripts.make_demo import CLASS_NAMES, COLUMNS, draw_course, main, make_demo, make_patient

PATIENTS, HOSTS = 240, 48


def read_rows(cohort: Path) -> list[dict[str, str]]:
    with cohort.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def read_image(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.mode == "L"
        assert not image.info  # no metadata chunk
        return np.asarray(image)


def file_bytes(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default cohort, as a user gets it."""
    return make_demo(tmp_path_factory.mktemp("demo") / "demo").parent


@pytest.fixture(scope="module")
def rows(demo: Path) -> list[dict[str, str]]:
    return read_rows(demo / "cohort.csv")


@pytest.fixture(scope="module")
def images(demo: Path, rows: list[dict[str, str]]) -> np.ndarray:
    return np.stack([read_image(demo / row["image"]) for row in rows])


def test_the_table_names_every_image_once(demo: Path, rows: list[dict[str, str]], images: np.ndarray) -> None:
    assert (demo / "cohort.csv").read_text().splitlines()[0] == ",".join(COLUMNS)
    assert COLUMNS[:3] == ("image", "label", "patient")
    assert sorted(row["image"] for row in rows) == [f"images/{p.name}" for p in sorted((demo / "images").iterdir())]
    assert all(re.fullmatch(r"images/\d{6}\.png", row["image"]) for row in rows)
    assert images.shape == (len(rows), 64, 64)
    assert images.dtype == np.uint8
    assert len(np.unique(images, axis=0)) == len(rows)


def test_patients_have_two_to_four_images_one_sex_one_site_and_studies_of_one_label(rows: list[dict[str, str]]) -> None:
    counts = Counter(row["patient"] for row in rows)
    assert len(counts) == PATIENTS
    assert set(counts.values()) == {2, 3, 4}
    by_patient, by_study = defaultdict(set), defaultdict(set)
    labels_of = defaultdict(set)
    for row in rows:
        by_patient[row["patient"]].add((row["sex"], row["site"]))
        by_study[row["study"]].add((row["label"], row["patient"]))
        labels_of[row["patient"]].add(row["label"])
    assert all(len(found) == 1 for found in by_patient.values())
    assert all(len(found) == 1 for found in by_study.values())
    assert {row["sex"] for row in rows} == {"F", "M"}
    assert {row["site"] for row in rows} == {"A", "B", "C"}
    kinds = Counter(tuple(sorted(found)) for found in labels_of.values())
    assert set(kinds) == {("normal",), ("opacity",), ("normal", "opacity")}
    assert min(kinds.values()) > 20
    share = np.mean([row["label"] == "opacity" for row in rows])
    assert 0.3 < share < 0.5


def test_neither_order_nor_sex_nor_site_tells_the_label(rows: list[dict[str, str]]) -> None:
    label = np.array([row["label"] == "opacity" for row in rows])
    order = np.arange(len(rows))
    assert abs(roc_auc_score(label, order) - 0.5) < 0.06
    for column in ("sex", "site"):
        values = np.array([row[column] for row in rows])
        rates = [label[values == value].mean() for value in np.unique(values)]
        assert max(rates) - min(rates) < 0.2
    same = np.mean([a["patient"] == b["patient"] for a, b in pairwise(rows)])
    assert same < 0.02  # neighbours in the table belong to one patient by chance only


def test_a_course_is_an_unbroken_run_of_studies() -> None:
    for seed in range(200):
        course = draw_course(np.random.default_rng(seed))
        assert 2 <= len(course) <= 4
        studies = [study for study, _ in course]
        assert studies[0] == 0
        assert all(step in (0, 1) for step in np.diff(studies))
        sick = {study for study, severity in course if severity}
        assert not sick or sick == set(range(min(sick), max(sick) + 1))
        assert len(set(course)) == len(set(studies))  # films of one study agree


def test_hosts_are_other_people_without_a_finding(demo: Path, images: np.ndarray) -> None:
    hosts = np.stack([read_image(path) for path in sorted((demo / "hosts").iterdir())])
    assert hosts.shape == (HOSTS, 64, 64)

    def normed(stack: np.ndarray) -> np.ndarray:
        flat = stack.reshape(len(stack), -1).astype(np.float64)
        flat -= flat.mean(axis=1, keepdims=True)
        return flat / np.linalg.norm(flat, axis=1, keepdims=True)

    likeness = normed(hosts) @ normed(images).T
    assert likeness.max() < 0.995
    assert (normed(images[:1]) @ normed(images).T).max() > 0.999  # the measure would see a copy


def test_hosts_do_not_depend_on_the_cohort(demo: Path, tmp_path: Path) -> None:
    other = make_demo(tmp_path / "d", patients=2, hosts=3).parent
    for name in ("0001.png", "0003.png"):
        assert (other / "hosts" / name).read_bytes() == (demo / "hosts" / name).read_bytes()


def test_same_seed_same_bytes_other_seed_other_bytes(tmp_path: Path) -> None:
    first = file_bytes(make_demo(tmp_path / "a", patients=4, hosts=2, seed=7).parent)
    again = file_bytes(make_demo(tmp_path / "b", patients=4, hosts=2, seed=7).parent)
    other = file_bytes(make_demo(tmp_path / "c", patients=4, hosts=2, seed=8).parent)
    assert first == again
    pictures = {data for name, data in first.items() if name.endswith(".png")}
    assert len(pictures) == sum(name.endswith(".png") for name in first)
    assert not pictures & {data for name, data in other.items() if name.endswith(".png")}
    assert first["secret"] != other["secret"]


def test_a_patient_follows_from_seed_and_number_alone(demo: Path, rows: list[dict[str, str]]) -> None:
    films = make_patient(0, 41, 64)
    mine = [row for row in rows if row["patient"] == "P00042"]
    assert Counter((f.label, f.study, f.sex, f.site) for f in films) == Counter(
        (r["label"], r["study"], r["sex"], r["site"]) for r in mine
    )
    stored = {read_image(demo / row["image"]).tobytes() for row in mine}
    assert {film.pixels.tobytes() for film in films} == stored


def test_the_pages_say_that_all_is_synthetic_and_the_secret_that_it_is_a_demo_s(demo: Path) -> None:
    readme = (demo / "README.txt").read_text()
    assert readme.startswith("FESF demo cohort: SYNTHETIC images, no real patient\n")
    assert "No picture shows a person" in readme
    secret = load_secret(demo / "secret")
    assert len(secret) >= 32
    assert secret.startswith(DEMO_SECRET_PREFIX.encode())
    assert is_demo_secret(secret)
    assert stat.S_IMODE((demo / "secret").stat().st_mode) == 0o600
    assert sorted(p.name for p in demo.iterdir()) == ["README.txt", "cohort.csv", "hosts", "images", "secret"]


def baseline_features(stack: np.ndarray) -> np.ndarray:
    """Mean, standard deviation and a 16-bin histogram of every image."""
    histograms = [np.histogram(image, bins=16, range=(0, 256))[0] / image.size for image in stack]
    return np.column_stack([stack.mean(axis=(1, 2)), stack.std(axis=(1, 2)), histograms])


def baseline_auc(stack: np.ndarray, label: np.ndarray, patient: np.ndarray) -> float:
    """AUC of logistic regression on :func:`baseline_features`, five patient-disjoint folds, all predictions pooled."""
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    proba = cross_val_predict(model, baseline_features(stack), label, groups=patient, cv=folds, method="predict_proba")
    return float(roc_auc_score(label, proba[:, 1]))


def test_brightness_alone_does_not_solve_the_task(rows: list[dict[str, str]], images: np.ndarray) -> None:
    label = np.array([CLASS_NAMES.index(row["label"]) for row in rows])
    patient = np.array([row["patient"] for row in rows])
    assert baseline_auc(images, label, patient) <= 0.70
    easy = images.copy()
    easy[label == 1, 20:44, 20:44] = 255  # the control: the same test fails where the label shows in the grey levels
    assert baseline_auc(easy, label, patient) > 0.95


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("patients", 1, "patients 1 is outside 2 to 99999"),
        ("size", 16, "size 16 is outside 32 to 1024"),
        ("size", 2000, "size 2000 is outside 32 to 1024"),
        ("seed", -1, "seed -1 is outside 0 to 4294967295"),
        ("hosts", 0, "hosts 0 is outside 1 to 9999"),
    ],
)
def test_bad_values_are_refused_before_anything_is_written(
    tmp_path: Path, option: str, value: int, message: str
) -> None:
    with pytest.raises(ValueError, match=f"{message}: choose a whole number"):
        make_demo(tmp_path / "d", **{option: value})
    assert not list(tmp_path.iterdir())


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    for overwrite in (False, True):
        with pytest.raises(ValueError, match="holds other files: name a folder that is missing or empty"):
            make_demo(tmp_path / "mine", patients=2, hosts=1, overwrite=overwrite)
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["notes.txt"]
    with pytest.raises(ValueError, match="is a file: name a folder"):
        make_demo(tmp_path / "mine" / "notes.txt", patients=2, hosts=1)


def test_an_earlier_demo_is_replaced_only_when_asked(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()  # an empty folder is fine
    make_demo(tmp_path / "d", patients=3, hosts=2)
    with pytest.raises(ValueError, match="already holds a demo cohort: name another folder, or say --overwrite"):
        make_demo(tmp_path / "d", patients=2, hosts=1)
    cohort = make_demo(tmp_path / "d", patients=2, hosts=1, overwrite=True)
    assert {row["patient"] for row in read_rows(cohort)} == {"P00001", "P00002"}
    assert len(list((tmp_path / "d" / "hosts").iterdir())) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["d"]  # nothing is left over


def test_an_interrupted_run_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fesf.scripts.make_demo.make_host", fail)
    with pytest.raises(KeyboardInterrupt):
        make_demo(tmp_path / "d", patients=2, hosts=1)
    assert not list(tmp_path.iterdir())


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--out", str(tmp_path / "d"), "--patients", "2", "--size", "32", "--hosts", "1", "--seed", "3"]
    main(arguments)
    out, err = capsys.readouterr()
    assert "Synthetic demo cohort written" in out
    assert "make_demo: 100%" in err
    assert read_image(tmp_path / "d" / "hosts" / "0001.png").shape == (32, 32)
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--quiet"])
    assert stop.value.code == 2
    assert "already holds a demo cohort" in capsys.readouterr().err
    main([*arguments, "--quiet", "--overwrite"])
    assert capsys.readouterr().err == ""


def test_help_runs_as_a_module() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "fesf.scripts.make_demo", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert "SYNTHETIC" in shown
    assert all(option in shown for option in ("--out", "--patients", "--size", "--seed", "--hosts", "--overwrite"))


def test_the_export_becomes_the_same_cohort_and_what_is_unfit_is_set_aside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--out", str(tmp_path / "demo"), "--patients", "3", "--size", "32", "--hosts", "1", "--export", "--quiet"])
    demo = tmp_path / "demo"
    taken = make_cohort.main(
        [str(demo / "export"), "--labels", str(demo / "labels.csv"), "--out", str(tmp_path / "c.csv")]
    )
    assert taken == 3, capsys.readouterr()
    aside = {row["file"]: row["reason"] for row in read_rows(tmp_path / "quarantine.csv")}
    assert aside == {f"unfit/{name}": reason for name, reason in UNFIT.items()}
    before, after = read_rows(demo / "cohort.csv"), read_rows(tmp_path / "c.csv")
    facts = ("label", "patient", "sex", "site")
    assert Counter(tuple(row[key] for key in facts) for row in before) == Counter(
        tuple(row[key] for key in facts) for row in after
    )
    pixels = {pydicom.dcmread(tmp_path / row["image"]).pixel_array.tobytes() for row in after}
    assert pixels == {read_image(demo / row["image"]).tobytes() for row in before}
    assert len({row["study"] for row in before}) == len({row["study"] for row in after})


def test_the_export_is_the_same_bytes_for_the_same_options(tmp_path: Path) -> None:
    first, again = (make_demo(tmp_path / name, patients=2, size=32, hosts=1, export=True).parent for name in ("a", "b"))
    files = {path.relative_to(first): path.read_bytes() for path in first.rglob("*") if path.is_file()}
    assert files == {path.relative_to(again): path.read_bytes() for path in again.rglob("*") if path.is_file()}
