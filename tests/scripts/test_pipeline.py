"""The whole pipeline: its real commands run in this process (see conftest)."""

from __future__ import annotations

import csv
import json
import re
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from fire.parser import DefaultParseValue
from sklearn.metrics import roc_auc_score

from fesf.scripts import pipeline
from fesf.scripts.data.plan import ABLATIONS, STEPS, Plan, main_steps, parse_value
from fesf.scripts.data.run_folder import RunFolder, configs_folder
from fesf.scripts.data.steps import Step, StepError

from .conftest import COMMON, ENHANCE, InProcessRunner

Finished = tuple[RunFolder, str, list[str]]
ARMS = ("plaintext", "ihm", "iqem", "surrogate")
OWN = ("--cohort", "c.csv", "--hosts", "h", "--secret-file", "s")


def table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def steps_of(*arguments: str, classes: int = 2) -> dict[str, Step]:
    """A plan's steps after the cohort is there, by name."""
    return {step.name: step for step in main_steps(pipeline.parse([*arguments])[0], classes)}


def options_of(step: Step) -> dict[str, str]:
    """A command's options and their values."""
    start = next(number for number, word in enumerate(step.command) if word.startswith("--"))
    words = step.command[start:]
    return dict(zip((name.removeprefix("--") for name in words[::2]), words[1::2], strict=True))


def test_runs_every_step_in_an_order_that_works(finished: Finished) -> None:
    _, _, names = finished
    assert sorted(names) == sorted(STEPS)
    for order in (
        ("make_demo", "split", "enhance", "hide", "train_surrogate", "evaluate_surrogate", "report"),
        ("split", "train_plaintext", "evaluate_plaintext", "report"),
        ("split", "hide_ihm", "train_ihm", "evaluate_ihm", "report"),
        ("enhance", "hide_iqem", "train_iqem", "evaluate_iqem", "report"),
        ("hide", "measure", "report"),
        ("train_surrogate", "infer", "link", "report"),
    ):
        assert [names.index(name) for name in order] == sorted(names.index(name) for name in order)


def test_the_run_keeps_its_kinds(finished: Finished) -> None:
    settings = finished[0].settings()
    assert settings["kinds"] == [*ARMS, "majority"]
    assert settings["steps"] == list(STEPS)
    assert settings["demo"]
    assert settings["image_size"] == [32, 32]


def test_closing_text_holds_every_arms_figures_the_report_and_the_seconds(finished: Finished) -> None:
    folder, text, _ = finished
    lines = text.splitlines()
    position = next(number for number, line in enumerate(lines) if line.startswith("Test: "))
    rows = table(folder.plaintext / "eval" / "predictions_test.csv")
    patients = {row["patient"] for row in rows}
    assert lines[position].startswith(f"Test: {len(rows)} images of {len(patients)} patients;")
    heads = ["plaintext", "IHM", "IHM + IQEM", "surrogate", "majority class"]
    assert re.split(r"  +", lines[position + 1].strip()) == heads
    cells = re.split(r"  +", next(line for line in lines if line.startswith("auc ")).strip())[1:]
    shown = [cell.split(" [")[0] for cell in cells]
    for kind, value in zip(ARMS, shown, strict=False):
        rows = table(folder.evaluated(kind) / "eval" / "predictions_test.csv")
        auc = roc_auc_score([row["label"] == "opacity" for row in rows], [float(row["p_opacity"]) for row in rows])
        assert value == f"{auc:.3f}", kind
    assert shown[4:] == ["0.500"]  # the majority class knows nothing
    assert all(re.fullmatch(r"0\.\d{3} \[0\.\d{3}, [01]\.\d{3}\]", cell) for cell in cells[:4])
    assert str(folder.report) in text
    assert folder.report.is_file()
    assert "SYNTHETIC demo cohort" in text
    assert re.search(r"Install +12\.0 s", text)
    for title in ("Train the generator (IQEM)", "Hide the cohort", "Measure image quality", "Train on ihm images"):
        assert re.search(rf"{re.escape(title)} +\d+\.\d s", text), title


def test_every_arm_splits_the_same_rows_and_is_judged_on_them(finished: Finished) -> None:
    folder, _, _ = finished
    places = {"surrogate": folder.hospital} | {arm: folder.ablation(arm) / "hospital" for arm in ABLATIONS}
    linkages = {arm: table(place / "linkage.csv") for arm, place in places.items()}
    splits = {
        arm: {row["row"]: (row["patient"], row["label"], row["split"]) for row in rows}
        for arm, rows in linkages.items()
    }
    assert splits["ihm"] == splits["iqem"] == splits["surrogate"]
    assert {split for _, _, split in splits["ihm"].values()} == {"training", "validation", "test"}
    test = {row for row, (_, _, split) in splits["surrogate"].items() if split == "test"}
    tested = {"plaintext": folder.plaintext / "eval" / "predictions_test.csv"}
    assert {row["id"] for row in table(tested["plaintext"])} == {f"row-{row}" for row in test}
    ids: list[set[str]] = []
    for arm, rows in linkages.items():
        number = {row["id"]: row["row"] for row in rows}
        found = {row["id"] for row in table(folder.evaluated(arm) / "eval" / "predictions_test.csv")}
        assert {number[name] for name in found} == test, arm
        ids.append(found)
    assert ids[0] == ids[1] == ids[2]  # so that training takes the images in one order


