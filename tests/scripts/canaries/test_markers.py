"""Markers: unique, of the value representation that they fill, and the same for the same seed."""

from __future__ import annotations

import re
from datetime import datetime

import pytest

from fesf.scripts.canaries.markers import SCRIPTS, UID_ROOT, Mint


def mint_many(seed: int) -> Mint:
    mint = Mint(seed)
    for number in range(300):
        where = f"file {number}"
        mint.text(where)
        mint.date(where)
        mint.time(where)
        mint.moment(where)
        mint.integer(where)
        mint.decimal(where)
        mint.uid(where)
        for script in SCRIPTS:
            mint.script(where, script)
    return mint


def test_each_is_another_and_a_seed_repeats() -> None:
    mint = mint_many(1)
    texts = [marker.text for marker in mint.made]
    assert len(set(texts)) == len(texts) == 300 * (7 + len(SCRIPTS))
    assert [marker.text for marker in mint_many(1).made] == texts
    drawn = {marker.text for marker in mint_many(2).made if marker.kind not in ("date",)}
    assert not drawn & set(texts)


def test_values_fit_their_representation() -> None:
    mint = Mint(0)
    for _ in range(200):
        assert re.fullmatch(r"QZ[A-Z0-9]{10}", mint.text(""))
        assert datetime.strptime(mint.date(""), "%Y%m%d").year < 1600
        datetime.strptime(mint.time(""), "%H%M%S.%f")
        datetime.strptime(mint.moment(""), "%Y%m%d%H%M%S")
        assert 10**9 <= int(mint.integer("")) < 2**31
        decimal = mint.decimal("")
        assert len(decimal) == 16
        assert 0.5 < float(decimal) < 1
        assert repr(float(decimal)) == decimal
        uid = mint.uid("")
        assert uid.startswith(UID_ROOT)
        assert len(uid) <= 64


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_can_be_written_in_their_character_set(script: str) -> None:
    text = Mint(0).script("a name", script)
    _, codec, letters = SCRIPTS[script]
    assert set(text) <= set(letters)
    assert text.encode(codec).decode(codec) == text


def test_what_stands_around_a_marker_is_kept_as_the_whole_value() -> None:
    mint = Mint(0)
    value = mint.text("file 1", around="SCHMIDT {}")
    assert value == "SCHMIDT " + mint.made[0].text
    assert mint.made[0].whole == value
    assert [marker.is_short_number for marker in mint.made] == [False]
    mint.date("file 1")
    assert mint.made[1].is_short_number
