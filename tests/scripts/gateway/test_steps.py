"""The gateway's work with faults put in: it fails closed, and a kill at any point loses nothing and doubles nothing."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pydicom
import pytest

from fesf.scripts.data.dicom_elements import uid
from fesf.scripts.data.phase import PhaseCheck
from fesf.scripts.data.prediction_object import write_prediction
from fesf.scripts.gateway.calling import NodeError
from fesf.scripts.gateway.hiding import HideError
from fesf.scripts.gateway.intake import TAKEN
from tests.scripts.gateway.made import ROOT, Clock, FakeNode, Parts, make_hospital, original, prediction


def states(parts: Parts) -> dict[str, int]:
    found: dict[str, int] = parts.state.report()["states"]
    return found


def failed(parts: Parts) -> dict[str, int]:
    found: dict[str, int] = parts.state.report()["failed"]
    return found


def answer(parts: Parts, analyst: FakeNode, value: float = 0.25) -> None:
    for _, content in analyst.got:
        surrogate = pydicom.dcmread(io.BytesIO(content))
        parts.returns.take(write_prediction(prediction(str(surrogate.PatientID), value)))


def test_from_an_original_to_a_report(parts: Parts) -> None:
    analyst, pacs = FakeNode(), FakeNode()
    assert parts.intake.take(original(1), "peer") == TAKEN
    assert not parts.steps.hide_next()  # its study is not complete
    parts.hide_all()
    assert parts.steps.send(analyst.call)
    assert not parts.steps.send(analyst.call)
    assert states(parts) == {"sent": 1}
    answer(parts, analyst)
    assert parts.steps.report(pacs.call)
    assert not parts.steps.report(pacs.call)
    assert states(parts) == {"stored": 1}
    ((_, content),) = pacs.got
    report = pydicom.dcmread(io.BytesIO(content))
    assert (report.PatientID, report.StudyInstanceUID) == ("PAT1", f"{ROOT}2.1")
    assert list(parts.spool.folder.iterdir()) == list(parts.outbox.folder.iterdir()) == []


def test_nothing_of_the_patient_is_in_what_is_sent(parts: Parts) -> None:
    analyst = FakeNode()
    parts.intake.take(original(1), "peer")
    parts.hide_all()
    parts.steps.send(analyst.call)
    ((name, content),) = analyst.got
    for text in (b"PAT1", b"Schmidt", b"ACC1", ROOT.encode(), b"2020", b"1950", b"Haus"):
        assert text not in content
    (identity,) = parts.state.identities(("sent",))
    assert name == uid(identity, "instance")


class BrokenHider:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def hide(self, content: bytes, identity: str) -> tuple[bytes, PhaseCheck]:
        raise self.error


class OriginalHider:
    """Hands the plaintext on, with a check that says yes: two faults at once."""

    def hide(self, content: bytes, identity: str) -> tuple[bytes, PhaseCheck]:
        return content, PhaseCheck(1.0, 0.0, 0.0)


class FailingCheck:
    def hide(self, content: bytes, identity: str) -> tuple[bytes, PhaseCheck]:
        return content, PhaseCheck(0.1, 0.0, 0.0)


FAULTS: list[tuple[Any, str]] = [
    (BrokenHider(HideError("undecodable")), "undecodable"),
    (BrokenHider(HideError("near-host")), "near-host"),
    (BrokenHider(RuntimeError("Schmidt^Anna")), "hide-RuntimeError"),
    (BrokenHider(MemoryError()), "hide-MemoryError"),
    (BrokenHider(FileNotFoundError()), "original-gone"),
    (FailingCheck(), "phase"),
    (OriginalHider(), "egress-elements"),
]


@pytest.mark.parametrize(("hider", "reason"), FAULTS, ids=[reason for _, reason in FAULTS])
def test_a_failed_hide_never_sends_anything(config: Path, clock: Clock, hider: Any, reason: str) -> None:
    parts, analyst = Parts(config, clock, hider), FakeNode()
    parts.intake.take(original(1), "peer")
    parts.hide_all()
    assert not parts.steps.send(analyst.call)
    clock.now += 1e6
    assert not parts.steps.send(analyst.call)
    assert analyst.got == []
    assert failed(parts) == {reason: 1}
    assert list(parts.outbox.folder.iterdir()) == []
    parts.state.close()


def test_what_the_machine_lacks_for_the_moment_is_tried_again(config: Path, clock: Clock) -> None:
    parts = Parts(config, clock, BrokenHider(OSError(28, "No space left on device")))
    parts.intake.take(original(1), "peer")
    clock.now += 1000
    parts.steps.complete_studies()
    assert parts.steps.hide_next()
    assert not parts.steps.hide_next()  # it waits
    assert states(parts) == {"ready": 1}
    parts.steps._hider = parts.hider = Parts(config, clock).hider
    clock.now += 2
    assert parts.steps.hide_next()
    assert states(parts) == {"hidden": 1}
    parts.state.close()


@pytest.mark.parametrize("reason", ["too-slow", "decoder-died"])
def test_what_a_busy_machine_may_cause_is_tried_three_times(config: Path, clock: Clock, reason: str) -> None:
    parts = Parts(config, clock, BrokenHider(HideError(reason)))
    parts.intake.take(original(1), "peer")
    clock.now += 1000
    parts.steps.complete_studies()
    for _ in range(2):
        assert parts.steps.hide_next()
        assert states(parts) == {"ready": 1}
        assert not parts.steps.hide_next()  # it waits
        clock.now += 10
    assert parts.steps.hide_next()
    assert failed(parts) == {reason: 1}
    parts.state.close()


def put_original(parts: Parts, path: Path) -> None:
    path.write_bytes(original(1))


def put_link(parts: Parts, path: Path) -> None:
    place = path.parent.parent / "plain.dcm"
    place.write_bytes(original(1))
    path.unlink()
    path.symlink_to(place)


def list_original(parts: Parts, path: Path) -> None:
    """Who has the secret lists the plaintext: the elements still say no."""
    (image,) = parts.state.due(("hidden",), 1e12)
    entry = parts.outbox.put(image.identity, original(1), PhaseCheck(1.0, 0.0, 0.0))
    parts.state.move(image, ("hidden",), "hidden", 0.0, entry=entry)


def unlist(parts: Parts, path: Path) -> None:
    (image,) = parts.state.due(("hidden",), 1e12)
    parts.state.move(image, ("hidden",), "hidden", 0.0, entry="")


TAMPERED: list[tuple[Callable[[Parts, Path], Any], str]] = [
    (put_original, "egress-digest"),
    (put_link, "egress-missing"),
    (lambda _, path: path.unlink(), "egress-missing"),
    (list_original, "egress-elements"),
    (unlist, "egress-unlisted"),
]


@pytest.mark.parametrize(("tamper", "reason"), TAMPERED, ids=[str(number) for number in range(len(TAMPERED))])
def test_what_was_changed_in_the_outbox_is_not_sent(
    parts: Parts, tamper: Callable[[Parts, Path], Any], reason: str
) -> None:
    analyst = FakeNode()
    parts.intake.take(original(1), "peer")
    parts.hide_all()
    (path,) = parts.outbox.folder.iterdir()
    tamper(parts, path)
    assert not parts.steps.send(analyst.call)
    assert analyst.got == []
    assert failed(parts) == {reason: 1}


def test_a_file_that_nobody_listed_is_never_sent(parts: Parts, config: Path, clock: Clock) -> None:
    (parts.outbox.folder / f"{'a' * 32}.dcm").write_bytes(original(1))
    analyst = FakeNode()
    assert not parts.steps.send(analyst.call)
    again = Parts(config, clock)  # and a restart deletes it
    assert list(again.outbox.folder.iterdir()) == []
    assert analyst.got == []
    again.state.close()


def test_a_corrected_image_stops_the_old_ones_surrogate(parts: Parts) -> None:
    analyst = FakeNode()
    parts.intake.take(original(1), "peer")
    parts.hide_all()
    parts.intake.take(original(1, seed=9), "peer")
    assert not parts.steps.send(analyst.call)
    parts.hide_all()
    parts.steps.send(analyst.call)
    assert states(parts) == {"superseded": 1, "sent": 1}
    assert len(analyst.got) == 1
    parts.steps.tidy()
    assert len(list(parts.spool.folder.iterdir())) == 1


def test_a_correction_while_the_old_one_is_hidden(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    parts.intake.take(original(1), "peer")
    hide = parts.hider.hide

    def slow(content: bytes, identity: str) -> tuple[bytes, PhaseCheck]:
        parts.intake.take(original(1, seed=9), "peer")
        return hide(content, identity)

    parts.clock.now += 1000
    parts.steps.complete_studies()
    monkeypatch.setattr(parts.hider, "hide", slow)
    parts.steps.hide_next()
    assert states(parts) == {"superseded": 1, "received": 1}
    assert list(parts.outbox.folder.iterdir()) == []


def test_an_image_that_is_superseded_while_others_are_sent_is_not_sent(parts: Parts) -> None:
    class Correcting(FakeNode):
        def store(self, content: bytes) -> int:
            if not self.got:
                (other,) = {1, 2} - {1 + names.index(str(pydicom.dcmread(io.BytesIO(content)).SOPInstanceUID))}
                parts.intake.take(original(other, seed=9), "peer")
            return super().store(content)

    for number in (1, 2):
        parts.intake.take(original(number), "peer")
    parts.hide_all()
    names = [uid(image.identity, "instance") for image in parts.state.due(("hidden",), 1e12)]
    node = Correcting()
    assert parts.steps.send(node.call)
    assert len(node.got) == 1
    assert states(parts) == {"sent": 1, "superseded": 1, "received": 1}


def test_a_node_that_is_down_is_called_less_and_less(parts: Parts, clock: Clock) -> None:
    analyst = FakeNode(down=True)
    parts.intake.take(original(1), "peer")
    parts.hide_all()
    calls = []
    for _ in range(400):
        parts.steps.send(analyst.call)
        calls.append(analyst.calls)
        clock.now += 0.1
    begins = [number / 10 for number, (one, two) in enumerate(zip([0, *calls], calls, strict=False)) if two > one]
    assert [round(two - one) for one, two in pairwise(begins)] == [1, 2, 4, 8, 8, 8, 8]
    analyst.down = False
    clock.now += 8
    assert parts.steps.send(analyst.call)
    assert states(parts) == {"sent": 1}


def test_a_refused_object_waits_and_does_not_hold_others_up(parts: Parts, clock: Clock) -> None:
    analyst = FakeNode(status=0xA700)
    parts.intake.take(original(1), "peer")
    parts.hide_all()
    assert not parts.steps.send(analyst.call)
    assert not parts.steps.send(analyst.call)
    assert analyst.calls == 1
    analyst.status = 0
    parts.intake.take(original(2), "peer")
    (image,) = parts.state.due(("sending",), 1e12)
    assert image.failures == 1
    clock.now += 1.0
    assert parts.steps.send(analyst.call)


@pytest.mark.parametrize(("status", "fine"), [(0, True), (0xB000, True), (0xA700, False), (0x0122, False)])
def test_warnings_of_the_pacs_are_fine_and_failures_are_not(parts: Parts, status: int, fine: bool) -> None:
    analyst = FakeNode()
    parts.intake.take(original(1), "peer")
    parts.hide_all()
    parts.steps.send(analyst.call)
    answer(parts, analyst)
    assert parts.steps.report(FakeNode(status=status).call) is fine
    assert states(parts) == ({"stored": 1} if fine else {"answered": 1})


def test_a_report_that_cannot_be_made_has_failed(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    analyst = FakeNode()
    parts.intake.take(original(1), "peer")
    parts.hide_all()
    parts.steps.send(analyst.call)
    answer(parts, analyst)
    (image,) = parts.state.due(("answered",), 1e12)
    parts.state.move(image, ("answered",), "answered", 0.0, prediction=b"other bytes")
    assert not parts.steps.report(FakeNode().call)
    assert failed(parts) == {"report-SealError": 1}


def test_batches_and_jitter(tmp_path: Path, clock: Clock) -> None:
    egress = {"batch_seconds": 3600, "jitter_seconds": 600}
    parts, analyst = Parts(make_hospital(tmp_path / "h", egress=egress), clock), FakeNode()
    clock.now += 3600 - clock.now % 3600  # three times 1000 seconds do not come to the next full hour
    for number in range(3):
        parts.intake.take(original(number), "peer")
        parts.hide_all()
        parts.steps.send(analyst.call)
    assert analyst.got == []
    clock.now += 3600 - clock.now % 3600 - 1
    parts.steps.send(analyst.call)
    assert analyst.got == []
    clock.now += 1
    parts.steps.send(analyst.call)
    assert len(analyst.got) == 3
    parts.state.close()


HOURS = 3600.0


def test_originals_go_when_they_are_answered_or_too_old(parts: Parts, clock: Clock) -> None:
    parts.intake.take(original(1), "peer")
    parts.hide_all()
    parts.steps.tidy()
    assert len(list(parts.spool.folder.iterdir())) == 1  # sent or not, it stays for its time
    clock.now += 25 * HOURS
    parts.steps.tidy()
    assert list(parts.spool.folder.iterdir()) == []
    analyst = FakeNode()
    assert parts.steps.send(analyst.call)  # the surrogate may still go, and its answer come
    answer(parts, analyst)
    assert parts.steps.report(FakeNode().call)


def test_what_was_never_hidden_fails_when_too_old(parts: Parts, clock: Clock) -> None:
    parts.intake.take(original(1), "peer")
    clock.now += 25 * HOURS
    parts.steps.tidy()
    assert failed(parts) == {"too-old": 1}
    parts.steps.tidy()
    assert list(parts.spool.folder.iterdir()) == []


def test_the_ledger_is_kept_no_longer_than_stated(parts: Parts, clock: Clock) -> None:
    parts.intake.take(original(1), "peer")
    parts.hide_all()
    parts.steps.send(FakeNode().call)
    clock.now += 31 * 24 * HOURS
    parts.steps.tidy()
    assert states(parts) == {}
    assert list(parts.spool.folder.iterdir()) == list(parts.outbox.folder.iterdir()) == []


class Killed(BaseException):
    """The process ends here."""


class Killer:
    """Ends the process at its n-th chance."""

    def __init__(self) -> None:
        self.left = -1

    def __call__(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed


class Fragile:
    """Makes every change of state, file and network a chance to be killed, before and after it."""

    def __init__(self, killer: Killer) -> None:
        self.killer = killer

    def wrap(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **named: Any) -> Any:
            self.killer()
            result = call(*arguments, **named)
            self.killer()
            return result

        return called

    def break_up(self, parts: Parts) -> None:
        for name in ("add", "complete", "move", "postpone", "note"):
            setattr(parts.state, name, self.wrap(getattr(parts.state, name)))
        for one in (parts.spool, parts.outbox):
            for name in ("put", "remove"):
                setattr(one, name, self.wrap(getattr(one, name)))


class KilledNode(FakeNode):
    """A node on whose wire a kill may come before the object, or after it and before the answer."""

    killer: Killer

    def store(self, content: bytes) -> int:
        self.killer()
        status = super().store(content)
        self.killer()
        return status


def flow(parts: Parts, analyst: FakeNode, pacs: FakeNode, originals: list[bytes]) -> None:
    for content in originals:
        assert parts.intake.take(content, "peer") == TAKEN
    parts.hide_all()
    parts.steps.send(analyst.call)
    answer(parts, analyst)
    parts.steps.report(pacs.call)
    parts.steps.tidy()


LAST = 56
"""Chances that a run without a kill has; asserted below, so that none is left out."""


@pytest.mark.parametrize("chance", range(1, LAST + 2))
def test_a_kill_at_any_point_loses_nothing_and_doubles_nothing(config: Path, clock: Clock, chance: int) -> None:
    """Two images; the sender repeats what was not acknowledged, the analyst answers what it has, as often as it is
    asked; after the restart there is one report an image, whose resent copies are the same object."""
    killer, analyst, pacs = Killer(), KilledNode(), KilledNode()
    analyst.killer = pacs.killer = killer
    originals = [original(1), original(2)]
    killer.left = chance
    parts = Parts(config, clock)
    Fragile(killer).break_up(parts)
    try:
        flow(parts, analyst, pacs, originals)
        ended = False
    except Killed:
        ended = True
    parts.state.close()  # what was not committed is gone: SQLite rolls back
    killer.left = -1
    again = Parts(config, clock)
    for _ in range(2):
        flow(again, analyst, pacs, originals)
        clock.now += 100
    assert states(again) == {"stored": 2}
    assert len({name for name, _ in analyst.got}) == 2
    assert len(set(pacs.got)) == 2  # whole objects, not only their names: a resent report is the same bytes
    assert sum(Counter(name for name, _ in pacs.got).values()) <= 3
    assert list(again.spool.folder.iterdir()) == list(again.outbox.folder.iterdir()) == []
    again.state.close()
    assert ended is (chance <= LAST), killer.left


def test_a_broken_association_leaves_the_rest_for_later(parts: Parts, clock: Clock) -> None:
    class Breaking(FakeNode):
        @contextmanager
        def call(self) -> Iterator[FakeNode]:
            yield self

        def store(self, content: bytes) -> int:
            if len(self.got) == 1:
                raise NodeError("broken off")
            return super().store(content)

    for number in range(3):
        parts.intake.take(original(number), "peer")
    parts.hide_all()
    breaking = Breaking()
    assert parts.steps.send(breaking.call)
    assert states(parts) == {"sent": 1, "sending": 1, "hidden": 1}
    clock.now += 10
    node = FakeNode()
    assert parts.steps.send(node.call)
    assert states(parts) == {"sent": 3}
    assert len(node.got) == 2


class Choking(FakeNode):
    """A node that breaks off at one object, whenever it comes."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def store(self, content: bytes) -> int:
        if str(pydicom.dcmread(io.BytesIO(content)).SOPInstanceUID) == self.name:
            raise NodeError("broken off")
        return super().store(content)


