"""Switches given on a command line."""

from __future__ import annotations


def flag(name: str, value: bool | str) -> bool:
    """A switch as a bool: ``python -m monai.bundle run --dry_run true`` hands over the text "true".

    Args:
        name: id of the switch.
        value: true or false, as a bool or a text.

    Raises:
        ValueError: for anything else.
    """
    known = {"true": True, "false": False}
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in known:
        return known[value.lower()]
    raise ValueError(f"{name}={value!r}: choose true or false.")