def test_releases_hold_their_stage(finished: Finished) -> None:
    folder, _, _ = finished
    places = {"surrogate": folder.hospital}
    places |= {stage: folder.ablation(arm) / "hospital" for arm, stage in ABLATIONS.items()}
    releases = {stage: json.loads((place / "release.json").read_text()) for stage, place in places.items()}
    assert {stage: release["stage"] for stage, release in releases.items()} == {stage: stage for stage in places}
    assert len({release["host_sha256"] for release in releases.values()}) == 1
    assert releases["synthetic"]["generator_sha256"] is None
    assert releases["enhanced"]["generator_sha256"] == releases["surrogate"]["generator_sha256"] is not None
    assert json.loads((folder.generator / "distance.json").read_text())["val_step"] > 1e-3


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
    for arm in ABLATIONS:
        assert folder.hospital in folder.ablation(arm).parents
        assert (folder.ablation(arm) / "store" / "manifest.json").is_file()
        assert stat.S_IMODE((folder.ablation(arm) / "hospital").stat().st_mode) == 0o700
    for leaving in (folder.store, folder.surrogate):
        names = [path.relative_to(leaving).as_posix() for path in leaving.rglob("*")]
        assert not [name for name in names if re.search(r"generator|iqem|enhance|ablation|splits|linkage", name)]
        for path in leaving.rglob("*"):
            if path.is_file():
                content = path.read_bytes()
                assert b"P00001" not in content, path
                assert str(folder.demo).encode() not in content, path
    assert [path.name for path in folder.root.rglob("generator.pt")] == ["generator.pt"]
    assert stat.S_IMODE((folder.generator / "generator.pt").stat().st_mode) == 0o600


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


def test_commands_are_what_a_user_would_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(pipeline.__file__).parents[1])
    arguments = ["--out", "run", *OWN, "--network", "densenet121", "--image-size", "28", "--beta", "0.4"]
    steps = steps_of(*arguments, "--epochs", "3", "--jobs", "1", classes=3)
    assert list(steps) == list(STEPS[1:])
    hide = steps["hide"].text
    assert (
        "python -m monai.bundle run hiding --config_file bundle/configs/hide.json --cohort c.csv --hosts_dir h" in hide
    )
    assert sys.executable not in hide
    chosen = {"secret_file": "s", "image_size": "[28, 28]", "beta": "0.4", "store_dir": "run/store"}
    chosen |= {"hospital_dir": "run/hospital", "generator_file": "run/hospital/iqem/generator.pt"}
    assert chosen.items() <= options_of(steps["hide"]).items()
    assert "stage" not in options_of(steps["hide"])  # with a generator it is the surrogate
    plaintext = steps["train_plaintext"].text
    assert (
        "\"['bundle/configs/train.json','bundle/configs/plaintext.json','bundle/configs/networks/densenet121.json']\""
        in plaintext
    )
    assert "--splits run/hospital/splits.csv" in plaintext
    assert "--num_classes 3 --spatial_dims 2" in plaintext
    for arm in ARMS:
        assert options_of(steps[f"train_{arm}"])["epochs"] == "3"
        assert "epochs" not in options_of(steps[f"evaluate_{arm}"])
        assert "networks/densenet121.json" in steps[f"evaluate_{arm}"].text
    assert "--cohort" not in steps["train_surrogate"].text
    assert "'bundle/configs/inference.json','bundle/configs/networks/densenet121.json'" in steps["infer"].text
    for step in steps.values():
        assert set(step.after) <= set(steps), step.name


