"""audit.json: the same audit as the command's."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fesf.scripts.audit import audit
from fesf.scripts.audit.__main__ import main
from fesf.scripts.audit.audit import PastLimitError
from fesf.scripts.audit.same_image import SameImage
from tests.bundle.test_hide import hide
from tests.bundle.tiny import root_cause, run


@pytest.fixture(autouse=True)
def _keep_excepthook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)


@pytest.fixture
def ids(make_cohort: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Ids of audit.json for a small release, of which one attack is run."""
    monkeypatch.setattr(audit, "QUICK", {"same_image": SameImage()})
    monkeypatch.setattr(audit, "FULL", {})
    folder = make_cohort(24)
    store = hide(folder)
    names = {"cohort": folder / "cohort.csv", "hosts_dir": folder / "hosts", "store_dir": store}
    names |= {"hospital_dir": folder / "hospital"}
    return {name: str(path) for name, path in names.items()}


def test_the_config_does_what_the_command_does(ids: dict[str, Any], tmp_path: Path) -> None:
    run("audit.json", kind="infer", **ids)
    hospital = Path(ids["hospital_dir"])
    found = (hospital / "audit.json").read_bytes()
    assert (hospital / "audit" / "index.html").stat().st_mode & 0o777 == 0o600
    (hospital / "audit.json").unlink()
    options = {name.removesuffix("_dir"): value for name, value in ids.items()} | {"out": str(tmp_path / "out")}
    assert main([word for name, value in options.items() for word in (f"--{name}", value)]) == 0
    assert (hospital / "audit.json").read_bytes() == found
    results = [json.loads((out / "results.json").read_bytes()) for out in (hospital / "audit", tmp_path / "out")]
    for result in results:
        result["same_image"].pop("seconds")
    assert results[0] == results[1]


def test_ids_can_be_overridden_and_a_limit_that_is_past_fails_the_run(ids: dict[str, Any], tmp_path: Path) -> None:
    limits = tmp_path / "limits.json"
    limits.write_text('{"same_image": {"at_most": 0.01}}')
    with pytest.raises(RuntimeError) as caught:
        run("audit.json", kind="infer", **ids, limits=str(limits), output_dir=str(tmp_path / "elsewhere"))
    assert isinstance(root_cause(caught.value), PastLimitError)
    assert (tmp_path / "elsewhere" / "index.html").is_file()


def test_monais_tracking_logs_no_path(ids: dict[str, Any]) -> None:
    run("audit.json", kind="infer", tracking="mlflow", **ids)
    written = {path.name for path in (Path(ids["hospital_dir"]) / "audit").rglob("*")}
    assert written == {"attacks", "same_image.json", "results.json", "index.html"}


def test_scores_go_to_the_hospitals_own_mlflow(ids: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[Any] = []
    monkeypatch.setattr(audit, "log_scores", lambda *arguments: logged.append(arguments))
    run("audit.json", kind="infer", **ids)
    assert logged == []
    run("audit.json", kind="infer", **ids, mlflow_uri="sqlite:///own.db")
    ((uri, results, _),) = logged
    assert uri == "sqlite:///own.db"
    assert set(results) == {"same_image"}
