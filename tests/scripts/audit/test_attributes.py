"""Attribute columns become questions with two answers."""

from __future__ import annotations

from fesf.scripts.audit.attributes import binary_attributes


def column(*cells: str) -> dict[int, str]:
    return {row: cell for row, cell in enumerate(cells, start=2) if cell}


def test_two_values_ask_for_the_rarer_one_and_a_gap_stays_a_gap() -> None:
    assert binary_attributes({"sex": column("M", "F", "", "M")}) == {"sex=F": {2: 0, 3: 1, 5: 0}}
    assert binary_attributes({"sex": column("M", "F")}) == {"sex=F": {2: 0, 3: 1}}  # equally many: the first
    assert binary_attributes({"smoker": column("0", "1", "1")}) == {"smoker=0": {2: 1, 3: 0, 4: 0}}


def test_numbers_are_split_at_their_median() -> None:
    assert binary_attributes({"age": column("71", "30", "57.5", "57")}) == {"age>57.25": {2: 1, 3: 0, 4: 1, 5: 0}}
    assert binary_attributes({"age": column("30", "50", "70")}) == {"age>50": {2: 0, 3: 0, 4: 1}}


def test_each_of_a_few_values_is_asked_for() -> None:
    found = binary_attributes({"site": column("A", "B", "A", "C")})
    assert found == {
        "site=B": {2: 0, 3: 1, 4: 0, 5: 0},
        "site=C": {2: 0, 3: 0, 4: 0, 5: 1},
        "site=A": {2: 1, 3: 0, 4: 1, 5: 0},
    }


def test_columns_that_ask_nothing() -> None:
    names = column(*(f"person {number}" for number in range(7)))
    assert binary_attributes({"name": names, "country": column("X", "X"), "empty": {}}) == {}
