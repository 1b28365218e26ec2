"""What DICOM costs: what each arm writes, ratios of scripted times, a tiny day in this process, and the file."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fesf.scripts import bench_dicom
from fesf.scripts.bench_dicom import ARMS, bench_day, bench_ratio, ids_of, usable
from fesf.scripts.bench_pipeline import BenchRelease, workflow
from fesf.scripts.data.cohort import LoadImageCohortd
from fesf.scripts.data.phase import PhaseCheck, check_phase
from fesf.scripts.data.radiographs import make_link_cohort, make_radiographs
from fesf.scripts.engines import surrogate_writer
from tests.transforms.dicom_files import make_dicom


@pytest.fixture(autouse=True)
def _keep_process() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    logging.disable(logging.NOTSET)


@pytest.fixture
def films(tmp_path: Path) -> list[Path]:
    return make_radiographs(tmp_path / "films", "uncompressed", ((260, 240), (300, 250)))


def test_targets_are_those_of_the_project() -> None:
    assert (bench_dicom.SIZE, bench_dicom.LEAST, bench_dicom.DAY, bench_dicom.MOST_MB) == (224, 0.85, 2000, 20.0)


@pytest.mark.parametrize("arm", list(ARMS))
def test_what_each_arm_writes(tmp_path: Path, films: list[Path], arm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make_link_cohort(tmp_path / "cohort", films, 3, 224)
    written: dict[int, np.ndarray] = {}
    add = BenchRelease.add

    def look(release: BenchRelease, row: Any, content: bytes, clipped: float, check: Any) -> None:
        written[row.row] = np.asarray(Image.open(io.BytesIO(content))).T / 255
        add(release, row, content, clipped, check)

    checks: list[PhaseCheck] = []

    def count(*images: torch.Tensor) -> PhaseCheck:
        checks.append(check_phase(*images))
        return checks[-1]

    monkeypatch.setattr(BenchRelease, "add", look)
    monkeypatch.setattr(surrogate_writer, "check_phase", count)
    run = workflow(["hide"], "hiding", "infer", ids_of(tmp_path / "cohort", "window") | ARMS[arm])
    run.run()
    release = run.parser.get_parsed_content("release")
    assert release.seconds >= release.processor_seconds * 0.9 > 0
    loader = LoadImageCohortd("image", (224, 224), "window")
    assert sorted(written) == [2, 3, 4]
    assert len(checks) == (3 if arm == "hide" else 0)
    for row, picture in written.items():
        plain = loader.prepare(str(films[row % 2]), 0)[0].numpy()
        equal = np.abs(picture - plain).max() <= 0.5 / 255 + 1e-6
        assert equal == (arm == "plain")
    assert not list(tmp_path.rglob("manifest.json"))


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(("last", "ratio", "meets"), [(0.9, 0.9, True), (0.8, 0.8, False)])
def test_throughput_is_the_median_of_pairs_without_the_warm_up(
    tmp_path: Path, films: list[Path], last: float, ratio: float, meets: bool, workers: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    times = {"hide": iter([900.0, 2.0, 4.0, 1.0]), "plain": iter([1.0, 1.0, 4.0, last])}  # ratios 0.5, 1, last
    order, asked = [], []

    def scripted(configs: list[str], run_id: str, kind: str, ids: dict[str, Any]) -> SimpleNamespace:
        arm = "plain" if "network_def" in ids else "hide"
        order.append(arm)
        asked.append(ids["num_workers"])
        seconds = next(times[arm])
        release = SimpleNamespace(seconds=seconds, processor_seconds=seconds / 2)
        return SimpleNamespace(run=lambda: None, parser=SimpleNamespace(get_parsed_content={"release": release}.get))

    monkeypatch.setattr(bench_dicom, "workflow", scripted)
    found = bench_ratio(tmp_path, films, images=10, repeats=3, rule=None, workers=workers)
    assert asked == [workers] * 8  # of both arms
    assert found["num_workers"] == workers
    assert (found["throughput_ratio"], found["spread"], found["meets"]) == (ratio, [0.5, 1.0], meets)
    assert (found["hide_ms"], found["plain_ms"]) == (200.0, 100.0)
    assert found["processor_ratio"] == (None if workers else 0.5)  # medians 1 and 0.5
    assert found["at_least"] == 0.85
    assert order == ["hide", "plain", "plain", "hide"] * 2
    assert not (tmp_path / "ratio").exists()


def test_usable_files_by_whether_they_are_enlarged(tmp_path: Path) -> None:
    assert usable(tmp_path) == {}
    pixels = np.zeros((2, 300, 230), np.uint16)
    pixels[:, 10] = 50
    make_dicom(tmp_path / "frames", pixels)
    make_dicom(tmp_path / "small", pixels[0, :200])
    make_dicom(tmp_path / "broken", pixels[0], PhotometricInterpretation="HSV")
    (tmp_path / "text").write_text("no image")
    assert usable(tmp_path) == {"shrunk": [tmp_path / "frames"], "enlarged": [tmp_path / "small"]}


@pytest.mark.parametrize("iqem", [False, True])
def test_a_day_is_scaled_from_a_part_of_it(
    tmp_path: Path, films: list[Path], iqem: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def here(command: list[str], check: bool, capture_output: bool, text: bool) -> SimpleNamespace:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(command[-1], {})
        return SimpleNamespace(stdout=printed.getvalue())

    monkeypatch.setattr(subprocess, "run", here)
    monkeypatch.setattr(bench_dicom, "EARLY", 2)
    found = bench_day(tmp_path, "films", 5, iqem)
    assert (found["syntax"], found["iqem"], found["images"], found["distinct_files"]) == ("films", iqem, 5, 2)
    assert found["mean_file_mb"] == pytest.approx((260 * 240 + 300 * 250) / 1e6, abs=0.01)
    assert found["day_minutes"] == pytest.approx(found["image_ms"] * 2000 / 60000, abs=0.06)
    assert found["day_processor_minutes"] == pytest.approx(found["image_processor_ms"] * 2000 / 60000, abs=0.06)
    assert sum(found["share"].values()) == pytest.approx(1, abs=0.001)
    assert "mask" not in found["share"]
    assert ("iqem" in found["share"]) == ("check_shift" in found["share"]) == iqem
    early, late = found["peak_mb"]["2"], found["peak_mb"]["5"]
    assert 50 < early <= late < 50_000
    assert found["growth_mb"] == pytest.approx(late - early, abs=0.11)
    assert found["meets"] == (found["growth_mb"] <= 20)
    assert not (tmp_path / "day").exists()


@pytest.mark.parametrize(("late", "meets"), [(520.0, True), (520.4, False)])
def test_memory_verdict(
    tmp_path: Path, films: list[Path], late: float, meets: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = {"seconds": {"decode": 3.0, "rest": 1.0, "total": 4.0}, "wall_s": 8.0, "peak_mb": [500.0, late]}
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=f"x\n{json.dumps(printed)}\n"))
    found = bench_day(tmp_path, "films", 40, False)
    assert found["share"] == {"decode": 0.75, "rest": 0.25}
    assert (found["image_ms"], found["image_processor_ms"], found["day_minutes"]) == (200.0, 100.0, 6.7)
    assert (found["peak_mb"], found["meets"]) == ({"20": 500.0, "40": late}, meets)


def test_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    make = bench_dicom.make_radiographs

    def small(folder: Path, syntax: str, sides: Any = None) -> list[Path]:
        return make(folder, syntax, ((40, 30),))

    works: list[Path] = []
    sources: list[list[Any]] = []

    def ratio(
        work: Path, files: list[Path], images: int, repeats: int, rule: str | None, workers: int
    ) -> dict[str, Any]:
        works.append(work)
        sources.append([len(files), images, repeats, rule, workers])
        return {"asked": images}

    monkeypatch.setattr(bench_dicom, "make_radiographs", small)
    monkeypatch.setattr(bench_dicom, "usable", lambda folder: {"shrunk": [folder / "1", folder / "2"]})
    monkeypatch.setattr(bench_dicom, "bench_ratio", ratio)
    monkeypatch.setattr(bench_dicom, "bench_day", lambda work, syntax, images, iqem: {"asked": [syntax, images, iqem]})
    given = [
        "--images",
        "9",
        "--repeats",
        "2",
        "--day",
        "21",
        "--num-workers",
        "2",
        "--syntaxes",
        "rle",
        "--folder",
        str(tmp_path),
    ]
    bench_dicom.main(["--out", str(tmp_path / "docs"), *given])
    files = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "docs").iterdir()}
    assert set(files) == {"bench_dicom", "bench_dicom_day"}
    found, day = files["bench_dicom"], files["bench_dicom_day"]
    assert json.loads(capsys.readouterr().out) == {"day": day["day"], "throughput": found["throughput"]}
    assert "day" not in found
    assert {name: found[name] for name in day if name != "day"} == {name: day[name] for name in day if name != "day"}
    asked = "--folder DIR --images 9 --num-workers 2 --repeats 2 --day 21 --syntaxes rle"
    assert found["command"] == f"python -m fesf.scripts.bench_dicom {asked}"
    assert str(tmp_path) not in json.dumps(found)
    assert day["day"] == [{"asked": ["rle", 21, False]}, {"asked": ["rle", 21, True]}]
    assert sources == [[1, 9, 2, "window", 2], [1, 1, 2, "window", 2], [2, 9, 2, None, 2], [2, 9, 2, None, 2]]
    assert [line["source"] for line in found["throughput"]] == [
        "synthetic CT slices, 512 x 512, uncompressed",
        "synthetic radiographs, rle",
        "files that pydicom brings, shrunk",
        "files of --folder, shrunk",
    ]
    assert (found["threads"], found["repeats"], found["size"]) == (1, 2, 224)
    assert len(found["load_average"]) == 2
    assert {"commit", "machine", "software"} <= set(found)
    assert "pylibjpeg-openjpeg" in found["software"]
    assert not works[0].exists()
    for part, file in (("throughput", "bench_dicom"), ("day", "bench_dicom_day")):
        out = tmp_path / part
        bench_dicom.main(["--out", str(out), "--only", part, *given])
        assert [path.stem for path in out.iterdir()] == [file]
        assert json.loads((out / f"{file}.json").read_text())["command"].endswith(f" --only {part}")


def test_text_is_masked_in_a_file_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench_dicom, "make_radiographs", lambda folder, syntax: [])
    monkeypatch.setattr(bench_dicom, "bench_day", lambda work, *asked: {"asked": list(asked)})
    bench_dicom.main(["--out", str(tmp_path), "--mask-text", "--day", "30", "--syntaxes", "rle", "uncompressed"])
    assert [path.name for path in tmp_path.iterdir()] == ["bench_dicom_text.json"]
    found = json.loads((tmp_path / "bench_dicom_text.json").read_text())
    assert found["day"] == [{"asked": [syntax, 30, False, True]} for syntax in ("rle", "uncompressed")]
    assert "throughput" not in found
    assert found["command"].endswith("bench_dicom --day 30 --syntaxes rle uncompressed --mask-text")


def test_a_day_too_short_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bench_dicom.main(["--day", "20"])
    assert "--day 20: give more than 20" in capsys.readouterr().err
