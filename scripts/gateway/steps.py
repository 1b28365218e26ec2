"""The work of a gateway as single steps, each of which can be killed anywhere and is begun again."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from fesf.scripts.data.prediction_object import decode_prediction
from fesf.scripts.gateway.calling import NodeError
from fesf.scripts.gateway.hiding import HideError
from fesf.scripts.gateway.intake import Keys
from fesf.scripts.gateway.origin import Origin
from fesf.scripts.gateway.outbox import Outbox, OutboxError
from fesf.scripts.gateway.rows import Image
from fesf.scripts.gateway.settings import Settings
from fesf.scripts.gateway.spool import Spool
from fesf.scripts.gateway.state import State
from fesf.scripts.gateway.timing import due_time, is_complete, retry_pause

HOUR, DAY = 3600.0, 86400.0
PASSING, TRIES = ("too-slow", "decoder-died"), 3
"""Why hiding failed where the machine may have been too busy, and how often such an image is tried."""
_SYSTEM = random.SystemRandom()


class Hides(Protocol):
    """Makes a surrogate, as :class:`fesf.scripts.gateway.hiding.Hider` does."""

    def hide(self, content: bytes, identity: str) -> tuple:
        """Bytes of the surrogate and its phase check."""


class Stores(Protocol):
    """An association, as :class:`fesf.scripts.gateway.calling.Association`."""

    def store(self, content: bytes) -> int:
        """The node's status."""


Call = Callable[[], AbstractContextManager[Stores]]


