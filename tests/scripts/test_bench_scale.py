"""The bench of scale: its releases are sound, its figures real, and its page is of them."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fesf.scripts import bench_scale
from fesf.scripts.data.cohort import read_cohort
from fesf.scripts.data.store_format import load_dataset


@pytest.fixture(autouse=True)
def _keep_logging() -> Iterator[None]:
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
def test_the_bench_writes_what_it_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bench_scale.main(["--out", str(tmp_path), "--images", "80", "140", "200", "--patients", "8"])
    document = json.loads((tmp_path / "scale.json").read_text())
    assert document["command"] == "python -m fesf.scripts.bench_scale --images 80 140 200"
    assert [each["images"] for each in document["sizes"]] == [80, 140, 200]
    for each in document["sizes"]:
        assert set(each["seconds"]) == {"plan", "write", "publish", "open", "verify"}
        assert all(seconds > 0 for seconds in each["seconds"].values())
        assert set(each["memory_mb"]) == {"client", "training", "verify_store"}
    first, _, last = (each["bytes"]["manifest.json"] for each in document["sizes"])
    entry = len(f' "images/{"0" * 32}.png": {{\n   "sha256": "{"0" * 64}",\n   "size": 1100\n  }},\n')
    assert (last - first) / 120 == pytest.approx(entry, abs=6)
    spent = document["cluster"]["processor_ms"]
    assert spent["worker"] > spent["client"] > 0
    assert spent["one_process"] > spent["client"]  # the client hides nothing itself
    assert "releases of 80, 140, 200 images" in (tmp_path / "scale.md").read_text()
    assert "200 images: measured." in capsys.readouterr().out


def test_its_cohort_and_its_store(tmp_path: Path) -> None:
    folder = bench_scale.make_table(tmp_path / "c", 30)
    cohort = read_cohort(folder / "cohort.csv")
    assert len(cohort.labels_of_patients()) == 8
    found = bench_scale.publish(folder)
    assert set(found["seconds"]) == {"plan", "write", "publish"}
    assert sum(len(load_dataset(folder / "store")[name]) for name in ("training", "validation", "test")) == 30
    assert bench_scale.verify(folder)["seconds"]["verify"] > 0
    next((folder / "store" / "images").iterdir()).write_bytes(b"changed")
    with pytest.raises(RuntimeError, match="The bench's store is not sound"):
        bench_scale.verify(folder)


@pytest.mark.parametrize("sizes", [["100", "200"], ["100", "100", "200"], ["79", "100", "200"], ["300", "200", "100"]])
def test_sizes_that_give_no_slope(sizes: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        bench_scale.main(["--images", *sizes])
    assert caught.value.code == 2
    assert f"--images {' '.join(sizes)}: give three sizes or more, growing, the first at least 80." in (
        capsys.readouterr().err
    )


def test_a_scheduler_that_does_not_start(tmp_path: Path) -> None:
    gone: Any = subprocess.Popen([sys.executable, "-c", ""], env=dict(os.environ))
    gone.wait()
    with pytest.raises(RuntimeError, match="Dask scheduler did not start: see that the extra cluster"):
        bench_scale._address(tmp_path / "scheduler.json", gone)


def test_rounding() -> None:
    assert bench_scale.rounded({"a": [1.23456, 2], "b": "c"}) == {"a": [1.235, 2], "b": "c"}
