"""A gateway that runs: its parts put together, two listeners and the threads that work."""

from __future__ import annotations

import io
import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from pydicom import dcmread
from pynetdicom import evt

from fesf.scripts.data.dicom_elements import EXPLICIT_LITTLE_ENDIAN, SECONDARY_CAPTURE
from fesf.scripts.data.files import make_private_folder
from fesf.scripts.data.keys import load_secret
from fesf.scripts.data.prediction_object import COMPREHENSIVE_SR, LARGEST
from fesf.scripts.gateway.calling import COMMITMENT_INSTANCE, STORAGE_COMMITMENT, NodeError, call
from fesf.scripts.gateway.commitment import LARGEST as LARGEST_REQUEST
from fesf.scripts.gateway.commitment import MOST_WAITING, make_report, read_request
from fesf.scripts.gateway.contexts import IMAGES, IMPLICIT_LITTLE_ENDIAN, SYNTAXES
from fesf.scripts.gateway.folder import FolderWatch
from fesf.scripts.gateway.hiding import Hider
from fesf.scripts.gateway.hospital import load_pipeline
from fesf.scripts.gateway.intake import NO_ROOM, Intake, Keys
from fesf.scripts.gateway.outbox import Outbox
from fesf.scripts.gateway.rates import Rates
from fesf.scripts.gateway.reading import Reader
from fesf.scripts.gateway.report_object import write_report
from fesf.scripts.gateway.returns import Returns
from fesf.scripts.gateway.server import BoundedServer, listen
from fesf.scripts.gateway.settings import Settings
from fesf.scripts.gateway.spool import Spool
from fesf.scripts.gateway.state import STATE, State
from fesf.scripts.gateway.steps import Steps
from fesf.scripts.gateway.timing import retry_pause

LOG = logging.getLogger("fesf.gateway")
PAUSE = 0.05
"""Seconds between two looks for work."""
TIDY_SECONDS = 30.0
HEADER_SECONDS = 10.0
"""For reading one header, while others wait."""
NO_SUCH_ACTION, PROCESSING_FAILURE, NO_RESOURCES = 0x0123, 0x0110, 0x0213


