from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from fesf.scripts.data.comparison import comparison, format_table, read_scores
from fesf.scripts.data.run_folder import RunFolder
from fesf.scripts.engines.metrics import METRICS

KINDS = ["plaintext", "ihm", "iqem", "surrogate", "majority"]


def metric(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.1, "high": value + 0.1}


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path)
    (run.plaintext / "eval").mkdir(parents=True)
    plaintext = {
        "class_names": ["no", "yes"],
        "metrics": {name: metric(0.9) for name in METRICS},
        "majority_class": dict.fromkeys(METRICS, 0.5) | {"f1": None},
        "confusion_matrix": [[9, 1], [1, 9]],
    }
    (run.plaintext / "eval" / "metrics.json").write_text(json.dumps(plaintext))
    images = {"n": 20, "metrics": {name: metric(0.7) for name in METRICS}, "confusion_matrix": [[7, 3], [3, 7]]}
    linked = {"splits": {"test": {"n_images": 20, "n_patients": 8, "n_mixed": 0, "images": images}}}
    run.linked.with_suffix(".metrics.json").write_text(json.dumps(linked))
    for arm, value in (("ihm", 0.75), ("iqem", 0.625)):
        (run.ablation(arm) / "eval").mkdir(parents=True)
        ablation = {"metrics": {name: metric(value) for name in METRICS}, "majority_class": None}
        (run.ablation(arm) / "eval" / "metrics.json").write_text(json.dumps(ablation))
    run.save_settings({"kinds": KINDS})
    return run


def test_every_arm_and_the_majority_stand_in_their_columns(folder: RunFolder) -> None:
    table = comparison(folder)
    assert (table["n_images"], table["n_patients"], table["class_names"]) == (20, 8, ["no", "yes"])
    assert table["kinds"] == KINDS
    assert table["plaintext"]["auc"]["value"] == 0.9
    assert (table["ihm"]["auc"], table["iqem"]["auc"]) == (metric(0.75), metric(0.625))
    assert table["surrogate"]["auc"]["value"] == 0.7
    assert table["majority"]["auc"] == {"value": 0.5, "low": None, "high": None}
    assert table["plaintext_confusion"] == [[9, 1], [1, 9]]
    assert table["surrogate_confusion"] == [[7, 3], [3, 7]]
    lines = format_table(table).splitlines()
    assert lines[0] == "Test: 20 images of 8 patients; intervals: 95 % bootstrap over patients."
    assert re.split("  +", lines[1].strip()) == ["plaintext", "IHM", "IHM + IQEM", "surrogate", "majority class"]
    cells = ["0.900 [0.800, 1.000]", "0.750 [0.650, 0.850]", "0.625 [0.525, 0.725]", "0.700 [0.600, 0.800]"]
    for name, title, last in (("auc", "auc", "0.500"), ("f1", "f1", "-"), ("ece", "ece", "0.500")):
        line = next(line for line in lines if line.startswith(title))
        assert re.split("  +", line) == [name, *cells, last]
        heads = ("plaintext", "IHM", "IHM +", "surrogate", "majority")  # each cell under its head
        assert [line.index(cell) for cell in cells] == [lines[1].index(head) for head in heads[:4]]
        assert line[lines[1].index("majority") :] == last
    assert len(lines) == 2 + len(METRICS)


def test_a_run_without_ablations_has_three_columns(folder: RunFolder) -> None:
    shutil.rmtree(folder.hospital / "ablation")
    with pytest.raises(FileNotFoundError, match="ihm"):
        comparison(folder)
    folder.save_settings({"kinds": ["plaintext", "surrogate", "majority"]})
    table = comparison(folder)
    assert {"ihm", "iqem"}.isdisjoint(table)
    assert re.split("  +", format_table(table).splitlines()[1].strip()) == ["plaintext", "surrogate", "majority class"]


def test_without_labelled_test_images_there_is_nothing_to_compare(folder: RunFolder) -> None:
    folder.linked.with_suffix(".metrics.json").write_text(json.dumps({"splits": {}}))
    with pytest.raises(ValueError, match="No test image has a label"):
        comparison(folder)


def test_scores_are_the_labelled_test_rows(tmp_path: Path) -> None:
    table = tmp_path / "linked.csv"
    table.write_text(
        "id,label,split,p_no,p_yes,decision\n"
        "1,yes,test,0.2,0.8,yes\n2,no,training,0.9,0.1,no\n3,,test,0.5,0.5,no\n4,no,test,0.4,0.6,yes\n"
    )
    scores = read_scores(table, ["no", "yes"])
    assert scores.labels.tolist() == [1, 0]
    assert scores.decisions.tolist() == [1, 1]
    assert np.array_equal(scores.probabilities, [[0.2, 0.8], [0.4, 0.6]])
    table.write_text("id,label,p_no,p_yes,decision\n1,,0.2,0.8,yes\n")
    with pytest.raises(ValueError, match=r"linked\.csv has no labelled test image"):
        read_scores(table, ["no", "yes"])
