"""Words and numbers of the audit's pages; sentences are tested where the page is."""

from __future__ import annotations

from fesf.scripts.audit.words import interval


def test_interval() -> None:
    assert interval({"value": 4.806, "low": 4.5, "high": 5.0}) == "4.81 [4.50, 5.00]"
