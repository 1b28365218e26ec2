"""The bench of opening a store: a sound store, real figures, and a verdict that follows from them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from fesf.scripts import bench_store
from fesf.scripts.data.verify import verify_store


@pytest.fixture(autouse=True)
def _keep_logging() -> Iterator[None]:
    yield
    logging.disable(logging.NOTSET)


def test_the_bench_writes_what_it_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bench_store.main(["--out", str(tmp_path), "--images", "48", "--repeats", "1"])
    document = json.loads((tmp_path / "bench_store.json").read_text())
    assert json.loads(capsys.readouterr().out) == {name: document[name] for name in FIGURES}
    assert (document["command"], document["images"]) == (bench_store.COMMAND, 48)
    assert document["open_s"] > 0
    assert document["epoch_s"] > document["open_s"]
    share = (document["open_s"] + document["digests_s"]) / document["epoch_s"]
    assert document["open_share"] == pytest.approx(share, abs=0.02)
    assert document["meets"] == (share <= 0.05 and document["verify_s"] <= 10)


FIGURES = ("open_s", "digests_s", "epoch_s", "verify_s", "open_share", "at_most", "meets")


def test_its_store_is_sound(tmp_path: Path) -> None:
    store = bench_store.make_store(tmp_path / "store", 5)
    assert verify_store(store) == []
    assert len(bench_store.open_store(store).digests) == 5 + bench_store.VALIDATION + 1
