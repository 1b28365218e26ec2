"""The whole pipeline: its real commands run in this process (see conftest)."""

from __future__ import annotations

import json
import re
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from fesf.scripts import pipeline
from fesf.scripts.data.comparison import read_scores
from fesf.scripts.data.plan import STEPS, main_steps
from fesf.scripts.data.run_folder import RunFolder
from fesf.scripts.data.steps import StepError

from .conftest import COMMON, InProcessRunner

Finished = tuple[RunFolder, str, list[str]]


def test_runs_every_step_in_an_order_that_works(finished: Finished) -> None:
    _, _, names = finished
    assert sorted(names) == sorted(STEPS)
    assert names.index("hide") < names.index("train_plaintext") < names.index("evaluate_plaintext")
    assert names.index("infer") < names.index("link") < names.index("report")


def test_closing_text_holds_the_table_the_report_and_the_seconds(finished: Finished) -> None:
    folder, text, _ = finished
    scores = read_scores(folder.linked, ["normal", "opacity"])
    auc = roc_auc_score(scores.labels, scores.probabilities[:, 1])
    line = next(line for line in text.splitlines() if line.startswith("auc"))
    assert f"{auc:.3f} [" in line
    assert line.rstrip().endswith("0.500")  # the majority class knows nothing
    assert str(folder.report) in text
    assert folder.report.is_file()
    assert "SYNTHETIC demo cohort" in text
    assert re.search(r"Install +12\.0 s", text)
    for title in ("Hide the cohort", "Train on surrogates", "Train on plaintexts", "Link predictions with patients"):
        assert re.search(rf"{title} +\d+\.\d s", text), title


def test_both_classifiers_are_judged_on_the_same_images(finished: Finished) -> None:
    folder, _, _ = finished
    names = ["normal", "opacity"]
    surrogate = read_scores(folder.linked, names)
    plaintext = read_scores(folder.plaintext / "eval" / "predictions_test.csv", names)
    assert np.array_equal(np.bincount(surrogate.labels), np.bincount(plaintext.labels))


def test_the_analysts_evaluation_and_link_agree(finished: Finished) -> None:
    folder, _, _ = finished
    analyst = json.loads((folder.surrogate / "eval" / "metrics.json").read_text())
    hospital = json.loads(folder.linked.with_suffix(".metrics.json").read_text())["splits"]["test"]["images"]
    assert hospital["n"] == analyst["n_images"]
    assert hospital["confusion_matrix"] == analyst["confusion_matrix"]
    for name, metric in analyst["metrics"].items():
        assert hospital["metrics"][name]["value"] == pytest.approx(metric["value"], abs=1e-6), name


def test_what_stays_is_private_and_what_leaves_names_no_patient(finished: Finished) -> None:
    folder, _, _ = finished
    for place in (folder.hospital, folder.report.parent, folder.root / "logs", folder.root / "steps"):
        assert stat.S_IMODE(place.stat().st_mode) == 0o700, place
    for file in (folder.linked, folder.report, folder.settings_file):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    for leaving in (folder.store, folder.surrogate):
        for path in leaving.rglob("*"):
            if path.is_file():
                content = path.read_bytes()
                assert b"P00001" not in content, path
                assert str(folder.demo).encode() not in content, path


