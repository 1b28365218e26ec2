"""Two hospitals of one set share no patient, host, secret or recipe."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fesf.scripts.data.cohort_table import read_cohort
from fesf.scripts.federated.hospitals import SITES, Choice, Hospital, make_hospitals, strata
from fesf.scripts.federated.simulation import Federation

CHOICES = (Choice(0.1, 0.5), Choice(0.2, 0.8))


def table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_patients_and_hosts_are_divided(make_cohort: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_cohort(
        columns={"split": lambda patient, _: ("training", "test")[patient % 4 == 0], "sex": lambda *_: "F"}
    )
    first, second = make_hospitals(folder / "cohort.csv", folder / "hosts", tmp_path / "two", CHOICES, 0.5, 0)
    assert (first.name, second.name) == SITES
    assert (first.choice, second.choice) == CHOICES
    rows = [table(hospital.cohort) for hospital in (first, second)]
    patients = [{row["patient"] for row in mine} for mine in rows]
    assert not patients[0] & patients[1]
    assert [len(mine) for mine in patients] == [6, 6]
    original = {row["image"]: row for row in table(folder / "cohort.csv")}
    for own, row in ((own, row) for own, mine in zip((first, second), rows, strict=True) for row in mine):
        kept = original.pop(str((own.folder / row["image"]).resolve().relative_to(folder)))
        assert kept | {"image": ""} == row | {"image": ""}  # split and attributes, too
    assert not original
    hosts = [{path.resolve().name for path in hospital.hosts.iterdir()} for hospital in (first, second)]
    assert hosts == [{"0.png"}, {"1.png", "2.png"}]
    (folder / "hosts" / "1.png").unlink()
    (folder / "hosts" / "2.png").unlink()
    with pytest.raises(ValueError, match="each hospital needs a host of its own"):
        make_hospitals(folder / "cohort.csv", folder / "hosts", tmp_path / "again", CHOICES, 0.5, 0)


def test_ids_and_order_are_the_same_wherever_the_images_lie(make_cohort: Callable[..., Path], tmp_path: Path) -> None:
    datasets = []
    for place in ("here", "elsewhere"):
        folder = make_cohort(name=place)
        root = tmp_path / f"work {place}" / "set" / "0"
        own, _ = make_hospitals(folder / "cohort.csv", folder / "hosts", root, CHOICES, 0.5, 0)
        own.hide((24, 24), 0)
        datasets.append((own.store / "dataset.json").read_bytes())
    assert datasets[0] == datasets[1]


def test_strata_are_splits_and_labels(make_cohort: Callable[..., Path]) -> None:
    folder = make_cohort(patients=2, columns={"split": lambda patient, _: "training"})
    found = strata(read_cohort(folder / "cohort.csv"))
    assert found == {"Anna Schmidt 0": ("training", ("no",)), "Anna Schmidt 1": ("training", ("yes",))}


def test_each_hides_by_its_own_recipe_host_and_secret(federation: Federation) -> None:
    releases, secrets, ids = [], [], []
    for own in federation.hospitals:
        releases.append(json.loads((own.folder / "hospital" / "release.json").read_text()))
        secrets.append((own.folder / "secret").read_text())
        ids.append({row["id"] for row in table(own.linkage)})
        assert (own.folder / "secret").stat().st_mode & 0o777 == 0o600
        images = sorted((own.store / "images").iterdir())
        assert {path.stem for path in images} == ids[-1]
        assert len(images) == len(table(own.cohort))
        hosts = {hashlib.sha256(path.read_bytes()).hexdigest() for path in own.hosts.iterdir()}
        assert releases[-1]["host_sha256"] in hosts
    assert [(one["alpha"], one["beta"]) for one in releases] == [(0.1, 0.5), (0.15, 0.75)]
    assert releases[0]["host_sha256"] != releases[1]["host_sha256"]
    assert {one["stage"] for one in releases} == {"synthetic"}  # hidden once: no generator
    assert secrets[0] != secrets[1]
    assert not ids[0] & ids[1]


def test_the_same_patient_at_both_would_look_different(make_cohort: Callable[..., Path], tmp_path: Path) -> None:
    """The control of the above: one image under both recipes and hosts gives two pictures."""
    folder = make_cohort(patients=12)
    pictures = []
    for name, choice in zip(SITES, CHOICES, strict=True):
        own = Hospital(name, tmp_path / name, choice)
        own.hosts.mkdir(parents=True)
        number = SITES.index(name)
        (own.hosts / "host.png").write_bytes((folder / "hosts" / f"{number}.png").read_bytes())
        text = (folder / "cohort.csv").read_text().replace("images/", f"{folder}/images/")
        own.cohort.write_text(text)
        own.hide((24, 24), 0)
        (row,) = (line for line in table(own.linkage) if line["row"] == "2")
        pictures.append(np.asarray(Image.open(own.store / "images" / f"{row['id']}.png")).astype(float))
    assert np.abs(pictures[0] - pictures[1]).mean() > 5
