"""From a small real hide run to a signed release, a withdrawal and the next release."""

from __future__ import annotations

import csv
import hashlib
import hmac
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from monai.bundle import ConfigWorkflow

from fesf.scripts import release as command
from fesf.scripts import release_log, verify_store
from fesf.scripts.data.keys import derive_key
from fesf.scripts.data.linkage import read_linkage
from fesf.scripts.data.release_log import read_log
from fesf.scripts.data.signature import make_keys
from fesf.scripts.rotate_secret import main as rotate

CONFIG = Path(__file__).parents[2] / "bundle" / "configs" / "hide.json"
SECRET = b"a secret for the tests, 32 bytes and more"


@pytest.fixture(autouse=True)
def _keep_excepthook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)


def hide(folder: Path, number: int = 1, **overrides: Any) -> tuple[Path, Path]:
    """Publish store ``number`` with its own hospital folder."""
    store, hospital = folder / "out" / f"store{number}", folder / f"hospital{number}"
    paths = {"cohort": folder / "cohort.csv", "hosts_dir": folder / "hosts", "secret_file": folder / "secret"}
    ids = {name: str(path) for name, path in (paths | {"store_dir": store, "hospital_dir": hospital}).items()}
    ids |= {"image_size": [24, 24], "device": "$torch.device('cpu')"}
    run = ConfigWorkflow(str(CONFIG), workflow_type="infer", run_id="hiding", logging_file=False, **(ids | overrides))
    run.initialize()
    run.run()
    run.finalize()
    return store, hospital


def refused(folder: Path, number: int = 1, **overrides: Any) -> str:
    with pytest.raises((RuntimeError, ValueError)) as caught:
        hide(folder, number, **overrides)
    error: BaseException = caught.value
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error)


def arguments(folder: Path, number: int = 1, *more: str) -> list[str]:
    if not (folder / "key").exists():
        make_keys(folder / "key")
    given = ["--hospital", str(folder / f"hospital{number}"), "--approver", "Dr. Officer", "--to", "Clinic B"]
    return [str(folder / "out" / f"store{number}"), *given, "--key-file", str(folder / "key"), *more]