def test_a_rerun_skips_what_is_done_and_another_option_does_not(
    finished: Finished, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, text, _ = finished
    monkeypatch.setattr(pipeline, "Runner", InProcessRunner)
    InProcessRunner.started = []
    assert pipeline.main(["--out", str(folder.root), *COMMON, "--install-seconds", "12"]) == 0
    captured = capsys.readouterr()
    assert InProcessRunner.started == []
    assert captured.err.count("done before") == len(STEPS)
    assert captured.out.splitlines()[:12] == text.splitlines()[:12]
    (folder.root / "steps" / "link.json").unlink()
    assert pipeline.main(["--out", str(folder.root), *COMMON]) == 0
    assert InProcessRunner.started == ["link"]


def test_commands_are_what_a_user_would_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(pipeline.__file__).parents[1])
    arguments = ["--out", "run", "--cohort", "c.csv", "--hosts", "h", "--secret-file", "s", "--network", "densenet121"]
    plan, _ = pipeline.parse([*arguments, "--image-size", "28", "--beta", "0.4", "--epochs", "3", "--jobs", "1"])
    steps = {step.name: step for step in main_steps(plan, 3)}
    hide = steps["hide"].text
    assert (
        "python -m monai.bundle run hiding --config_file bundle/configs/hide.json --cohort c.csv --hosts_dir h" in hide
    )
    assert "--secret_file s" in hide
    assert "--image_size '[28, 28]'" in hide
    assert "--beta 0.4" in hide
    assert sys.executable not in hide
    plaintext = steps["train_plaintext"].text
    assert (
        "\"['bundle/configs/train.json','bundle/configs/plaintext.json','bundle/configs/networks/densenet121.json']\""
        in plaintext
    )
    assert "--splits run/hospital/splits.csv" in plaintext
    assert "--num_classes 3 --spatial_dims 2" in plaintext
    assert "--epochs 3" in plaintext
    assert "--epochs" not in steps["evaluate_plaintext"].text
    assert "--cohort" not in steps["train_surrogate"].text
    assert "'bundle/configs/inference.json','bundle/configs/networks/densenet121.json'" in steps["infer"].text
    for step in steps.values():
        assert set(step.after) <= set(steps), step.name


def test_held_out_labels_are_judged_in_the_hospital_only(tmp_path: Path) -> None:
    arguments = ["--cohort", "c.csv", "--hosts", "h", "--secret-file", "s", "--hide-option", "hold_out_labels=true"]
    steps = {step.name: step for step in main_steps(pipeline.parse(arguments)[0], 2)}
    assert "evaluate_surrogate" not in steps
    assert set(steps["report"].after) == {"link", "evaluate_plaintext"}
    assert "--hold_out_labels true" in steps["hide"].text


def test_intensity_range_and_volumes_reach_all_who_read_plaintexts() -> None:
    arguments = ["--cohort", "c.csv", "--hosts", "h", "--secret-file", "s", "--image-size", "32", "32", "16"]
    plan, _ = pipeline.parse([*arguments, "--intensity-range", "0", "4095"])
    steps = {step.name: step.text for step in main_steps(plan, 2)}
    for name in ("hide", "train_plaintext", "evaluate_plaintext"):
        assert "--image_size '[32, 32, 16]' --intensity_range '[0.0, 4095.0]'" in steps[name], name
    assert "intensity_range" not in steps["train_surrogate"]
    assert "--spatial_dims 3" in steps["infer"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cohort", "c.csv"], "cohort and hosts belong together"),
        (["--hosts", "h"], "cohort and hosts belong together"),
        (["--image-size", "32", "32", "32"], "the demo is 2D"),
        (["--hide-option", "beta"], "option 'beta': write name=value"),
        (["--network", "resnet50"], "invalid choice: 'resnet50'"),
    ],
)
def test_refuses(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        pipeline.parse(arguments)
    assert message in capsys.readouterr().err


def test_a_cohort_of_one_class_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cohort.csv").write_text("image,label,patient\na.png,yes,1\n")
    arguments = ["--cohort", str(tmp_path / "cohort.csv"), "--hosts", str(tmp_path), "--out", str(tmp_path / "run")]
    assert pipeline.main(arguments) == 1
    captured = capsys.readouterr()
    assert "The cohort has 1 class(es) (yes)" in captured.err
    secret = tmp_path / "run" / "hospital" / "secret"
    assert str(secret) in captured.out  # the user is told of the secret that was made
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert re.fullmatch(r"[0-9a-f]{64}\n", secret.read_text())
    before = secret.read_text()
    assert pipeline.main(arguments) == 1
    assert secret.read_text() == before  # the same secret on a rerun


def test_refuses_to_run_inside_a_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    assert pipeline.main(["--out", str(tmp_path / "run")]) == 1
    assert "lies in a surrogate store" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [(StepError("Hide failed: boom"), 1, "Hide failed: boom"), (KeyboardInterrupt(), 130, "goes on from")],
)
def test_exit_codes(
    error: BaseException, code: int, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> str:
        raise error

    monkeypatch.setattr(pipeline, "run", fail)
    assert pipeline.main([]) == code
    assert text in capsys.readouterr().err
