"""A store written by hand in which some images have no label."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.scripts.data.made_store import identity, png, write

LABELS = {0: "no", 1: "yes", 2: None, 3: None, 4: "yes", 5: None, 6: "no", 7: None}
"""By number: the first four are of training, two each of validation and test."""
SECTION = ["training"] * 4 + ["validation"] * 2 + ["test"] * 2


@pytest.fixture
def store(tmp_path: Path) -> Path:
    dataset: dict[str, object] = {"class_names": ["no", "yes"]}
    for section in ("training", "validation", "test"):
        items = []
        for number, label in LABELS.items():
            if SECTION[number] == section:
                known = {} if label is None else {"label": ["no", "yes"].index(label)}
                items.append({"image": f"images/{identity(number)}.png"} | known)
        dataset[section] = sorted(items, key=lambda item: str(item["image"]))
    images = {f"images/{identity(number)}.png": png(10 + number) for number in LABELS}
    return write(tmp_path / "store", images, json.loads(json.dumps(dataset)))
