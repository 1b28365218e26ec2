"""The command: its plan, its choice of jobs, what it writes of jobs that are done, and how it fails."""

from __future__ import annotations

import csv
import json
import re
import shlex
import stat
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from fesf.scripts import reproduce
from fesf.scripts.data.grid import ARMS, CNN, DEMO, NETWORKS, Cell, Job, Source
from fesf.scripts.data.public_sets import SETS
from fesf.scripts.data.studies import ALPHAS, BETAS, LAMBDAS, LambdaCell, OtherLambda, SecondPass, SweepPoint
from fesf.scripts.reproduce import chosen, command, main, plan

from .conftest import leave


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    for name in SETS:
        (tmp_path / "shared" / "data" / name).mkdir(parents=True)
    return tmp_path / "shared"


def table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_the_plan_holds_every_job_once_after_its_needs(shared: Path) -> None:
    jobs = plan(shared, Path("work"), [DEMO, *SETS], NETWORKS, quick=False, sweep=True)
    assert len({job.title for job in jobs}) == len({job.folder for job in jobs}) == len(jobs)
    kinds = (Source, Cell, OtherLambda, LambdaCell, SecondPass, SweepPoint)
    counts = {kind: sum(isinstance(job, kind) for job in jobs) for kind in kinds}
    runs, sets = 3 + 5 + 5 + 3 + 3, 5
    cells = runs * len(ARMS) + sets * (len(NETWORKS) - 1) * len(ARMS)
    points = 2 * len(ALPHAS) * len(BETAS)
    lambdas = len(LAMBDAS) * sets
    others = {OtherLambda: lambdas, LambdaCell: 2 * lambdas, SecondPass: sets, SweepPoint: points}
    assert counts == {Source: runs, Cell: cells} | others
    for number, job in enumerate(jobs):
        assert set(job.after) <= set(jobs[:number]), job.title
    assert {job.source.name for job in jobs if isinstance(job, SweepPoint)} == {DEMO, "us_breastmnist"}
    assert {job.source.run for job in jobs if isinstance(job, SweepPoint | OtherLambda | LambdaCell | SecondPass)} == {
        0
    }
    assert str(jobs[0].folder) == "work/full/demo/0"


def test_the_plan_does_whole_rows_first(shared: Path) -> None:
    """Run 0 of every set with the small network, then run 1, ...; then what else is asked, then other networks."""
    jobs = plan(shared, Path("work"), [DEMO, *SETS], [CNN, "vit"], quick=False, sweep=True)
    row = ["source", *(f"cnn/{arm}" for arm in ARMS)]
    assert [job.title for job in jobs[:25]] == [f"{name}/0/{part}" for name in (DEMO, *SETS) for part in row]
    assert jobs[25].title == "demo/1/source"
    rest = [job.title for job in jobs[19 * 5 :]]
    kinds = ["lambda"] * 30 + ["second_pass"] * 5 + ["sweep"] * 30 + ["vit"] * 20
    assert [title.split("/")[2] for title in rest] == kinds


def test_without_sweep_and_with_some_networks(shared: Path) -> None:
    jobs = plan(shared, Path("work"), ["us_breastmnist"], ["vit"], quick=False, sweep=False)
    assert [job.title.split("/", 1)[1] for job in jobs] == [
        *(f"{run}/source" for run in range(3)),
        *(f"0/lambda/{weight}/{part}" for weight in (0, 80) for part in ("generator", "iqem", "full")),
        "0/second_pass/0.25/1.0",
        *(f"0/vit/{arm}" for arm in ARMS),
    ]


def test_quick_is_one_run_in_a_folder_of_its_own(shared: Path) -> None:
    quick = plan(shared, Path("work"), [DEMO, "us_breastmnist"], [CNN], quick=True, sweep=False)
    assert [job.title for job in quick if isinstance(job, Source)] == ["demo/0/source", "us_breastmnist/0/source"]
    assert all(Path("work/quick") in job.folder.parents for job in quick)


