"""Names in the pixels are told apart where the hospital knows what is written, and not measured where it does not."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace

import numpy as np
import pytest

from fesf.scripts.audit.attack import run_attack
from fesf.scripts.audit.burned_in_text import BurnedInText, standing_out
from fesf.scripts.audit.evidence import read_scene
from fesf.scripts.audit.run import measure

from .test_text_dictionary import CANDIDATES, SIZE, WRITTEN, scene

ATTACK = BurnedInText(decoys=40, fonts=("mono", "sans"), sizes=(SIZE - 2, SIZE))


def known(write: bool = True):
    """The scene of the dictionary attack, as a cohort with a column text gives it."""
    made = scene(write)
    texts = tuple(sorted(CANDIDATES[index] for index in WRITTEN.values()))
    written = np.array([texts.index(CANDIDATES[WRITTEN[int(patient)]]) for patient in made.victims.patients])
    return replace(made, victims=replace(made.victims, written=written), texts=texts)


def test_the_name_is_found_without_knowing_font_and_size():
    result = run_attack(ATTACK, known())
    assert result.faults() == []
    store = result.summary()["store"]
    assert store["value"] >= 0.9
    assert store["chance"] == 1 / 60
    assert result.scores["store"].details["size"] == SIZE
    assert ATTACK.fit(known())[0].font == "sans"


def test_a_name_that_is_not_there_is_not_found():
    made = known(write=False)
    assert ATTACK.score(ATTACK.fit(made), made).values.mean() <= 0.1


def test_only_images_with_text_are_attacked():
    made = known()
    written = made.victims.written.copy()
    written[:15] = -1
    some = replace(made, victims=replace(made.victims, written=written))
    assert ATTACK.score(ATTACK.fit(some), some).patients.tolist() == made.victims.patients[15:].tolist()
    none = replace(made, victims=replace(made.victims, written=np.full(20, -1)))
    verdict = measure(BurnedInText(decoys=5, fonts=("sans",), sizes=(SIZE,)), none, 0)["verdict"]
    assert verdict == "cannot be measured: No test patient's image has a text in the cohort's column text."


def test_without_known_text_nothing_is_measured(make_scene):
    assert measure(BurnedInText(), make_scene(), 0)["verdict"].startswith(
        "cannot be measured: The cohort has no column text"
    )


def test_what_stands_out():
    assert standing_out(np.array([[0.0, 0.0, 0.0, 3.0], [1.0, 1.0, 1.0, 1.0]])) == pytest.approx(np.sqrt(3) / 2)


def test_the_column_is_read_and_is_no_attribute(finished, tmp_path):
    folder, _, _ = finished
    rows = list(csv.DictReader((folder.demo / "cohort.csv").read_text().splitlines()))
    for number, row in enumerate(rows):
        row["text"] = f"NAME {number % 2}" if number % 3 else ""
    demo = shutil.copytree(folder.demo, tmp_path / "demo")
    with open(demo / "cohort.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    made = read_scene(demo / "cohort.csv", folder.store, folder.hospital, demo / "hosts")
    assert made.texts == ("NAME 0", "NAME 1")
    links = list(csv.DictReader((folder.hospital / "linkage.csv").read_text().splitlines()))
    cells = [rows[int(link["row"]) - 2]["text"] for link in links if link["split"] == "test"]
    assert [made.texts[index] if index >= 0 else "" for index in made.victims.written] == cells
    assert not any("NAME" in name or name.startswith("text") for name in made.victims.attributes)