class Steps:
    """What the gateway's threads do, without threads and without the network.

    Args:
        settings: of ``gateway.json``.
        state, spool, outbox, keys: the gateway's.
        hider: makes surrogates.
        report: makes a report of origin, prediction, time and keyed name.
        clock: gives the time in seconds.
        draw: gives a random number in [0, 1); of the system's generator, since jitter hides when studies were made.
    """

    def __init__(
        self,
        settings: Settings,
        state: State,
        spool: Spool,
        outbox: Outbox,
        keys: Keys,
        hider: Hides,
        report: Callable[..., bytes],
        clock: Callable[[], float],
        draw: Callable[[], float] = _SYSTEM.random,
    ) -> None:
        self.settings, self.state, self.spool, self.outbox, self.keys = settings, state, spool, outbox, keys
        self._hider, self._report, self._clock, self._draw = hider, report, clock, draw
        self._down: dict[str, tuple[int, float]] = {}

    def complete_studies(self) -> None:
        """Images of every study that is complete by the rule are ready to be hidden."""
        now = self._clock()
        for study, first, last in self.state.open_studies():
            if is_complete(first, last, now, self.settings.study):
                self.state.complete(study, last)

    def hide_next(self) -> bool:
        """Hide one image that is ready; returns whether there was one.

        Whatever goes wrong, nothing but a checked surrogate comes into the outbox: an image that cannot be hidden has
        failed, and what the machine lacks for the moment (:class:`OSError`) is tried again.
        """
        now = self._clock()
        images = self.state.due(("ready",), now, 1)
        if not images:
            return False
        image = images[0]
        self.state.note(image, "hiding", now)
        try:
            content, check = self._hider.hide(self.spool.get(image.identity), image.identity)
            entry = self.outbox.put(image.identity, content, check)
        except (HideError, OutboxError) as error:
            if error.reason in PASSING and image.failures < TRIES - 1:
                self._hide_later(image, now)
            else:
                self._fail(image, ("ready",), error.reason)
        except FileNotFoundError:
            self._fail(image, ("ready",), "original-gone")
        except OSError:
            self._hide_later(image, now)
        except Exception as error:  # the text may quote the image
            self._fail(image, ("ready",), f"hide-{type(error).__name__}")
        else:
            hidden = self._clock()
            due = due_time(hidden, self._draw(), self.settings.egress)
            if not self.state.move(image, ("ready",), "hidden", hidden, entry=entry, due=due):
                self.outbox.remove(image.identity)  # superseded meanwhile
        return True

    def _hide_later(self, image: Image, now: float) -> None:
        self.state.postpone(image, now + retry_pause(image.failures + 1, self._draw(), self.settings.egress))

    def send(self, call: Call) -> bool:
        """Send the surrogates that are due to the analyst; returns whether any arrived."""
        images = self._waiting("analyst", ("hidden", "sending"))
        images.sort(key=lambda image: image.identity)  # not as they came: neighbours may be one patient's
        return bool(images) and self._with("analyst", call, images, self._send)

    def _send(self, association: Stores, image: Image) -> bool:
        try:
            content = self.outbox.checked(image.identity, image.entry)
        except OutboxError as error:
            self._fail(image, ("hidden", "sending"), f"egress-{error.reason}")
            return False
        now = self._clock()
        if not self.state.move(image, ("hidden", "sending"), "sending", now, failures=image.failures):
            return False  # superseded, or answered before we knew that it was sent
        if not self._fine(association.store(content), image):
            return False
        self.state.move(image, ("sending",), "sent", self._clock())
        return True

    def report(self, call: Call) -> bool:
        """Store the reports of answered images in the PACS; returns whether any arrived."""
        images = self._waiting("pacs", ("answered",))
        return bool(images) and self._with("pacs", call, images, self._store_report)

    def _store_report(self, association: Stores, image: Image) -> bool:
        try:
            content = self._made_report(image)
        except Exception as error:  # the text may quote the patient
            self._fail(image, ("answered",), f"report-{type(error).__name__}")
            return False
        if not self._fine(association.store(content), image):
            return False
        self.state.move(image, ("answered",), "stored", self._clock())
        self._clear(image)
        return True

    def _made_report(self, image: Image) -> bytes:
        origin = Origin.from_bytes(self.keys.seal.open(image.origin, f"origin {image.identity}"))
        sealed, place = image.prediction or b"", f"prediction {image.identity}"
        prediction = decode_prediction(self.keys.seal.open(sealed, place), self.settings.class_names)
        name = self.keys.of_uid(f"report {image.identity}")
        return self._report(origin, prediction, image.answered_at or 0.0, name)

    def _waiting(self, node: str, states: Sequence[str]) -> list[Image]:
        now = self._clock()
        return [] if self._down.get(node, (0, 0.0))[1] > now else self.state.due(tuple(states), now)

    def _with(self, node: str, call: Call, images: Sequence[Image], work: Callable[[Stores, Image], bool]) -> bool:
        """Do the work on each image in one association; a node that is down is left alone for a while.

        An image at which a node broke off comes after those at which it did not, so that it holds none up.
        """
        done, at = False, None
        try:
            with call() as association:
                for at in sorted(images, key=lambda image: image.failures):
                    done |= work(association, at)
                    self._down.pop(node, None)  # it answers
                at = None
        except NodeError:
            failures = self._down.get(node, (0, 0.0))[0] + 1
            pause = retry_pause(failures, self._draw(), self.settings.egress)
            self._down[node] = (failures, self._clock() + pause)
            if at is not None:
                pause = retry_pause(at.failures + 1, self._draw(), self.settings.egress)
                self.state.postpone(at, self._clock() + pause)
        return done

    def _fine(self, status: int, image: Image) -> bool:
        """Whether a node took an object (warnings included); else it is sent again later."""
        if status == 0 or status & 0xF000 == 0xB000:
            return True
        pause = retry_pause(image.failures + 1, self._draw(), self.settings.egress)
        self.state.postpone(image, self._clock() + pause)
        return False

    def _fail(self, image: Image, states: tuple[str, ...], reason: str) -> None:
        self.state.move(image, states, "failed", self._clock(), reason=reason)
        self.outbox.remove(image.identity)

    def _clear(self, image: Image) -> None:
        self.spool.remove(image.identity)
        self.outbox.remove(image.identity)

    def tidy(self) -> None:
        """Delete what has served: originals and surrogates that are done or too old, and old entries of the ledger."""
        now, keep = self._clock(), self.settings.keep
        for image in self.state.received_before(now, ("superseded",)):
            self._clear(image)
        for image in self.state.received_before(now - keep.originals_hours * HOUR, ("received", "ready")):
            self._fail(image, ("received", "ready"), "too-old")
        ended = ("failed", "sent", "sending", "hidden", "answered")
        with self.spool.turn:  # one that failed may be taken up again at this moment
            for image in self.state.received_before(now - keep.originals_hours * HOUR, ended):
                self.spool.remove(image.identity)
        for image in self.state.received_before(now - keep.ledger_days * DAY, ended):
            self.outbox.remove(image.identity)
        self.state.forget(now - keep.ledger_days * DAY)

    def holds(self, key: str) -> bool:
        """Whether the spool holds an image now, by the key of its SOP instance UID."""
        return any(identity in self.spool for identity in self.state.open_identities(key))

    def recover(self) -> None:
        """After a start: what a killed process left and no row knows is deleted."""
        states = ("received", "ready", "hidden", "sending", "sent", "answered", "failed")
        self.spool.keep_only(self.state.identities(states))
        listed = self.state.identities(("hidden", "sending", "sent", "answered"))
        for path in self.outbox.folder.iterdir():
            if path.stem not in listed:
                path.unlink()