CHOSEN = ("source", "lambda/80/generator", "lambda/80/full", "sweep/0.1/0.5")


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["demo/1/cnn/full"], ["demo/1/source", "demo/1/cnn/full"]),
        (["demo/*/cnn/ihm"], [f"demo/{run}/{part}" for run in range(3) for part in ("source", "cnn/ihm")]),
        (["*/80/full", "demo/0/sweep/0.1/0.5"], [f"demo/0/{part}" for part in CHOSEN]),
        (["demo/0/*/plaintext"], ["demo/0/source", "demo/0/cnn/plaintext", "demo/0/vit/plaintext"]),
        (["*/source"], ["demo/0/source", "demo/1/source", "demo/2/source"]),
        (["none"], []),
    ],
)
def test_chosen_jobs_come_with_their_needs_in_the_plans_order(
    patterns: list[str], expected: list[str], tmp_path: Path
) -> None:
    jobs = plan(tmp_path, Path("work"), [DEMO], [CNN, "vit"], quick=False, sweep=True)
    assert [job.title for job in chosen(jobs, patterns)] == expected
    assert chosen(jobs, []) == jobs


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (["--metadata", "bundle/configs/metadata.json"], ""),
        (["--sets", "demo", "us_breastmnist", "--out", "docs", "--jobs", "1"], "--sets demo us_breastmnist --jobs 1"),
        (["--metadata=m.json", "--quick", "--out=docs"], "--quick"),
        (["--out", "--quick"], ""),  # what follows is its value, whatever it looks like
        (["--only", "demo/*/cnn/*", "--metadata", "m"], "--only 'demo/*/cnn/*'"),
        (["--no-tracking", "--work", "my work"], "--no-tracking --work 'my work'"),
    ],
)
def test_the_command_leaves_out_where_figures_go_and_nothing_else(words: list[str], kept: str) -> None:
    assert command(words) == f"python -m fesf.scripts.reproduce {kept}".strip()
    assert shlex.split(command(words))[3:] == shlex.split(kept)