WITHOUT = ("--without-audit", "test data")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_a_release_is_verified_logged_and_signed(
    make_cohort: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_cohort()
    store, hospital = hide(folder)
    before = contents(store)
    archive = folder / "out" / "store.tar"
    secret = ("--secret-file", str(folder / "secret"))
    assert command.main(arguments(folder, 1, *WITHOUT, "--archive", str(archive), *secret)) == 0
    said = capsys.readouterr().out
    signature = (store / "manifest.sig").read_bytes()
    assert contents(store) == before | {"manifest.sig": signature}
    public = load_pem_public_key((folder / "key.pub").read_bytes())
    public.verify(signature, before["manifest.json"])  # type: ignore[union-attr, call-arg]
    with pytest.raises(InvalidSignature):
        public.verify(signature, before["manifest.json"] + b" ")  # type: ignore[union-attr, call-arg]
    assert len({path.stat().st_mtime for path in [store, *store.rglob("*")]}) == 1
    assert verify_store.main([str(store), "--public-key", str(folder / "key.pub")]) == 0

    log = read_log(hospital / "release-log.jsonl")
    assert log.head in said
    (entry,) = log.entries
    digest = {name: hashlib.sha256(content).hexdigest() for name, content in before.items()}
    assert entry["store"] == digest["manifest.json"]
    assert entry["recipe"] == hashlib.sha256((hospital / "release.json").read_bytes()).hexdigest()
    assert entry["archive"] == hashlib.sha256(archive.read_bytes()).hexdigest()
    assert entry["key"] == hashlib.sha256(public.public_bytes_raw()).hexdigest()  # type: ignore[union-attr]
    assert (entry["approver"], entry["to"], entry["audit"]) == ("Dr. Officer", "Clinic B", {"without": "test data"})
    assert (entry["event"], entry["release_id"], entry["images"], entry["patients"]) == ("release", "release-1", 24, 12)
    for marker in ("Schmidt", "SCHMIDT", *before):
        assert marker not in json.dumps(entry) + said

    # Again, for another clinic: the same store and archive, one more line.
    again = [word if word != "Clinic B" else "Clinic C" for word in arguments(folder, 1, *WITHOUT)]
    assert command.main([*again, "--archive", str(folder / "again.tar")]) == 0
    assert (folder / "again.tar").read_bytes() == archive.read_bytes()
    assert [line["to"] for line in read_log(hospital / "release-log.jsonl").entries] == ["Clinic B", "Clinic C"]
    assert (store / "manifest.sig").read_bytes() == signature


def test_what_is_refused_leaves_no_signature_and_no_line(
    make_cohort: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_cohort()
    store, hospital = hide(folder)

    def says(status: int, given: list[str], message: str) -> None:
        assert command.main(given) == status
        said = capsys.readouterr().err
        assert message in said
        assert "Schmidt" not in said
        assert not (store / "manifest.sig").exists()
        assert not (hospital / "release-log.jsonl").exists()

    says(2, arguments(folder), "has no audit.json: audit the store first")
    audit = {"store": "0" * 64, "limits": {"rank_1": {"at_most": 0.1}}, "results": {"rank_1": 0.3}}
    (hospital / "audit.json").write_text(json.dumps(audit))
    says(2, arguments(folder), "is of another store")
    audit["store"] = hashlib.sha256((store / "manifest.json").read_bytes()).hexdigest()
    (hospital / "audit.json").write_text(json.dumps(audit))
    says(2, arguments(folder), "rank_1 is 0.3, its limit is at most 0.1: this store is not to be released")
    says(2, [word if word != "Clinic B" else " " for word in arguments(folder, 1, *WITHOUT)], "--to ' ': give one line")
    says(2, [*arguments(folder), "--without-audit", "two\nlines"], "--without-audit 'two\\nlines': give one line")
    inside = str(store / "release-log.jsonl")
    says(2, arguments(folder, 1, *WITHOUT, "--log", inside), "lies in a surrogate store")
    (folder / "key").chmod(0o640)
    says(2, arguments(folder, 1, *WITHOUT), "can be read by other users: chmod 600 it")
    (folder / "key").chmod(0o600)
    image = next((store / "images").iterdir())
    content = image.read_bytes()
    times = image.stat()
    image.write_bytes(content[:-1] + b"\0")
    os.utime(image, ns=(times.st_atime_ns, times.st_mtime_ns))
    says(1, arguments(folder, 1, *WITHOUT), f"digest-differs {image.stem}")
    image.write_bytes(content)
    os.utime(image, ns=(times.st_atime_ns, times.st_mtime_ns))
    linkage = hospital / "linkage.csv"
    held = linkage.read_text()
    linkage.write_text("\n".join(held.splitlines()[:-1]) + "\n")
    says(1, arguments(folder, 1, *WITHOUT), "not-in-linkage ")
    linkage.write_text(held)
    audit["results"] = {"rank_1": 0.1}
    (hospital / "audit.json").write_text(json.dumps(audit))
    assert command.main(arguments(folder)) == 0
    (entry,) = read_log(hospital / "release-log.jsonl").entries
    assert entry["audit"]["results"] == {"rank_1": 0.1}
    make_keys(folder / "other")
    other = [word if word != str(folder / "key") else str(folder / "other") for word in arguments(folder)]
    assert command.main(other) == 2
    assert "is signed with another key" in capsys.readouterr().err


def test_a_log_that_was_tampered_with_stops_the_next_release(
    make_cohort: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_cohort()
    _, hospital = hide(folder)
    log = hospital / "release-log.jsonl"
    for _ in range(2):
        assert command.main(arguments(folder, 1, *WITHOUT)) == 0
    assert release_log.main(["verify", "--log", str(log)]) == 0
    assert "2 lines, the chain is whole" in capsys.readouterr().out
    log.write_text(log.read_text().replace("Clinic B", "Clinic X", 1))
    assert release_log.main(["verify", "--log", str(log)]) == 1
    assert "Line 2 of the release log does not follow" in capsys.readouterr().err
    assert command.main(arguments(folder, 1, *WITHOUT)) == 2


def withdraw(folder: Path, *patients: int) -> dict[str, str]:
    """Write the list of withdrawn patients and return the ids that name it, the log and the splits of release 1."""
    (folder / "list.csv").write_text("patient\n" + "".join(f"Anna Schmidt {number}\n" for number in patients))
    hospital = folder / "hospital1"
    return {
        "withdrawn": str(folder / "list.csv"),
        "release_log": str(hospital / "release-log.jsonl"),
        "previous_splits": str(hospital / "splits.csv"),
    }


def test_withdrawn_patients_are_gone_and_the_rest_is_byte_stable(make_cohort: Callable[..., Path]) -> None:
    folder = make_cohort()
    first, hospital = hide(folder)
    gone = ("Anna Schmidt 3", "Anna Schmidt 8")
    second, later = hide(folder, 2, **withdraw(folder, 3, 8))
    ids = {row["id"] for row in table(hospital / "linkage.csv") if row["patient"] in gone}
    assert len(ids) == 4
    held = {name: content for name, content in contents(first).items() if name.startswith("images/")}
    kept = {name: content for name, content in contents(second).items() if name.startswith("images/")}
    assert kept == {name: content for name, content in held.items() if name[7:39] not in ids}
    for name in ("linkage.csv", "splits.csv"):
        lines = [line for line in (hospital / name).read_text().splitlines() if not any(f"{p}," in line for p in gone)]
        assert (later / name).read_text().splitlines() == lines
    datasets = [json.loads((store / "dataset.json").read_text()) for store in (first, second)]
    for section in ("training", "validation", "test"):
        expected = [item for item in datasets[0][section] if item["image"][7:39] not in ids]
        assert datasets[1][section] == expected
    assert datasets[0]["class_names"] == datasets[1]["class_names"]
    stone = json.loads((later / "release.json").read_text())["withdrawn"]
    message = b"".join(len(patient).to_bytes(8, "big") + patient.encode() for patient in gone)
    key = derive_key(SECRET, "release-1", "withdrawn")
    assert stone == {"count": 2, "digest": hmac.new(key, message, hashlib.sha256).hexdigest()}
    everything = b"\0".join(contents(later).values()) + (hospital / "release-log.jsonl").read_bytes()
    assert not any(patient.encode() + b"," in everything for patient in gone)


def test_another_release_id_gives_unlinkable_ids(make_cohort: Callable[..., Path]) -> None:
    folder = make_cohort()
    first, _ = hide(folder)
    second, _ = hide(folder, 2, release_id="release-2", **withdraw(folder, 3))
    names = [{path.name for path in (store / "images").iterdir()} for store in (first, second)]
    assert [len(each) for each in names] == [24, 22]
    assert not names[0] & names[1]


def test_the_log_keeps_a_tombstone_and_lists_who_held_them(
    make_cohort: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = make_cohort()
    first, _ = hide(folder)
    assert command.main(arguments(folder, 1, *WITHOUT)) == 0
    log = folder / "hospital1" / "release-log.jsonl"
    model = tmp_path / "model.pt"
    model.write_bytes(b"weights")
    assert release_log.main(["model", "--log", str(log), "--store", str(first), "--model", str(model)]) == 0
    # A second release without patient 5 never held patient 5; a third, later, withdraws 3 and 5.
    second, _ = hide(folder, 2, **withdraw(folder, 5))
    assert command.main(arguments(folder, 2, *WITHOUT, "--log", str(log))) == 0
    third, _ = hide(folder, 3, release_id="release-3", **withdraw(folder, 3, 5))
    hide(folder, 3, release_id="release-3", **withdraw(folder, 3, 5))  # again: published already, no second tombstone
    events = [entry["event"] for entry in read_log(log).entries]
    assert events == ["release", "model", "withdrawal", "release", "withdrawal"]
    stores = [hashlib.sha256((store / "manifest.json").read_bytes()).hexdigest() for store in (first, second, third)]
    stone = read_log(log).entries[-1]
    assert (stone["count"], stone["store"], stone["release_id"]) == (2, stores[2], "release-3")
    assert stone["held_by"] == [
        {"store": stores[0], "release_id": "release-1", "patients": 2, "images": 4},
        {"store": stores[1], "release_id": "release-1", "patients": 1, "images": 2},
    ]
    assert "Schmidt" not in log.read_text()
    capsys.readouterr()
    assert release_log.main(["list", "--log", str(log)]) == 0
    said = capsys.readouterr().out
    trained = hashlib.sha256(b"weights").hexdigest()[:12]
    assert f"held by store {stores[0][:12]} of release-1: 2 of them, 4 images, model {trained}" in said
    assert f"held by store {stores[1][:12]} of release-1: 1 of them, 2 images\n" in said
    assert "without audit: test data" in said
    # Where a linkage was deleted the log says that it does not know.
    (folder / "hospital1" / "linkage.csv").unlink()
    hide(folder, 4, release_id="release-4", **withdraw(folder, 3))
    assert read_log(log).entries[-1]["held_by"][0]["patients"] is None
    assert release_log.main(["list", "--log", str(log)]) == 0
    assert f"held by store {stores[0][:12]} of release-1: unknown: its linkage is gone" in capsys.readouterr().out


def test_a_run_stopped_after_the_tombstone_leaves_one(
    make_cohort: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_cohort()
    hide(folder)

    def stop() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "sync", stop)  # the last step before the store's rename
    with pytest.raises(KeyboardInterrupt):
        hide(folder, 2, **withdraw(folder, 3))
    monkeypatch.undo()
    assert not (folder / "out" / "store2").exists()
    store, _ = hide(folder, 2, **withdraw(folder, 3))
    (entry,) = read_log(folder / "hospital1" / "release-log.jsonl").entries
    assert entry["store"] == hashlib.sha256((store / "manifest.json").read_bytes()).hexdigest()


def test_bad_lists_are_refused_by_row(make_cohort: Callable[..., Path]) -> None:
    folder = make_cohort(3)
    hospital = folder / "hospital1"
    ids = {"withdrawn": str(folder / "list.csv"), "release_log": str(hospital / "release-log.jsonl")}
    assert "withdrawn needs release_log" in refused(folder, withdrawn=ids["withdrawn"])
    elsewhere = ids | {"release_log": str(folder / "nowhere" / "release-log.jsonl")}
    assert "The folder of release_log " in refused(folder, **elsewhere)
    assert "is not a file: give a table with the column patient" in refused(folder, **ids)
    for text, message in (
        ("name\nAnna Schmidt 1\n", "The header of withdrawn lacks patient"),
        ("patient\nAnna Schmidt 1\nAnna Schmitt 2\n", "Row 3 of withdrawn is a patient whom neither the cohort nor"),
        ("patient\n", "withdrawn has no rows"),
    ):
        (folder / "list.csv").write_text(text)
        said = refused(folder, **ids)
        assert message in said
        assert "Schmi" not in said
    assert not hospital.exists()


def test_a_published_store_is_not_changed_by_a_withdrawal(make_cohort: Callable[..., Path]) -> None:
    folder = make_cohort(6)
    hide(folder)
    ids = withdraw(folder, 2)
    del ids["previous_splits"]
    assert "holds this release with another withdrawn: a published store is not changed" in refused(folder, **ids)


def test_the_linkage_can_be_encrypted_and_rotated(
    make_cohort: Callable[..., Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FESF_SECRET", raising=False)
    folder = make_cohort()
    _, plain = hide(folder)
    _, hospital = hide(folder, 2, encrypt_linkage="true")
    assert {path.name for path in hospital.iterdir()} == {
        "linkage.csv.enc",
        "splits.csv",
        "release.json",
        "quarantine.csv",
    }
    encrypted = hospital / "linkage.csv.enc"
    assert encrypted.stat().st_mode & 0o777 == 0o600
    assert b"Schmidt" not in encrypted.read_bytes()
    secret = folder / "secret"
    assert read_linkage(hospital / "linkage.csv", secret) == read_linkage(plain / "linkage.csv")
    with pytest.raises(ValueError, match="No secret: set secret_file"):
        read_linkage(encrypted)
    assert command.main(arguments(folder, 2, *WITHOUT, "--secret-file", str(secret))) == 0

    new = folder / "new-secret"
    new.write_text("another secret for the tests, 32 bytes and more")
    new.chmod(0o640)
    given = ["--linkage", str(encrypted), "--secret-file", str(secret), "--new-secret-file", str(new)]
    assert rotate(given) == 2
    assert "can be read by other users" in capsys.readouterr().err
    new.chmod(0o600)
    assert rotate(given) == 0
    assert read_linkage(encrypted, new) == read_linkage(plain / "linkage.csv")
    with pytest.raises(ValueError, match="the secret is not the one it was written with"):
        read_linkage(encrypted, secret)
    assert rotate(given) == 2  # the old secret opens it no more
    assert rotate([*given[:2], "--secret-file", str(new), "--new-secret-file", str(new)]) == 2
    assert "Both secrets are the same" in capsys.readouterr().err
    assert rotate(["--linkage", str(folder / "none"), *given[2:]]) == 2


def test_the_demos_secret_is_refused_outside_the_demo(make_cohort: Callable[..., Path]) -> None:
    folder = make_cohort(4)
    (folder / "secret").write_text("fesf-demo-secret-" + "0" * 64)
    assert "The secret is the demo's, which anybody can make" in refused(folder)
    assert not (folder / "hospital1").exists()
    (folder / "README.txt").write_text("FESF demo cohort: SYNTHETIC images, no real patient\n")
    _, hospital = hide(folder)
    assert json.loads((hospital / "release.json").read_text())["secret"] == "demo"
