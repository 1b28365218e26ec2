"""Attributes of patients as questions with two answers: is it so, or is it not?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from statistics import median

MOST_VALUES = 6
"""Of an attribute whose every value is asked for; one with more says what nobody guesses, such as a name."""


def binary_attributes(columns: Mapping[str, Mapping[int, str]]) -> dict[str, dict[int, int]]:
    """Questions from the cohort's attribute columns.

    Two values: is it the rarer one (``sex=F``)? Numbers of more values: is it above their median (``age>57``)? Three to
    six other values: is it this one, for each? Other columns give no question.

    Args:
        columns: by name, the cell of each row.

    Returns:
        By question, 1 or 0 for each row that has a cell.

    >>> binary_attributes({"sex": {2: "F", 3: "M", 4: "M"}, "age": {2: "30", 3: "50", 4: "70"}})
    {'sex=F': {2: 1, 3: 0, 4: 0}, 'age>50': {2: 0, 3: 0, 4: 1}}
    """
    questions: dict[str, dict[int, int]] = {}
    for name, cells in columns.items():
        counts = Counter(cells.values())
        numbers = {row: number for row, cell in cells.items() if (number := _number(cell)) is not None}
        if len(counts) < 2:
            continue
        if len(counts) > 2 and len(numbers) == len(cells):
            middle = median(numbers.values())
            questions[f"{name}>{middle:g}"] = {row: int(number > middle) for row, number in numbers.items()}
        elif len(counts) <= MOST_VALUES:
            asked = sorted(counts, key=lambda value: (counts[value], value))
            for value in asked[:1] if len(counts) == 2 else asked:
                questions[f"{name}={value}"] = {row: int(cell == value) for row, cell in cells.items()}
    return questions


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None
