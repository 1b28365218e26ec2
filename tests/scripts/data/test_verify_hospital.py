"""What only the hospital can check of a store."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path

import pytest

from fesf.scripts.data.encrypted_table import encrypt
from fesf.scripts.data.keys import derive_key
from fesf.scripts.data.verify import Problem
from fesf.scripts.data.verify_hospital import UniqueLabels, verify_hospital
from tests.scripts.data.made_store import identity, made

SECRET = b"a secret for the tests, 32 bytes and more"


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    return made(tmp_path)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.write_bytes(SECRET)
    file.chmod(0o600)
    return file


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def line_of(hospital: Path, number: int) -> str:
    return next(
        line for line in (hospital / "linkage.csv").read_text().splitlines() if line.startswith(identity(number))
    )


def test_a_sound_release(folders: tuple[Path, Path]) -> None:
    problems, notes = verify_hospital(*folders)
    assert problems == []
    # Every patient of a section has one "no" and one "yes"; validation has one patient, who stands alone.
    assert notes == [
        UniqueLabels("training", 3, 0, 0),
        UniqueLabels("validation", 1, 1, 1),
        UniqueLabels("test", 2, 0, 0),
    ]


def test_linkage_and_store_differ(folders: tuple[Path, Path]) -> None:
    store, hospital = folders
    linkage = hospital / "linkage.csv"
    edit(linkage, identity(0), "f" * 32)
    assert sorted(verify_hospital(store, hospital)[0]) == sorted(
        [Problem("not-in-linkage", identity(0)), Problem("not-in-store", "f" * 32)]
    )
    edit(linkage, "f" * 32, identity(0))
    edit(linkage, line_of(hospital, 2), line_of(hospital, 2).replace(",no,", ",yes,"))
    assert verify_hospital(store, hospital)[0] == [Problem("other-label", identity(2))]


def test_splits_that_share_a_patient(folders: tuple[Path, Path]) -> None:
    store, hospital = folders
    # Image 11, of the last test patient, becomes the first training patient's.
    edit(hospital / "linkage.csv", line_of(hospital, 11), line_of(hospital, 11).replace("Schmidt 5", "Schmidt 0"))
    problems = verify_hospital(store, hospital)[0]
    shared = {problem.id for problem in problems if problem.code == "patient-in-two-splits"}
    assert shared == {identity(0), identity(1), identity(11)}
    assert Problem("other-split", identity(11)) in problems
    assert "Schmidt" not in repr(problems)


def test_splits_csv_names_another_section(folders: tuple[Path, Path]) -> None:
    store, hospital = folders
    edit(hospital / "splits.csv", "Anna Schmidt 0,training", "Anna Schmidt 0,test")
    assert sorted(verify_hospital(store, hospital)[0]) == sorted(
        [Problem("other-split", identity(0)), Problem("other-split", identity(1))]
    )


def test_patients_who_stand_alone_by_their_labels(folders: tuple[Path, Path]) -> None:
    store, hospital = folders
    dataset = json.loads((store / "dataset.json").read_text())
    edit(hospital / "linkage.csv", line_of(hospital, 1), line_of(hospital, 1).replace(",yes,", ",no,"))
    notes = verify_hospital(store, hospital)[1]
    assert notes[0] == UniqueLabels("training", 3, 1, 1)  # {no} alone against twice {no, yes}
    assert dataset["class_names"] == ["no", "yes"]


def test_the_commitment_needs_the_secret(folders: tuple[Path, Path], secret: Path) -> None:
    store, hospital = folders
    assert verify_hospital(store, hospital, secret)[0] == [Problem("other-recipe", "-")]
    key = derive_key(SECRET, "release-1", "commitment")
    right = hmac.new(key, (hospital / "release.json").read_bytes(), hashlib.sha256).hexdigest()
    edit(store / "manifest.json", "0" * 64, right)
    assert verify_hospital(store, hospital, secret)[0] == []
    (hospital / "release.json").unlink()
    with pytest.raises(ValueError, match=r"has no release\.json"):
        verify_hospital(store, hospital, secret)


def test_an_encrypted_linkage_is_read(
    folders: tuple[Path, Path], secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, hospital = folders
    plain = hospital / "linkage.csv"
    (hospital / "linkage.csv.enc").write_bytes(encrypt(plain.read_bytes(), SECRET, "release-1"))
    plain.unlink()
    monkeypatch.setenv("FESF_SECRET", SECRET.decode())
    assert verify_hospital(store, hospital)[0] == []
