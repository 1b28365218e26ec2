"""Switches from a command line."""

from __future__ import annotations

import pytest

from fesf.scripts.data.flags import flag


@pytest.mark.parametrize(("value", "expected"), [(True, True), ("true", True), ("False", False), (False, False)])
def test_switches_are_understood(value: bool | str, expected: bool) -> None:
    assert flag("x", value) is expected


@pytest.mark.parametrize("value", [1, "yes", None])
def test_others_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"dry_run=.*: choose true or false"):
        flag("dry_run", value)  # type: ignore[arg-type]
