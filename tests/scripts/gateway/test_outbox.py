"""Nothing leaves that is not, byte for byte, a listed surrogate that passed its check."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from fesf.scripts.data.keys import commitment
from fesf.scripts.data.phase import PhaseCheck
from fesf.scripts.data.recipe import Recipe
from fesf.scripts.data.store import encode_image
from fesf.scripts.gateway.outbox import Outbox, OutboxError
from tests.scripts.gateway.made import SIZE, original

KEY, IDENTITY = b"k" * 32, "a" * 32
RECIPE = Recipe("r1", image_size=SIZE, output="dicom")
FINE = PhaseCheck(0.9, 0.0, 0.0)
SURROGATE = encode_image(np.full((1, *SIZE), 0.5, np.float32), RECIPE.encoding, None, IDENTITY)


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "outbox", KEY, RECIPE)


def reason(outbox: Outbox, entry: str, identity: str = IDENTITY) -> str:
    with pytest.raises(OutboxError) as raised:
        outbox.checked(identity, entry)
    return raised.value.reason


def test_what_was_put_may_leave(outbox: Outbox) -> None:
    entry = outbox.put(IDENTITY, SURROGATE, FINE)
    assert outbox.checked(IDENTITY, entry) == SURROGATE
    assert (outbox.folder / f"{IDENTITY}.dcm").stat().st_mode & 0o777 == 0o600
    outbox.remove(IDENTITY)
    outbox.remove(IDENTITY)
    assert reason(outbox, entry) == "missing"


@pytest.mark.parametrize("check", [PhaseCheck(0.69, 0, 0), PhaseCheck(0.9, 0.13, 0), PhaseCheck(0.9, 0, 0.01)])
def test_a_failed_phase_check_comes_not_in(outbox: Outbox, check: PhaseCheck) -> None:
    with pytest.raises(OutboxError, match="phase"):
        outbox.put(IDENTITY, SURROGATE, check)
    assert list(outbox.folder.iterdir()) == []


@pytest.mark.parametrize("content", [original(), SURROGATE[:-1] + b"\xff", SURROGATE + b"\0\0", SURROGATE[:-2], b""])
def test_another_content_stays(outbox: Outbox, content: bytes) -> None:
    entry = outbox.put(IDENTITY, SURROGATE, FINE)
    (outbox.folder / f"{IDENTITY}.dcm").write_bytes(content)
    assert reason(outbox, entry) == "digest"


def test_an_original_listed_by_mistake_stays(outbox: Outbox) -> None:
    assert reason(outbox, outbox.put(IDENTITY, original(), FINE)) == "elements"


def test_an_element_too_many_stays(outbox: Outbox) -> None:
    surrogate, buffer = pydicom.dcmread(io.BytesIO(SURROGATE)), io.BytesIO()
    surrogate.StudyDate = "20200101"
    surrogate.save_as(buffer, enforce_file_format=False)
    assert reason(outbox, outbox.put(IDENTITY, buffer.getvalue(), FINE)) == "elements"


def test_a_surrogate_of_another_size_or_id_stays(outbox: Outbox) -> None:
    other = encode_image(np.full((1, 16, 16), 0.5, np.float32), RECIPE.encoding, None, IDENTITY)
    assert reason(outbox, outbox.put(IDENTITY, other, FINE)) == "elements"
    other = encode_image(np.full((1, *SIZE), 0.5, np.float32), RECIPE.encoding, None, "b" * 32)
    assert reason(outbox, outbox.put(IDENTITY, other, FINE)) == "elements"


def test_an_entry_without_the_secret_is_none(outbox: Outbox) -> None:
    entry = outbox.put(IDENTITY, SURROGATE, FINE)
    assert reason(outbox, "") == "unlisted"
    assert reason(outbox, entry.replace("0.9", "0.8")) == "entry"
    assert reason(outbox, entry[1:]) == "entry"
    mac, _, text = entry.partition(" ")
    assert reason(outbox, f"{commitment(b'x' * 32, text.encode())} {text}") == "entry"
    assert reason(Outbox(outbox.folder, b"x" * 32, RECIPE), entry) == "entry"
    assert len(mac) == 64


def test_an_entry_of_another_surrogate_is_none(outbox: Outbox) -> None:
    other = outbox.put("b" * 32, encode_image(np.zeros((1, *SIZE), np.float32), RECIPE.encoding, None, "b" * 32), FINE)
    outbox.put(IDENTITY, SURROGATE, FINE)
    assert reason(outbox, other) == "entry"


def test_an_entry_whose_check_failed_is_none(outbox: Outbox) -> None:
    """Even under a right MAC: what is listed is judged again."""
    entry = outbox.put(IDENTITY, SURROGATE, FINE)
    text = json.dumps(json.loads(entry.partition(" ")[2]) | {"coherence": 0.1}, sort_keys=True)
    assert reason(outbox, f"{commitment(KEY, text.encode())} {text}") == "phase"


def test_a_link_is_not_followed(outbox: Outbox, tmp_path: Path) -> None:
    entry = outbox.put(IDENTITY, SURROGATE, FINE)
    (tmp_path / "elsewhere").write_bytes(SURROGATE)
    outbox.remove(IDENTITY)
    (outbox.folder / f"{IDENTITY}.dcm").symlink_to(tmp_path / "elsewhere")
    assert reason(outbox, entry) == "missing"


def test_the_release_officers_decision_is_the_recipes(outbox: Outbox) -> None:
    removed = encode_image(np.full((1, *SIZE), 0.5, np.float32), RECIPE.encoding | {"patient_identity_removed": "YES"},
                           None, IDENTITY)  # fmt: skip
    assert reason(outbox, outbox.put(IDENTITY, removed, FINE)) == "elements"
    assert replace(RECIPE, bit_depth=16).encoding["patient_identity_removed"] == "NO"