def test_an_object_at_which_a_node_breaks_off_holds_no_other_up(parts: Parts, clock: Clock) -> None:
    for number in range(4):
        parts.intake.take(original(number), "peer")
    parts.hide_all()
    first = min(parts.state.identities(("hidden",)))
    node = Choking(uid(first, "instance"))
    for _ in range(6):
        parts.steps.send(node.call)
        clock.now += 1.0
    assert states(parts) == {"sent": 3, "sending": 1}
    (image,) = parts.state.due(("sending",), 1e12)
    assert image.identity == first
    assert image.failures >= 2


def test_surrogates_do_not_leave_in_the_order_in_which_originals_came(parts: Parts) -> None:
    for number in range(8):
        parts.intake.take(original(number), "peer")
    parts.hide_all()
    analyst = FakeNode()
    parts.steps.send(analyst.call)
    came = [uid(image.identity, "instance") for image in parts.state.due(("sent",), 1e12)]
    left = [name for name, _ in analyst.got]
    assert left == [uid(one, "instance") for one in sorted(parts.state.identities(("sent",)))]
    assert left != came
    assert sorted(left) == sorted(came)


def test_what_the_spool_does_not_hold_any_more_is_not_held(parts: Parts, clock: Clock) -> None:
    parts.intake.take(original(1), "peer")
    key = parts.keys.of_uid(f"{ROOT}1.1")
    parts.hide_all()
    parts.steps.send(FakeNode().call)
    assert parts.steps.holds(key)
    clock.now += 90_000
    parts.steps.tidy()
    assert states(parts) == {"sent": 1}
    assert not parts.steps.holds(key)
