"""Where runs are logged, and that no variable of the environment moves a hospital's."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("mlflow")

from monai.handlers import MLFlowHandler

from fesf.scripts.engines.tracking import (
    URI_VARIABLE,
    TrackedRun,
    TrackingHandler,
    choose_uri,
    refuse_other_servers,
)

REMOTE = "http://elsewhere.example:5000"


@pytest.mark.parametrize(
    ("named", "hospital", "variable", "expected"),
    [
        (None, False, None, "sqlite:///own.db"),
        (None, False, REMOTE, REMOTE),
        (None, True, REMOTE, "sqlite:///own.db"),
        ("http://named", True, REMOTE, "http://named"),
        ("http://named", False, REMOTE, "http://named"),
    ],
)
def test_an_address(
    named: str | None, hospital: bool, variable: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(URI_VARIABLE, raising=False)
    if variable:
        monkeypatch.setenv(URI_VARIABLE, variable)
    assert choose_uri("sqlite:///own.db", named, hospital) == expected
    run = TrackedRun("sqlite:///own.db", named, hospital)
    assert run.uri == expected
    assert TrackedRun("sqlite:///own.db").run_name != run.run_name  # no run goes on in another


def test_the_handler_heeds_the_run_and_not_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URI_VARIABLE, REMOTE)
    handler = TrackingHandler(TrackedRun("x", "http://named.example"))
    assert handler.client.tracking_uri == "http://named.example"
    import os

    assert os.environ[URI_VARIABLE] == REMOTE


def test_monais_handler_is_refused_where_the_variable_would_move_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(URI_VARIABLE, raising=False)
    monais = MLFlowHandler(tracking_uri="http://named.example")
    refuse_other_servers([monais, SimpleNamespace()])
    refuse_other_servers(None)
    monkeypatch.setenv(URI_VARIABLE, REMOTE)
    with pytest.raises(ValueError, match=f"{URI_VARIABLE} is set, and a workflow of the hospital logs to no server"):
        refuse_other_servers([SimpleNamespace(), monais])
    refuse_other_servers([TrackingHandler(TrackedRun("x", "http://named.example"))])


def test_a_folder_is_no_address() -> None:
    with pytest.raises(ValueError, match="no longer supports the filesystem"):
        TrackingHandler(TrackedRun("x", "/some/folder"))
