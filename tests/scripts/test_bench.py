"""The benchmark measures what it says, on tiny sizes: figures, file, picture and refusals (never a speed)."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch
from PIL import Image

from fesf.scripts import bench
from fesf.transforms import hide
from fesf.transforms.functional import half_widths


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """One run on a tiny image and a tiny volume, in a process that used two threads before."""
    out = tmp_path_factory.mktemp("bench") / "docs"
    patch = pytest.MonkeyPatch()
    patch.setattr(bench, "BATCH_PIXELS", 1200)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        code = bench.main(["--sizes", "20", "30x12", "8x9x10", "--repeats", "4", "--out", str(out)])
        after = torch.get_num_threads()
    finally:
        torch.set_num_threads(threads)
        patch.undo()
    return {"code": code, "out": out, "threads_after": after, "record": json.loads((out / "bench.json").read_text())}


def test_file(outcome):
    record = outcome["record"]
    assert outcome["code"] == 0
    assert record["command"] == "python -m fesf.scripts.bench --sizes 20 30x12 8x9x10 --repeats 4"
    assert record["threads"] == 1
    assert record["machine"]["processor"]
    assert record["software"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert {"commit", "seed", "targets", "notes", "dtype", "repeats"} <= set(record)
    assert "GPU" in record["notes"]
    assert [(row["shape"], row["alpha"]) for row in record["rows"]] == [
        (list(shape), alpha) for shape in ((20, 20), (30, 12), (8, 9, 10)) for alpha in bench.ALPHAS
    ]
    assert record["short"] == sum(not row["meets"] for row in record["rows"])


def test_rows(outcome):
    targets = {0.05: (20, 0.7), 0.1: (20, 0.7), 0.25: (10, 1.0), 0.5: (8, 1.5)}  # the table
    for row in outcome["record"]["rows"]:
        assert row["batch"] == {(20, 20): 3, (30, 12): 3, (8, 9, 10): 1}[tuple(row["shape"])]
        volume, wide = len(row["shape"]) == 3, max(half_widths(row["shape"], row["alpha"])) > 11
        assert row["route"] == ("FourierBand" if volume or wide else "MatrixBand")
        assert row["largest_error"] < 1e-6
        least, most = targets[row["alpha"]]
        assert row["meets"] == (row["against_numpy"] >= least and row["against_roundtrip"] <= most)
        assert row["hide_ms"] > 0


def test_threads_are_given_back(outcome):
    assert outcome["threads_after"] == 2


def test_picture(outcome):
    with Image.open(outcome["out"] / "bench.png") as picture:
        assert min(picture.size) > 300
        assert not {"Software", "Creation Time"} & set(picture.info)
        assert len(np.unique(np.asarray(picture.convert("L")))) > 20


def test_default_command_has_no_options(tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "SIZES", ("12",))
    monkeypatch.setattr(bench, "measure", lambda shape, repeats: [])
    monkeypatch.setattr(bench, "draw", lambda rows, path: None)
    bench.main(["--out", str(tmp_path)])
    assert json.loads((tmp_path / "bench.json").read_text())["command"] == "python -m fesf.scripts.bench"


@pytest.mark.parametrize("alpha", bench.ALPHAS)
@pytest.mark.parametrize("shape", [(8, 9), (6, 7, 8)])
def test_numpy_contender_computes_the_same(shape, alpha):
    rng = np.random.default_rng(0)
    plains, host = rng.random((2, *shape)), rng.random(shape)
    expected = hide(torch.from_numpy(plains), torch.from_numpy(host), alpha, 0.3, len(shape), clip=True)
    np.testing.assert_allclose(bench.hide_with_numpy(plains, host, alpha, 0.3), expected.numpy(), rtol=0, atol=1e-12)


def test_ratios_are_paired_within_a_round(monkeypatch):
    """A clock that advances by a known step for each contender gives known ratios."""
    steps = {"roundtrip": 4.0, "numpy": 60.0} | dict.fromkeys(bench.ALPHAS, 2.0)
    order = ["roundtrip", *bench.ALPHAS]
    ticks = []
    now = 0.0
    for round_ in range(-2, 3):
        for name in order + ([] if round_ % 3 else ["numpy"]):
            ticks += [now, now + steps[name] * (round_ + 10)]  # every round slower than the last
            now = ticks[-1]
    clock = itertools.chain(ticks, itertools.repeat(now))
    monkeypatch.setattr(bench.time, "process_time", lambda: next(clock))
    for row in bench.measure((512, 640), 3):
        assert row["batch"] == 3
        assert row["against_roundtrip"] == 0.5
        assert row["against_numpy"] == 30.0
        assert row["meets"]


@pytest.mark.parametrize("size", ["0", "1", "a", "8x", "2x2x2x2", "-8", "8.5"])
def test_refuses_sizes(size, capsys):
    with pytest.raises(SystemExit) as stop:
        bench.main([f"--sizes={size}"])
    assert stop.value.code == 2
    assert f"got '{size}'" in capsys.readouterr().err


def test_refuses_repeats(capsys):
    with pytest.raises(SystemExit):
        bench.main(["--repeats", "0"])
    assert "--repeats must be at least 1, got 0" in capsys.readouterr().err


def test_help(capsys):
    with pytest.raises(SystemExit) as stop:
        bench.main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert all(option in text for option in ("--sizes", "--repeats", "--out"))