@pytest.fixture(scope="module")
def written(tiny_grid: list[Job], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder that main wrote of a real grid that is done (see conftest), and what it printed."""
    folder = tmp_path_factory.mktemp("written")
    out, printed = folder / "docs", []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("builtins.print", lambda *words, **_: printed.append(" ".join(map(str, words))))
        assert main(arguments_of(tiny_grid, out)) == 0
    return out, "\n".join(printed)


def arguments_of(grid: list[Job], out: Path) -> list[str]:
    assert isinstance(grid[0], Source)
    only = ["demo/0/cnn/*", "*/lambda/0/*", "demo/0/sweep/0.1/0.5"]
    work = Path(grid[0].root).parent
    places = ["--work", str(work), "--out", str(out)]
    return [*places, "--sets", DEMO, "--quick", "--sweep", "--no-tracking", "--only", *only]


def test_tables_hold_what_each_arms_predictions_give(tiny_grid: list[Job], written: tuple[Path, str]) -> None:
    found = table(written[0] / "results.csv")
    lines = {line["arm"]: line for line in found[: len(ARMS)]}
    assert list(lines) == list(ARMS)
    hidden = [job.arm for job in tiny_grid if isinstance(job, LambdaCell) and "refused" not in job.done]
    assert [line["arm"] for line in found[len(ARMS) :]] == [f"{arm}_lambda_0" for arm in hidden]
    for job in tiny_grid:
        if isinstance(job, Cell):
            rows = table(job.predictions)
            auc = roc_auc_score([row["label"] == "opacity" for row in rows], [float(row["p_opacity"]) for row in rows])
            assert lines[job.arm]["auc"] == f"{auc:.4f}"
            assert lines[job.arm]["n_test"] == str(len(rows))
    quality = table(written[0] / "quality.csv")
    assert len(quality) == 2 * 6  # its own lambda, and 0
    source, paper = (job.done["quality"] for job in tiny_grid if isinstance(job, Source | OtherLambda))
    for line, figures in zip(quality, [source] * 6 + [paper] * 6, strict=True):
        assert line["mmd"] == f"{figures['distance'][line['stage']]['mmd']:.4f}"
    assert {float(line["content_weight"]) for line in quality[6:]} == {0.0}


def test_the_page_and_the_pictures_are_written(written: tuple[Path, str]) -> None:
    out, printed = written
    names = ["figure3.png", "quality.csv", "results.csv", "results.md", "sweep.png"]
    assert sorted(path.name for path in out.iterdir()) == names
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o644 for path in out.iterdir())
    page = (out / "results.md").read_text()
    assert printed.rstrip() == page.rstrip()
    assert "from 9 of 9 jobs" in page
    assert "nan" not in page.lower()
    assert str(out) not in page
    heights = {name: np.asarray(Image.open(out / name)).shape[:2] for name in names if name.endswith("png")}
    assert heights == {"figure3.png": (231, 1100), "sweep.png": (462, 506)}


def test_the_pages_command_gives_the_same_again(
    tiny_grid: list[Job], written: tuple[Path, str], tmp_path: Path
) -> None:
    out, _ = written
    found = re.search(r"Written by `(.*?)` at commit", (out / "results.md").read_text())
    assert found is not None
    words = shlex.split(found[1])
    assert words[:3] == ["python", "-m", "fesf.scripts.reproduce"]
    assert main([*words[3:], "--out", str(tmp_path)]) == 0
    for name in ("results.csv", "quality.csv", "figure3.png", "sweep.png"):
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes(), name
    pages = [(folder / "results.md").read_text().split("\n## ", 1)[1] for folder in (out, tmp_path)]
    assert pages[0] == pages[1]  # the head names the commit of now


Faked = Callable[..., list[str]]


@pytest.fixture
def faked(monkeypatch: pytest.MonkeyPatch) -> Faked:
    """Lets main "run" its jobs: each leaves made-up files, but those that are to fail. Returns the titles asked for."""

    def prepare(*failing: str) -> list[str]:
        asked: list[str] = []

        def run_jobs(
            jobs: Sequence[Job], workers: int, finished: Callable[[Job], None], on_record: Callable[[Job], bool]
        ) -> list[str]:
            asked.extend([str(workers), *(job.title for job in jobs)])
            for job in jobs:
                if job.title not in failing:
                    leave(job)
                    finished(job)
            return [f"{title}: bad luck" for title in failing]

        monkeypatch.setattr(reproduce, "run_jobs", run_jobs)
        return asked

    monkeypatch.setattr(reproduce, "draw_figure3", lambda results: b"figure 3")
    return prepare


class Recorder:
    """In place of the tracker."""

    told: list[str]

    def __init__(self, database: Path, uri: str | None) -> None:
        Recorder.told = [str(database), *([uri] if uri else [])]

    def __call__(self, job: Job) -> None:
        self.told.append(job.title)


def test_a_server_is_logged_to_when_it_is_named(tmp_path: Path, faked: Faked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reproduce, "Tracker", Recorder)
    faked()
    places = ["--work", str(tmp_path / "work"), "--out", str(tmp_path / "docs"), "--tracking-uri", "http://x:5000"]
    assert main([*places, "--sets", DEMO, "--networks", CNN, "--only", "demo/2/*"]) == 0
    assert Recorder.told[1] == "http://x:5000"
    assert "http://x" not in (tmp_path / "docs" / "results.md").read_text()


def test_main_runs_the_chosen_jobs_and_tracks_them(
    tmp_path: Path, faked: Faked, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reproduce, "Tracker", Recorder)
    asked = faked()
    places = ["--work", str(tmp_path / "work"), "--out", str(tmp_path / "docs")]
    assert main([*places, "--sets", DEMO, "--networks", CNN, "--only", "demo/2/*", "--jobs", "3"]) == 0
    titles = ["demo/2/source", *(f"demo/2/cnn/{arm}" for arm in ARMS)]
    assert asked == ["3", *titles]
    assert Recorder.told == [str(tmp_path / "work" / "mlruns.db"), *titles]
    assert not (tmp_path / "docs" / "sweep.png").exists()
    assert (tmp_path / "docs" / "figure3.png").read_bytes() == b"figure 3"
    records = {str(path.relative_to(tmp_path / "docs" / "grid")) for path in (tmp_path / "docs" / "grid").rglob("*.*")}
    assert records == {f"{title}.json" for title in titles}
    assert "| demo | 1 seeds | 12 |" in capsys.readouterr().out


def test_failures_are_listed_and_what_is_done_is_written_all_the_same(
    tmp_path: Path, faked: Faked, capsys: pytest.CaptureFixture[str]
) -> None:
    faked("demo/1/cnn/full", "demo/0/second_pass/0.25/1.0")
    places = ["--work", str(tmp_path / "work"), "--out", str(tmp_path / "docs"), "--no-tracking"]
    assert main([*places, "--sets", DEMO, "--networks", CNN]) == 1
    captured = capsys.readouterr()
    assert captured.err == "error: demo/1/cnn/full: bad luck\nerror: demo/0/second_pass/0.25/1.0: bad luck\n"
    assert [line["run"] for line in table(tmp_path / "docs" / "results.csv")] == ["0"] * 8 + ["2"] * 4
    assert {line["run"] for line in table(tmp_path / "docs" / "quality.csv")} == {"0", "1", "2"}
    assert "from 20 of 22 jobs" in (tmp_path / "docs" / "results.md").read_text()
    assert "| demo | 2 seeds | 24 |" in captured.out


def test_another_machine_goes_on_from_the_records(
    tmp_path: Path, faked: Faked, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    faked()
    given = ["--sets", DEMO, "--networks", CNN, "--no-tracking", "--only", "demo/0/*", "demo/1/*"]
    assert main([*given, "--work", str(tmp_path / "one"), "--out", str(tmp_path / "docs")]) == 0
    known: list[str] = []

    def nothing(jobs: Sequence[Job], workers: int, finished: Any, on_record: Callable[[Job], bool]) -> list[str]:
        known.extend(job.title for job in jobs if on_record(job))
        return []

    monkeypatch.setattr(reproduce, "run_jobs", nothing)
    (tmp_path / "docs" / "figure3.png").write_bytes(b"of before")
    before = {name: (tmp_path / "docs" / name).read_bytes() for name in ("results.csv", "quality.csv")}
    assert main([*given, "--work", str(tmp_path / "two"), "--out", str(tmp_path / "docs")]) == 0
    assert len(known) == 17  # two sources, four arms each, two lambdas of three jobs each, a second pass
    assert {name: (tmp_path / "docs" / name).read_bytes() for name in before} == before
    assert (tmp_path / "docs" / "figure3.png").read_bytes() == b"of before"
    assert "figure3.png is not drawn: the images of some sets lie on another machine." in capsys.readouterr().err


def test_where_nothing_is_done_nothing_is_written(tmp_path: Path, faked: Faked) -> None:
    titles = ["demo/0/source", *(f"demo/0/cnn/{arm}" for arm in ARMS)]
    faked(*titles)
    places = ["--work", str(tmp_path / "work"), "--out", str(tmp_path / "docs"), "--no-tracking"]
    assert main([*places, "--only", "demo/0/cnn/*", "--sets", DEMO]) == 1
    assert not (tmp_path / "docs").exists()


def test_metadata_get_the_figures_of_results_but_not_of_a_check(
    tmp_path: Path, faked: Faked, monkeypatch: pytest.MonkeyPatch
) -> None:
    faked()
    metadata = tmp_path / "metadata.json"
    metadata.write_text('{"version": "1", "eval_metrics": {"auc": 0.1}, "name": "x"}')
    places = ["--work", str(tmp_path / "work"), "--out", str(tmp_path / "docs"), "--no-tracking"]
    given = [*places, "--sets", DEMO, "--metadata", str(metadata)]
    assert main([*given, "--quick"]) == 0
    assert json.loads(metadata.read_text())["eval_metrics"] == {"auc": 0.1}
    for part, before in ((["--sets"], {"auc": 0.1}), ([], {})):  # a part adds to what is there
        monkeypatch.setattr(reproduce, "narrowed", lambda _, part=part: part)
        assert main(given) == 0
        assert list(json.loads(metadata.read_text()).items()) == [
            ("version", "1"),
            ("eval_metrics", before | {"demo_auc": 1.0, "demo_balanced_accuracy": 1.0}),
            ("name", "x"),
        ]
    page = (tmp_path / "docs" / "results.md").read_text()
    assert f"`python -m fesf.scripts.reproduce --work {tmp_path}/work --no-tracking --sets demo`" in page


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--sets", DEMO], "--sets"),
        (["--networks", CNN, "--quick"], "--networks, --quick"),
        (["--only", "demo/*"], "--only"),
    ],
)
def test_a_part_of_the_grid_does_not_replace_the_whole_tables(
    tmp_path: Path,
    words: list[str],
    named: str,
    faked: Faked,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = faked()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        main(words)
    expected = f"error: {named}: these tables would replace whole ones in docs: name a folder with --out.\n"
    assert capsys.readouterr().err.endswith(expected)
    assert asked == []
    assert not list(tmp_path.iterdir())


def test_the_whole_grid_goes_to_docs(tmp_path: Path, faked: Faked, monkeypatch: pytest.MonkeyPatch) -> None:
    faked()
    monkeypatch.chdir(tmp_path)
    jobs = plan(tmp_path, tmp_path / "work", [DEMO], [CNN], quick=True, sweep=False)
    monkeypatch.setattr(reproduce, "plan", lambda *_: jobs)
    assert main(["--no-tracking", "--networks", *NETWORKS, "--sets", *SETS, DEMO]) == 0
    assert sorted(path.name for path in (tmp_path / "docs").glob("results.*")) == ["results.csv", "results.md"]


def test_quick_takes_the_small_network_unless_others_are_named(tmp_path: Path, faked: Faked) -> None:
    places = ["--work", str(tmp_path / "work"), "--out", str(tmp_path / "docs"), "--no-tracking", "--sets", DEMO]
    for words, networks in (([], {CNN}), (["--networks", CNN, "vit"], {CNN, "vit"})):
        asked = faked()
        assert main([*places, "--quick", *words]) == 0
        assert {title.split("/")[2] for title in asked[1:]} - {"source", "lambda", "second_pass"} == networks


def test_without_arguments_it_takes_the_command_lines(
    tmp_path: Path, faked: Faked, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = faked()
    words = ["--work", str(tmp_path / "work"), "--out", str(tmp_path / "docs"), "--no-tracking", "--sets", DEMO]
    monkeypatch.setattr(sys, "argv", ["reproduce", *words, "--only", "demo/0/cnn/*"])
    assert main() == 0
    assert len(asked) == 1 + 5
    assert "--only 'demo/0/cnn/*'" in (tmp_path / "docs" / "results.md").read_text()


def test_what_is_missing_is_named_before_anything_starts(
    tmp_path: Path, faked: Faked, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = faked()
    words = ["--shared", str(tmp_path), "--work", str(tmp_path / "work"), "--out", str(tmp_path / "docs")]
    assert main([*words, "--sets", DEMO, "mri_cheng430"]) == 1
    assert "point --shared at the folder that holds data/mri_cheng430." in capsys.readouterr().err

    def refuse(database: Path, uri: str | None) -> Any:
        raise ValueError("MLflow is not installed: pass --no-tracking.")

    monkeypatch.setattr(reproduce, "Tracker", refuse)
    assert main([*words, "--sets", DEMO]) == 1
    assert capsys.readouterr().err == "error: MLflow is not installed: pass --no-tracking.\n"
    with pytest.raises(SystemExit, match="2"):
        main([*words, "--meta", "m.json"])  # an abbreviation would stay in the command that the page shows
    assert asked == []
    assert not (tmp_path / "work").exists()
