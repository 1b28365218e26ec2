"""The node as a process, killed and started again: what is sent, what comes back. ``make deploy`` runs it."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pynetdicom import evt

from fesf.scripts.data.dicom_elements import EXPLICIT_LITTLE_ENDIAN, SECONDARY_CAPTURE
from fesf.scripts.data.files import to_json
from fesf.scripts.data.loopback import free_port
from fesf.scripts.data.prediction import Prediction
from fesf.scripts.data.prediction_object import COMPREHENSIVE_SR, decode_prediction
from fesf.scripts.gateway.calling import NodeError, call
from fesf.scripts.gateway.server import listen
from fesf.scripts.gateway.settings import Limits, Listener, Node

DIGITAL_XRAY = "1.2.840.10008.5.1.4.1.1.1.1"
PATIENCE, TRIES = 300.0, 5


class NodeCheck:
    """A hospital for a node: sends surrogates, takes predictions, kills the node between.

    Args:
        work: an empty folder.
        model: folder of the unpacked bundle.
        process: gives a process for words, log and folder, with ``start`` and ``end``.
    """

    def __init__(self, work: Path, model: Path, process: Any) -> None:
        self.work, self.limits = work, Limits()
        self.place, back = Node("ANALYST", free_port()), Listener("BACK", free_port(), calling=("ANALYST",))
        self.answers: list[Prediction] = []
        self._lock = threading.Lock()
        self._server = listen(back, self.limits, [(COMPREHENSIVE_SR, [EXPLICIT_LITTLE_ENDIAN])],
                              [(evt.EVT_C_STORE, self._on_store)], lambda reason: None)  # fmt: skip
        settings = {
            "folder": "node",
            "model": str(model),
            "listen": {"ae_title": "ANALYST", "port": self.place.port, "calling": ["GATEWAY"]},
            "hospital": {"ae_title": "BACK", "port": back.port},
            "batch": {"quiet_seconds": 1, "most": 32},
        }
        work.mkdir()
        (work / "node.json").write_bytes(to_json(settings))
        words = ["fesf.scripts.analyst_node", "--config", str(work / "node.json")]
        self.log, self.retries = work / "node.log", 0
        self.process = process(words, self.log, work)

    def _on_store(self, event: Any) -> int:
        found = decode_prediction(event.encoded_dataset())
        with self._lock:
            self.answers.append(found)
        return 0

    def run(
        self,
        surrogates: Sequence[bytes],
        shares: Mapping[str, Sequence[str]],
        patient: bytes,
        forged: bytes,
        kills: int,
    ) -> tuple[dict[str, bool], dict[str, Any]]:
        """Checks, and what was sent and came back.

        Args:
            surrogates: their files.
            shares: probabilities by id, as the app's table writes them.
            patient: a patient's DICOM image.
            forged: the same with a surrogate's SOP class.
            kills: how often the node is killed.
        """
        drawn, start = random.Random(0), time.monotonic()
        self.process.start()
        sent = [self._send(surrogates[: len(surrogates) // 2])]
        for _ in range(kills):
            time.sleep(drawn.uniform(0, 3))
            self.process.end(signal.SIGKILL)
            self.process.start()
        sent.append(self._send([*surrogates[len(surrogates) // 2 :], forged]))
        refused = self._is_refused(patient, DIGITAL_XRAY)
        end = time.monotonic() + PATIENCE
        while len({found.identity for found in self.answers}) < len(shares) and time.monotonic() < end:
            time.sleep(0.2)
        status = self.process.end()
        self._server.shutdown()
        times = Counter(found.identity for found in self.answers)
        right = [list(shares.get(found.identity, [])) == [f"{value:.9g}" for value in found.probabilities]
                 for found in self.answers]  # fmt: skip
        statuses = [status for part in sent for status in part]
        files = [path for path in (self.work / "node").rglob("*") if path.is_file()] + [self.log]
        checks = {
            "the node takes every surrogate": statuses[:-1] == [0] * len(surrogates),
            "the node refuses a patient's image, and one with a surrogate's SOP class": refused and statuses[-1] != 0,
            "every surrogate is answered, though the node was killed": set(times) == set(shares) and status == 0,
            "each answer's probabilities are the app's": all(right),
            "nothing waits, and nothing of the patient's image lies at the node": not any(
                path.suffix == ".dcm" or b"Synthetic" in path.read_bytes() for path in files
            ),
        }
        found = {"sent": len(surrogates), "answered": len(times), "answered_again": len(self.answers) - len(times),
                 "sent_again": self.retries, "kills": kills, "seconds": round(time.monotonic() - start, 1)}  # fmt: skip
        return checks, {"node": found}

    def _send(self, contents: Sequence[bytes]) -> list[int]:
        """Statuses; what has none is sent again, as a gateway does."""
        statuses: list[int] = []
        for attempt in range(1, TRIES + 1):
            try:
                with call(self.place, "GATEWAY", [SECONDARY_CAPTURE], self.limits) as association:
                    while len(statuses) < len(contents):
                        statuses.append(association.store(contents[len(statuses)]))
                return statuses
            except NodeError:
                self.retries += 1
                if attempt == TRIES:
                    raise RuntimeError(f"the node does not answer: {self.log.read_text()[-1000:]}") from None
        return statuses

    def _is_refused(self, content: bytes, sop_class: str) -> bool:
        """Whether the node takes no object of this class."""
        try:
            with call(self.place, "GATEWAY", [sop_class], self.limits) as association:
                return association.store(content) != 0
        except NodeError:
            return True
