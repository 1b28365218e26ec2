"""What comes in: acknowledged when it is on the disk, once, and nothing of it in the clear."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from fesf.scripts.gateway.intake import NO_ROOM, NOT_MATCHING, REFUSED, TAKEN
from fesf.scripts.gateway.origin import Origin
from tests.scripts.gateway.made import ROOT, SECONDARY_CAPTURE, Clock, Parts, make_hospital, original


def counts(parts: Parts) -> dict[str, int]:
    found: dict[str, int] = parts.state.report()["counts"]
    return found


def test_an_image_is_on_the_disk_when_it_is_taken(parts: Parts, config: Path, clock: Clock) -> None:
    content = original(1)
    assert parts.intake.take(content, "peer", SECONDARY_CAPTURE, f"{ROOT}1.1") == TAKEN
    again = Parts(config, clock)  # what another process finds
    (image,) = again.state.due(("received",), clock())
    assert again.spool.get(image.identity) == content
    sealed = again.keys.seal.open(image.origin, f"origin {image.identity}")
    assert Origin.from_bytes(sealed).patient_id == "PAT1"
    assert image.identity == again.keys.identity(f"{ROOT}1.1", image.digest)
    again.state.close()


def test_nothing_in_the_spool_is_in_the_clear(parts: Parts, config: Path) -> None:
    parts.intake.take(original(1), "peer")
    files = [path for path in (config.parent / "spool").rglob("*") if path.is_file()]
    assert len(files) >= 2
    for path in files:
        content = path.read_bytes() + path.name.encode()
        for text in (b"PAT1", b"Schmidt", b"ACC1", f"{ROOT}1.1".encode(), b"20200102", b"19500101", b"Haus"):
            assert text not in content, path.name


def test_the_same_again_is_ignored_and_another_is_a_revision(parts: Parts) -> None:
    assert [parts.intake.take(original(1), "peer") for _ in range(3)] == [TAKEN] * 3
    assert counts(parts) == {"taken: again": 2}
    assert parts.intake.take(original(1, seed=77), "peer") == TAKEN
    assert counts(parts)["taken: corrected"] == 1
    states = parts.state.report()["states"]
    assert states == {"superseded": 1, "received": 1}
    assert parts.intake.take(original(1), "peer") == TAKEN  # the old one once more: still the old one
    assert parts.state.report()["states"] == states


def test_ids_need_the_secret_and_follow_from_image_and_bytes(parts: Parts, tmp_path: Path, clock: Clock) -> None:
    other = make_hospital(tmp_path / "other")
    (tmp_path / "other" / "secret").write_bytes(b"another secret of 32 bytes or so")
    strange = Parts(other, clock)
    keys, foreign = parts.keys, strange.keys
    assert keys.identity("1.2", "d") != foreign.identity("1.2", "d")
    assert len({keys.identity("1.2", "d"), keys.identity("1.2", "e"), keys.identity("1.3", "d")}) == 3
    assert keys.of_uid("1.2") != foreign.of_uid("1.2")
    assert keys.of_bytes(b"x") != foreign.of_bytes(b"x")
    strange.state.close()


@pytest.mark.parametrize(
    ("limits", "status", "reason"),
    [
        ({"object_bytes": 1000}, REFUSED, "too-large"),
        ({"pixels": 1000}, REFUSED, "too-many-pixels"),
        ({"spool_bytes": 1000}, NO_ROOM, "quota"),
    ],
)
def test_limits(tmp_path: Path, clock: Clock, limits: dict[str, int], status: int, reason: str) -> None:
    parts = Parts(make_hospital(tmp_path / "h", limits=limits), clock)
    assert parts.intake.take(original(), "peer") == status
    assert counts(parts) == {f"refused: {reason}": 1}
    assert parts.state.report()["states"] == {}
    assert list(parts.spool.folder.iterdir()) == []
    parts.state.close()


def test_the_rate_is_a_peers(tmp_path: Path, clock: Clock) -> None:
    parts = Parts(make_hospital(tmp_path / "h", limits={"objects_a_minute": 2}), clock)
    taken = [parts.intake.take(original(number), "a") for number in range(3)]
    assert taken == [TAKEN, TAKEN, NO_ROOM]
    assert parts.intake.take(original(3), "b") == TAKEN
    parts.state.close()


def test_a_full_disk_is_said_and_can_be_tried_again(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("fesf.scripts.gateway.spool.write_atomic", full)
        assert parts.intake.take(original(), "peer") == NO_ROOM
    assert parts.state.report()["states"] == {}
    assert parts.intake.take(original(), "peer") == TAKEN


@pytest.mark.parametrize("uids", [("1.2.3", f"{ROOT}1.0"), (SECONDARY_CAPTURE, f"{ROOT}1.9")])
def test_an_object_must_be_what_the_request_says(parts: Parts, uids: tuple[str, str]) -> None:
    assert parts.intake.take(original(), "peer", *uids) == NOT_MATCHING
    assert counts(parts) == {"refused: other-uid": 1}


def test_nothing_is_taken_before_the_state_is_on_the_disk(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order: original, then its row, then the acknowledgement."""
    order: list[str] = []
    put, add = parts.spool.put, parts.state.add

    def spy(name: str, call: Any) -> Any:
        def called(*arguments: Any) -> Any:
            result = call(*arguments)
            order.append(name)
            return result

        return called

    monkeypatch.setattr(parts.spool, "put", spy("original", put))
    monkeypatch.setattr(parts.state, "add", spy("row", add))
    assert parts.intake.take(original(), "peer") == TAKEN
    assert order == ["original", "row"]


def test_an_image_that_failed_is_taken_up_when_it_comes_again(parts: Parts, clock: Clock) -> None:
    """Its original is gone: an acknowledgement alone would lose it."""
    parts.intake.take(original(1), "peer")
    clock.now += 90_000
    parts.steps.tidy()
    assert parts.state.report()["failed"] == {"too-old": 1}
    assert list(parts.spool.folder.iterdir()) == []
    assert parts.intake.take(original(1), "peer") == TAKEN
    assert counts(parts) == {"taken: after it failed": 1}
    parts.steps.tidy()
    parts.hide_all()
    assert parts.state.report()["states"] == {"hidden": 1}
    assert parts.state.report()["failed"] == {}


def test_an_image_that_failed_stays_so_after_a_corrected_one(parts: Parts, clock: Clock) -> None:
    parts.intake.take(original(1), "peer")
    clock.now += 90_000
    parts.steps.tidy()
    parts.intake.take(original(1, seed=5), "peer")
    assert parts.intake.take(original(1), "peer") == TAKEN
    assert parts.state.report()["states"] == {"failed": 1, "received": 1}


def test_an_original_without_its_row_does_not_stay(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(parts.state, "add", full)
        with pytest.raises(sqlite3.OperationalError):
            parts.intake.take(original(), "peer")
    assert list(parts.spool.folder.iterdir()) == []
    assert parts.spool.size == 0


def test_a_disk_that_fills_up_while_writing_keeps_no_piece(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("fesf.scripts.data.files.os.fsync", full)
        assert parts.intake.take(original(), "peer") == NO_ROOM
    assert list(parts.spool.folder.iterdir()) == []