class Gateway:
    """A gateway; use as a context manager, or :meth:`start` and :meth:`stop`.

    Args:
        settings: of ``gateway.json``.
        clock: gives the time in seconds.

    Raises:
        ValueError: when the recipe, the host, the generator or the secret cannot be used; before anything listens.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self.settings, self._clock = settings, clock
        secret = load_secret(settings.secret_file)
        recipe, pool, network = load_pipeline(
            settings.hospital_dir, settings.hosts_dir, settings.host, settings.generator_file
        )
        limits, folder = settings.limits, make_private_folder(settings.spool_dir)
        self.keys = Keys(secret, recipe.release_id)
        self.state = State(folder / STATE)
        self.spool = Spool(folder / "originals", self.keys.seal, limits.spool_bytes)
        outbox = Outbox(folder / "outbox", self.keys.outbox, recipe)
        self._headers, self._pixels = Reader(limits.reading_mib, HEADER_SECONDS), Reader(limits.reading_mib)
        self._return_rates = Rates(limits.objects_a_minute, 60.0)
        hider = Hider(recipe, pool, network, self._pixels)
        self.steps = Steps(settings, self.state, self.spool, outbox, self.keys, hider, write_report, clock)
        self.intake = Intake(self.state, self.spool, self.keys, self._headers.describe, limits, clock)
        self.returns = Returns(self.state, self.keys, settings.class_names, settings.model_sha256, clock)
        self._servers: list[BoundedServer] = []
        self._threads: list[threading.Thread] = []
        self._stopping = threading.Event()

    def __enter__(self) -> Gateway:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Recover, listen, and work.

        Raises:
            ValueError: when a port is taken or a TLS file cannot be used.
        """
        self.steps.recover()
        for reader in (self._headers, self._pixels):
            reader.describe(b"", 1, 1)  # starts its process: else the first image waits for that
        settings = self.settings
        refused = lambda reason: self.state.count(f"refused: {reason}")  # noqa: E731
        commitment = [(STORAGE_COMMITMENT, [EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN])]
        try:
            self._servers.append(
                listen(settings.listen, settings.limits, [*((name, SYNTAXES) for name in IMAGES), *commitment],
                       [(evt.EVT_C_STORE, self._on_store), (evt.EVT_N_ACTION, self._on_commitment)], refused)
            )  # fmt: skip
            small = _smaller(settings)
            self._servers.append(
                listen(settings.returns, small,
                       [(COMPREHENSIVE_SR, [EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN])],
                       [(evt.EVT_C_STORE, self._on_return)], lambda reason: self.state.count(f"returned: {reason}"))
            )  # fmt: skip
        except ValueError:
            self.stop()
            raise
        analyst = partial(call, settings.analyst, settings.listen.ae_title, [SECONDARY_CAPTURE], settings.limits)
        pacs = partial(call, settings.pacs, settings.listen.ae_title, [COMPREHENSIVE_SR], settings.limits)
        self._work("studies", self._study_step)
        self._work("hide", self.steps.hide_next)
        self._work("send", lambda: self.steps.send(analyst))
        self._work("report", lambda: self.steps.report(pacs))
        self._work("commitments", self._answer_commitments)
        if settings.folder is not None:
            watch = FolderWatch(
                settings.folder, lambda content: self.intake.take(content, "folder"), settings.settle_seconds,
                settings.limits.object_bytes,
            )  # fmt: skip
            self._work("folder", lambda: bool(watch.look(time.monotonic())), 10 * PAUSE)
        LOG.info("listening on ports %d (studies) and %d (predictions)", settings.listen.port, settings.returns.port)

    def stop(self) -> None:
        """End listening and working; what is unfinished is on the disk."""
        self._stopping.set()
        for server in self._servers:
            server.shutdown()
        for thread in self._threads:
            thread.join(timeout=30.0)
        self._headers.close()
        self._pixels.close()
        self.state.close()

    def _work(self, name: str, step: Callable[[], Any], pause: float = PAUSE) -> None:
        def loop() -> None:
            while not self._stopping.is_set():
                try:
                    busy = bool(step())
                except Exception as error:  # its text may quote a patient
                    LOG.warning("%s: %s", name, type(error).__name__)
                    busy, wait = False, 1.0
                else:
                    wait = pause
                if not busy:
                    self._stopping.wait(wait)

        thread = threading.Thread(target=loop, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    _tidied = float("-inf")

    def _study_step(self) -> None:
        self.steps.complete_studies()
        if self._clock() - self._tidied >= TIDY_SECONDS:
            self._tidied = self._clock()
            self.steps.tidy()

    def _on_store(self, event: Any) -> int:
        try:
            request = event.request
            uids = str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID)
            return self.intake.take(event.encoded_dataset(), event.assoc.requestor.address, *uids)
        except Exception as error:  # a fault of ours, or the gateway is being ended; the text may quote the object
            LOG.warning("store: %s", type(error).__name__)
            return NO_ROOM

    def _on_return(self, event: Any) -> int:
        try:
            if not self._return_rates.admit(event.assoc.requestor.address, self._clock()):
                return self.returns.refuse("rate", NO_ROOM)
            content = event.encoded_dataset()
            if len(content) > LARGEST:
                return self.returns.refuse("size")
            try:
                dataset = dcmread(io.BytesIO(content))
            except Exception:
                return self.returns.refuse("object")
            return self.returns.take(dataset)
        except Exception as error:  # as above
            LOG.warning("return: %s", type(error).__name__)
            return NO_ROOM

    def _on_commitment(self, event: Any) -> tuple[int, None]:
        try:
            if event.action_type != 1 or event.request.RequestedSOPInstanceUID != COMMITMENT_INSTANCE:
                return NO_SUCH_ACTION, None
            if event.assoc.requestor.ae_title.strip() != self.settings.pacs.ae_title:
                return PROCESSING_FAILURE, None  # there is nowhere to report to
            if self.state.waiting_commitments() >= MOST_WAITING:
                return NO_RESOURCES, None
            buffer = event.request.ActionInformation.getvalue()
            if len(buffer) > LARGEST_REQUEST or read_request(event.action_information) is None:
                return PROCESSING_FAILURE, None
            implicit = event.context.transfer_syntax == IMPLICIT_LITTLE_ENDIAN
            self.state.add_commitment(self.keys.seal.close(bytes([implicit]) + buffer, "commitment"))
        except Exception as error:
            LOG.warning("commitment: %s", type(error).__name__)
            return PROCESSING_FAILURE, None
        return 0, None

    def _answer_commitments(self) -> bool:
        """Report to the PACS which objects the spool holds; later again where it cannot be reached."""
        from pydicom.dataset import Dataset
        from pynetdicom.dsutils import decode

        waiting = self.state.commitments(self._clock())
        for number, sealed, failures in waiting:
            content = self.keys.seal.open(sealed, "commitment")
            dataset: Dataset = decode(io.BytesIO(content[1:]), bool(content[0]), True)
            asked = read_request(dataset)
            if asked is None:
                self.state.end_commitment(number)
                continue
            report, event_type = make_report(*asked, lambda uid: self.steps.holds(self.keys.of_uid(uid)))
            place = (self.settings.pacs, self.settings.listen.ae_title, [STORAGE_COMMITMENT], self.settings.limits)
            try:
                with call(*place, as_scp=True) as association:
                    status = association.report_commitment(report, event_type)
                self.state.count(f"commitment: {'answered' if status == 0 else 'refused by the PACS'}")
                self.state.end_commitment(number)
            except NodeError:
                pause = retry_pause(failures + 1, 0.5, self.settings.egress)
                self.state.end_commitment(number, self._clock() + pause)
        return False


def _smaller(settings: Settings) -> Any:
    from dataclasses import replace

    return replace(settings.limits, object_bytes=LARGEST)
