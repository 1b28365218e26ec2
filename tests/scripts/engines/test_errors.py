"""A user's mistake ends in one line; anything else keeps its traceback."""

from __future__ import annotations

import sys

import pytest

from fesf.scripts.data.flags import flag
from fesf.scripts.engines.errors import PlainErrors, first_cause, show


def caught(cause: bool) -> BaseException:
    try:
        try:
            if cause:
                flag("dry_run", "maybe")
            raise ValueError("of somebody else's")
        except ValueError as error:
            raise RuntimeError("Failed to instantiate component") from error
    except RuntimeError as error:
        return error


def test_our_error_is_its_text_alone(capsys: pytest.CaptureFixture[str]) -> None:
    error = caught(cause=True)
    show(type(error), error, error.__traceback__)
    assert capsys.readouterr().err == "error: dry_run='maybe': choose true or false.\n"


def test_other_errors_keep_their_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    error = caught(cause=False)
    assert first_cause(error) is None
    show(type(error), error, error.__traceback__)
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_the_hook_is_set_unless_the_environment_says_no(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    monkeypatch.setenv("FESF_TRACEBACK", "1")
    PlainErrors()
    assert sys.excepthook is sys.__excepthook__
    monkeypatch.delenv("FESF_TRACEBACK")
    PlainErrors()
    assert sys.excepthook is show
