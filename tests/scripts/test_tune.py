"""Choosing alpha and beta: hidden, trained and attacked for real on a tiny cohort."""

from __future__ import annotations

import json
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fesf.scripts import tune
from fesf.scripts.audit import settings
from fesf.scripts.audit.frontier import verdict
from fesf.scripts.data import grid
from fesf.scripts.data.linkage import read_linkage
from tests.conftest import write_png
from tests.scripts.audit.conftest import bodies


@pytest.fixture(autouse=True)
def _keep_excepthook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)


@pytest.fixture
def arguments(make_cohort: Callable[..., Path], tmp_path: Path) -> list[str]:
    """Two settings; a patient's two images are of two studies and one label."""
    folder = make_cohort(40, columns={"study": lambda patient, image: f"s{patient}-{image}"})
    rng = np.random.default_rng(0)
    persons = bodies(rng, 40, 24)
    for patient in range(40):
        for image in range(2):
            near = 0.9 * persons[patient] + 0.1 * bodies(rng, 1, 24)[0]
            write_png(folder / "images" / f"SCHMIDT-{patient}-{image}.png", np.clip(near, 0, 1))
    words = ["--cohort", str(folder / "cohort.csv"), "--hosts", str(folder / "hosts"), "--out", str(tmp_path / "out")]
    return [
        *words,
        "--alphas",
        "0.25",
        "--betas",
        "0",
        "1",
        "--image-size",
        "24",
        "24",
        "--epochs",
        "1",
        "--fractions",
        "0.5",
        "0.2",
        "0.3",
    ]


def test_a_sweep_is_done_once_and_says_what_to_take(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []
    run_bundle = settings.run_bundle

    def counted(configs: list[str], run_id: str, *rest: str, **ids: object) -> None:
        ran.append(run_id)
        run_bundle(configs, run_id, *rest, **ids)

    for module in (grid, settings):
        monkeypatch.setattr(module, "run_bundle", counted)
    limits = ["--most-reidentification", "1", "--most-inversion", "0.2"]
    assert tune.main([*arguments, *limits]) == 0
    assert ran.count("hiding") == 2
    assert ran.count("training") == 3
    out = tmp_path / "out"
    document = json.loads((out / "frontier.json").read_text())
    nothing, whole = document["settings"]
    for part in ("validation", "test"):
        assert whole[part]["inversion"]["value"] > nothing[part]["inversion"]["value"] + 0.3  # beta 0 hides nothing
        assert abs(nothing[part]["inversion"]["value"]) < 0.5
        assert whole[part]["reidentification"]["low"] > nothing[part]["reidentification"]["high"]
    assert document["recommended"] == "synthetic, alpha 0.25, beta 0"
    assert document["holds_on_test"] is True
    assert document["corners"]["plaintext"]["inversion"]["value"] > whole["test"]["inversion"]["value"]
    text = capsys.readouterr().out
    assert "Recommended: synthetic, alpha 0.25, beta 0; on test patients it holds the limits." in text
    for path in (out / "frontier.png", out / "frontier.csv", out / "frontier.json"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert b"SCHMIDT" not in path.read_bytes()
    assert not list(out.rglob("store"))

    assert tune.main(arguments) == 0  # nothing is done anew; other limits, another recommendation
    assert ran.count("hiding") == 2
    assert "nothing is recommended" in capsys.readouterr().out
    assert tune.main([*arguments, "--most-inversion", "-5"]) == 0
    assert "No setting holds the limits on validation patients." in capsys.readouterr().out
    assert tune.main([*arguments, "--seed", "1", "--betas", "0"]) == 0
    assert ran.count("hiding") == 3

    linkage = read_linkage(out / "settings" / "synthetic-0.25-1" / "hospital" / "linkage.csv").values()
    patients = {part: {row["patient"] for row in linkage if row["split"] == part} for part in ("validation", "test")}
    assert patients["validation"]
    assert patients["test"]
    assert not patients["validation"] & patients["test"]
    assert document["settings"][0]["validation"]["inversion"]["patients"] == len(patients["validation"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--stages", "surrogate"], "need a generator: give --generator-file"),
        (["--hosts", "nowhere"], "--hosts a folder: one of them is not there"),
        (["--fractions", "1", "1", "1"], "fractions="),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str], words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tune.main([*arguments, *words]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert message in line


def test_a_set_without_studies_is_not_linked(make_cohort: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_cohort(24)
    sweep = settings.Sweep(folder / "cohort.csv", folder / "hosts", tmp_path / "out", (24, 24), epochs=1)
    (tmp_path / "out").mkdir(mode=0o700)
    trial = settings.Setting(sweep, "synthetic", 0.1, 0.5)
    found = trial.work()
    assert found["test"]["reidentification"] is None
    assert found["test"]["inversion"]["patients"] >= 3
    text = tune.summary(verdict([found], found["test"]["auc"], {"inversion": 0.0}))
    assert "not measured" in text


def test_what_nobody_can_publish_is_a_finding(make_cohort: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_cohort(24)
    for path in (folder / "hosts").iterdir():  # black and white: clipping takes the host's phase
        write_png(path, np.indices((24, 24)).sum(0) % 2)
    sweep = settings.Sweep(folder / "cohort.csv", folder / "hosts", tmp_path / "out", (24, 24), epochs=1)
    (tmp_path / "out").mkdir(mode=0o700)
    found = settings.Setting(sweep, "synthetic", 0.5, 1.0).work()
    assert "its surrogate failed the phase check" in found["refused"]
    assert "test" not in found
    text = tune.summary(verdict([found], {"value": 0.9}, {"inversion": 0.0}))
    assert "Not published: synthetic, alpha 0.5, beta 1. Row " in text
    for path in (folder / "images").iterdir():
        path.write_bytes(b"broken")
    with pytest.raises(RuntimeError):
        settings.Setting(sweep, "synthetic", 0.25, 1.0).work()  # a mistake stops the sweep


def test_a_generator_and_its_splits_go_to_hide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, object] = {}

    def stop(configs: list[str], run_id: str, kind: str = "train", **ids: object) -> None:
        seen.update(ids)
        raise KeyboardInterrupt

    monkeypatch.setattr(grid, "run_bundle", stop)
    sweep = settings.Sweep(tmp_path / "c", tmp_path, tmp_path, generator=tmp_path / "g.pt", splits=tmp_path / "s.csv")
    with pytest.raises(KeyboardInterrupt):
        settings.Setting(sweep, "surrogate", 0.1, 0.5).work()
    wanted = {"stage": "surrogate", "generator_file": tmp_path / "g.pt", "previous_splits": tmp_path / "s.csv"}
    assert {name: seen[name] for name in wanted} == wanted
