"""A node that runs: surrogates arrive by C-STORE, the app classifies what has gathered, predictions go back."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pynetdicom import evt

from fesf.scripts.data.dicom_elements import EXPLICIT_LITTLE_ENDIAN, SECONDARY_CAPTURE
from fesf.scripts.data.prediction_object import COMPREHENSIVE_SR
from fesf.scripts.deploy.classifier import check_bundle, described
from fesf.scripts.deploy.inbox import CANNOT_UNDERSTAND, NO_ROOM, TAKEN, Inbox
from fesf.scripts.deploy.node_settings import NodeSettings
from fesf.scripts.gateway.calling import NodeError, call
from fesf.scripts.gateway.rates import Rates
from fesf.scripts.gateway.server import BoundedServer, listen
from fesf.scripts.gateway.settings import Egress
from fesf.scripts.gateway.timing import retry_pause

LOG = logging.getLogger("fesf.node")
LATER = 0xA7
"""First byte of the statuses that say to try again later."""


class AnalystNode:
    """A node; use as a context manager and call :meth:`step` again and again.

    Args:
        settings: of ``node.json``.
        run: classifies the surrogates of one folder into another with the bundle of a third.
        clock: gives the time in seconds.

    Raises:
        ValueError: when the bundle or the folder cannot be used; before anything listens.
    """

    def __init__(
        self, settings: NodeSettings, run: Callable[[Path, Path, Path], Any], clock: Callable[[], float] = time.time
    ) -> None:
        self.settings, self._run, self._clock = settings, run, clock
        size = described(check_bundle(settings.model))[1]
        self.inbox = Inbox(settings.folder, size, settings.limits.spool_bytes)
        self._rates = Rates(settings.limits.objects_a_minute, 60.0)
        self._failures = {"classifying": 0, "sending": 0}
        self._due = {"classifying": 0.0, "sending": 0.0}
        self._server: BoundedServer | None = None

    def __enter__(self) -> AnalystNode:
        settings = self.settings
        contexts = [(SECONDARY_CAPTURE, [EXPLICIT_LITTLE_ENDIAN])]
        handlers = [(evt.EVT_C_STORE, self._on_store)]
        self._server = listen(settings.listen, settings.limits, contexts, handlers, self._refused)
        LOG.setLevel(logging.INFO)  # each run of the SDK sets the level of the root
        LOG.info("listening on port %d", settings.listen.port)
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.shutdown()

    def step(self) -> bool:
        """Classify a batch and send answers, where it is time; whether there was anything to do."""
        return self.classify() | self.send()

    def classify(self) -> bool:
        """Run the app once enough has gathered, or nothing came for a while."""
        newest, batch = self.inbox.newest(), self.settings.batch
        if newest is None or self._clock() < self._due["classifying"]:
            return False
        if self.inbox.waiting() < batch.most and self._clock() - newest < batch.quiet_seconds:
            return False
        source, out = self.inbox.begin(batch.most)
        try:
            self._run(source, out, self.settings.model)
        except (ValueError, OSError) as error:
            self._failed("classifying", str(error))
            return False
        self._failures["classifying"] = 0
        LOG.info("classified %d", self.inbox.complete())
        return True

    def send(self) -> bool:
        """Send the answers that wait; what the hospital cannot take now is sent later."""
        answers = self.inbox.answers()
        if not answers or self._clock() < self._due["sending"]:
            return False
        place = (self.settings.hospital, self.settings.listen.ae_title, [COMPREHENSIVE_SR], self.settings.limits)
        try:
            with call(*place) as association:
                for path in answers:
                    status = association.store(path.read_bytes())
                    if status == TAKEN:
                        self.inbox.answered(path)
                    elif status >> 8 == LATER:
                        raise NodeError("no room")
                    else:
                        self.inbox.refused(path)
        except NodeError as error:
            self._failed("sending", str(error))
            return False
        self._failures["sending"] = 0
        LOG.info("answered %d, refused %d", self.inbox.counts["answered"], self.inbox.counts["answers refused"])
        return True

    def _failed(self, what: str, reason: str) -> None:
        self._failures[what] += 1
        retry = self.settings.retry
        rule = Egress(first_retry_seconds=retry.first_retry_seconds, longest_retry_seconds=retry.longest_retry_seconds)
        self._due[what] = self._clock() + retry_pause(self._failures[what], 0.5, rule)
        LOG.warning("%s: %s", what, reason)

    def _on_store(self, event: Any) -> int:
        try:
            if not self._rates.admit(event.assoc.requestor.address, self._clock()):
                self._refused("rate")
                return NO_ROOM
            return self.inbox.take(event.encoded_dataset())
        except Exception as error:  # its text may quote the object
            LOG.warning("store: %s", type(error).__name__)
            return CANNOT_UNDERSTAND

    def _refused(self, reason: str) -> None:
        self.inbox.counts[f"refused: {reason}"] += 1