def test_ablations_stay_and_differ_in_their_stage_alone() -> None:
    steps = steps_of("--out", "run", *OWN, "--hide-option", "second_beta=0.3", "--hide-option", "hold_out_labels=true")
    full = options_of(steps["hide"])
    assert (full["second_beta"], full["hold_out_labels"]) == ("0.3", "True")
    for arm, stage in ABLATIONS.items():
        place = f"run/hospital/ablation/{arm}"
        own = options_of(steps[f"hide_{arm}"])
        assert own.pop("generator_file", None) == (None if arm == "ihm" else full["generator_file"])
        changed = {name: value for name, value in own.items() if full.get(name) != value}
        assert changed == {
            "stage": stage,
            "store_dir": f"{place}/store",
            "hospital_dir": f"{place}/hospital",
            "previous_splits": "run/hospital/splits.csv",
            "disclose_patients": "True",
            "hold_out_labels": "False",
            "second_alpha": "None",
            "second_beta": "None",
        }
        assert options_of(steps[f"train_{arm}"])["dataset_dir"] == f"{place}/store"
        assert options_of(steps[f"train_{arm}"])["output_dir"] == f"{place}/eval"
        assert steps[f"hide_{arm}"].after == ("split" if arm == "ihm" else "enhance",)
        assert steps[f"train_{arm}"].after == (f"hide_{arm}",)


def test_without_the_iqem_it_hides_once() -> None:
    steps = steps_of("--out", "run", *OWN, "--no-iqem")
    iqem = {name for name in STEPS if name.endswith(("_ihm", "_iqem"))}
    missing = {"make_demo", "split", "enhance", "measure", *iqem}
    assert list(steps) == [name for name in STEPS if name not in missing]
    assert {"generator_file", "stage"}.isdisjoint(options_of(steps["hide"]))
    assert steps["hide"].after == ()
    assert steps["train_plaintext"].after == steps["train_surrogate"].after == ("hide",)
    assert set(steps["report"].after) == {"link", "evaluate_plaintext", "evaluate_surrogate"}
    demo = steps_of("--out", "run", "--no-iqem")
    assert demo["hide"].after == ("make_demo",)
    full = steps_of("--out", "run")
    assert full["split"].after == ("make_demo",)
    assert full["enhance"].after == full["train_plaintext"].after == ("split",)
    assert full["hide"].after == ("enhance",)
    assert options_of(full["split"]) == options_of(full["enhance"])
    assert set(full["report"].after) == {"link", "measure", *(f"evaluate_{arm}" for arm in ARMS)}


def test_enhance_takes_its_own_options_and_what_hiding_shares() -> None:
    shared = {"alpha": "0.2", "beta": "0.4", "host": "a.png", "on_bad_row": "quarantine", "previous_splits": "p.csv"}
    hiding = shared | {"fractions": "[0.6, 0.2, 0.2]"}
    alone = {"second_alpha": "0.3", "bit_depth": "16", "disclose_patients": "true", "release_id": "r2", "dry_run": "1"}
    arguments = [word for item in (hiding | alone).items() for word in ("--hide-option", "=".join(item))]
    arguments += ["--enhance-option", "content_weight=4", "--enhance-option", "epochs=7", "--seed", "5"]
    arguments += ["--intensity-range", "0", "4095"]
    found = options_of(steps_of("--out", "run", *OWN, *arguments)["enhance"])
    assert found.pop("config_file").endswith("enhance.json")
    known = json.loads((configs_folder() / "enhance.json").read_text())
    assert set(found) <= set(known)
    given = {"cohort": "c.csv", "hosts_dir": "h", "hospital_dir": "run/hospital", "seed": "5"}
    given |= {"image_size": "[64, 64]", "intensity_range": "[0.0, 4095.0]", "content_weight": "4", "epochs": "7"}
    assert found == hiding | given
    for name, step in steps_of("--out", "run", *OWN, *arguments).items():  # nor does any other command
        if "monai.bundle" in step.command:
            files = re.findall(r"[\w./-]+\.json", options_of(step)["config_file"])
            ids = {key for file in files for key in json.loads(Path(file).read_text())}
            assert set(options_of(step)) <= ids | {"config_file"}, name


def test_the_demos_generator_trains_shorter_unless_told() -> None:
    assert options_of(steps_of("--out", "run")["enhance"])["epochs"] == "10"
    assert "epochs" not in options_of(steps_of("--out", "run", *OWN)["enhance"])
    assert options_of(steps_of("--out", "run", "--enhance-option", "epochs=4")["enhance"])["epochs"] == "4"
    assert "10" not in options_of(steps_of("--out", "run", "--epochs", "3")["train_ihm"]).values()


def test_the_finished_runs_generator_was_trained_as_told(finished: Finished) -> None:
    command = json.loads((finished[0].root / "steps" / "enhance.json").read_text())["command"]
    for option in ENHANCE:
        assert f"--{option.replace('=', ' ')}" in command
    assert "epochs 10" not in command
    assert len(table(finished[0].generator / "history.csv")) == 2


