"""Reasons and the table of what is set aside."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from fesf.scripts.data.quarantine import REASONS, Aside, counts, escape, quarantine_table

PAGE = Path(__file__).parents[3] / "docs" / "cohort.md"


def test_the_page_names_every_reason() -> None:
    table = dict(re.findall(r"^\| `([a-z][a-z-]*)` \| (.+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert table == REASONS


def test_table_has_one_line_a_file() -> None:
    table = quarantine_table([Aside("a,b", "empty"), Aside("new\nline", "constant", 3)])
    assert table == b'file,frame,reason\n"a,b",,empty\nnew\\nline,3,constant\n'


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        ("Ünal", "Ünal"),
        ("a\\nb", "a\\\\nb"),
        ("a\nb", "a\\nb"),
        (os.fsdecode(b"\xff"), "\\udcff"),
        ("\x1b[0m", "\\x1b[0m"),
    ],
)
def test_names_become_printable(name: str, escaped: str) -> None:
    assert escape(name) == escaped
    assert escape(name).isprintable()


def test_counts_and_codes() -> None:
    asides = [Aside("a", "empty"), Aside("b", "constant"), Aside("c", "constant")]
    assert counts(asides) == [("constant", 2), ("empty", 1)]
    with pytest.raises(ValueError, match="'lost' is no reason code"):
        Aside("a", "lost")