def test_held_out_labels_are_judged_in_the_hospital_only() -> None:
    steps = steps_of(*OWN, "--hide-option", "hold_out_labels=true", "--no-iqem")
    assert "evaluate_surrogate" not in steps
    assert set(steps["report"].after) == {"link", "evaluate_plaintext"}
    assert "--hold_out_labels True" in steps["hide"].text
    full = steps_of(*OWN, "--hide-option", "hold_out_labels=true")
    assert "evaluate_surrogate" not in full
    assert set(full["report"].after) == {"link", "measure", "evaluate_plaintext", "evaluate_ihm", "evaluate_iqem"}


def test_intensity_range_and_volumes_reach_all_who_read_plaintexts() -> None:
    steps = steps_of(*OWN, "--image-size", "32", "32", "16", "--intensity-range", "0", "4095")
    for name in ("enhance", "hide", "hide_ihm", "hide_iqem", "measure", "train_plaintext", "evaluate_plaintext"):
        assert "--image_size '[32, 32, 16]' --intensity_range '[0.0, 4095.0]'" in steps[name].text, name
    for arm in ("surrogate", "ihm", "iqem"):
        assert "intensity_range" not in steps[f"train_{arm}"].text
    assert "--spatial_dims 3" in steps["infer"].text


PERCENTILES = '{"percentiles": [0.5, 99.5]}'


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["--intensity-range", "window"], {"intensity_range": "window"}),
        (["--intensity-range", PERCENTILES], {"intensity_range": {"percentiles": [0.5, 99.5]}}),
        (["--intensity-range", PERCENTILES.replace('"', "'")], {"intensity_range": {"percentiles": [0.5, 99.5]}}),
        (["--intensity-range", "-1000", "400"], {"intensity_range": [-1000.0, 400.0]}),
        (["--pixel-spacing", "0.5"], {"pixel_spacing": [0.5, 0.5]}),
        (["--pixel-spacing", "0.5", "0.7"], {"pixel_spacing": [0.5, 0.7]}),
        (["--mask-text"], {"mask_text": True}),
        (["--hide-option", "intensity_range=window"], {"intensity_range": "window"}),
    ],
)
def test_all_who_read_plaintexts_read_them_alike(given: list[str], expected: dict[str, Any]) -> None:
    steps = steps_of(*OWN, *given)
    readers = ("split", "enhance", "hide", "hide_ihm", "hide_iqem", "measure", "train_plaintext", "evaluate_plaintext")
    for name in readers:
        found = {key: DefaultParseValue(options_of(steps[name])[key]) for key in expected}  # as Fire reads it
        assert found == expected, name
    assert not any(set(expected) & set(options_of(steps[f"train_{arm}"])) for arm in ("surrogate", "ihm", "iqem"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--intensity-range", "400", "-1000"], "give the lowest and the highest intensity"),
        (["--intensity-range", "windows"], "intensity_range='windows'"),
        (["--pixel-spacing", "1", "1", "1"], "pixel_spacing=[1.0, 1.0, 1.0]: give 2 positive lengths in mm"),
    ],
)
def test_a_wrong_rule_is_refused_at_once(given: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        pipeline.parse([*OWN, *given])
    assert message in capsys.readouterr().err


def test_options_mean_what_the_configs_would_hold() -> None:
    words = ("tensorboard=false", "class_weighting=true", "resume=null", "schedule=late", "rates=[0.1, 0.2]", "a=b=c")
    given = [word for option in words for word in ("--train-option", option)]
    found = {key: DefaultParseValue(value) for key, value in options_of(steps_of(*OWN, *given)["train_ihm"]).items()}
    expected = {"tensorboard": False, "class_weighting": True, "resume": None, "schedule": "late", "rates": [0.1, 0.2]}
    assert expected | {"a": "b=c"} == {key: found[key] for key in (*expected, "a")}
    for text in ("False", "None", "1e-3", "(1, 2)", "{'a': [1, 2]}", "2024-1", "window", "a b"):  # as Fire reads it
        assert parse_value(text) == DefaultParseValue(text), text


def test_what_a_step_reads_is_in_its_key() -> None:
    plan = Plan(Path("run"), Path("c.csv"), Path("h"), Path("s"))
    for step in main_steps(plan, 2):
        names = {path.name for path in step.inputs}
        if step.name.startswith(("split", "enhance", "hide")):
            assert "c.csv" in names, step.name
        if "monai.bundle" in step.command:
            configs = re.findall(r"\w+\.json", options_of(step)["config_file"])
            assert set(configs) <= names, step.name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cohort", "c.csv"], "cohort and hosts belong together"),
        (["--hosts", "h"], "cohort and hosts belong together"),
        (["--image-size", "32", "32", "32"], "the demo is 2D"),
        (["--hide-option", "beta"], "option 'beta': write name=value"),
        (["--enhance-option", "epochs"], "option 'epochs': write name=value"),
        (["--network", "resnet34"], "invalid choice: 'resnet34'"),
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
