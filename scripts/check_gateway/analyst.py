"""A stand-in for the analyst's node, a process of its own: takes surrogates, answers each with a prediction.

It keeps every byte that reaches it in ``wire.bin``, every object in a file of its own, and a log; the check searches
all of it. Its probabilities follow from the pixels' digest: no network is needed to know what must come back.
"""

from __future__ import annotations

import argparse
import io
import queue
import sys
import threading
import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pynetdicom import AE, evt

from fesf.scripts.data.dicom_elements import EXPLICIT_LITTLE_ENDIAN, SECONDARY_CAPTURE
from fesf.scripts.data.prediction import Prediction
from fesf.scripts.data.prediction_object import COMPREHENSIVE_SR, write_prediction
from fesf.scripts.data.service import until_signalled

MODEL_SHA256, MODEL_VERSION = sha256(b"stand-in").hexdigest(), "stand-in-1"


def predict(content: bytes, class_names: Sequence[str]) -> Prediction:
    """The prediction on a surrogate's file: one that follows from its pixels alone."""
    surrogate = dcmread(io.BytesIO(content))
    drawn = sha256(surrogate.PixelData).digest()
    weights = [1 + drawn[number % len(drawn)] for number in range(len(class_names))]
    probabilities = tuple(weight / sum(weights) for weight in weights)
    return Prediction(str(surrogate.PatientID), tuple(class_names), probabilities, MODEL_SHA256, MODEL_VERSION)


class Analyst:
    """The node.

    Args:
        folder: for all that arrives.
        port: to listen on.
        returns: (AE title, port) of the gateway's return listener.
        class_names: of the predictions.
    """

    def __init__(self, folder: Path, port: int, returns: tuple[str, int], class_names: Sequence[str]) -> None:
        self.folder, self.port, self.returns, self.class_names = folder, port, returns, class_names
        (folder / "objects").mkdir(parents=True, exist_ok=True)
        self._number = len(list((folder / "objects").iterdir()))
        self._waiting: queue.Queue[bytes] = queue.Queue()
        self._lock = threading.Lock()

    def run(self, stop: threading.Event) -> None:
        """Listen and answer until told to stop."""
        entity = AE("ANALYST")
        entity.add_supported_context(SECONDARY_CAPTURE, EXPLICIT_LITTLE_ENDIAN)
        handlers: list[Any] = [(evt.EVT_C_STORE, self._on_store), (evt.EVT_DATA_RECV, self._on_bytes)]
        server = entity.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)
        print("listening", flush=True)
        waiting: list[bytes] = []
        while not stop.is_set():
            waiting += self._drain()
            waiting = self._answer(waiting) if waiting else []
        if server is not None:
            server.shutdown()

    def _on_bytes(self, event: Any) -> None:
        with self._lock, open(self.folder / "wire.bin", "ab") as file:
            file.write(event.data)

    def _on_store(self, event: Any) -> int:
        content = event.encoded_dataset()
        with self._lock:
            self._number += 1
            path = self.folder / "objects" / f"{self._number:06d}.dcm"
        path.write_bytes(content)
        print("took an object from", event.assoc.requestor.ae_title, flush=True)
        self._waiting.put(content)
        return 0

    def _drain(self) -> list[bytes]:
        found = []
        try:
            found.append(self._waiting.get(timeout=0.05))
            while True:
                found.append(self._waiting.get_nowait())
        except queue.Empty:
            return found

    def _answer(self, waiting: list[bytes]) -> list[bytes]:
        """Send predictions; returns what is still to be answered."""
        entity = AE("ANALYST")
        entity.add_requested_context(COMPREHENSIVE_SR, EXPLICIT_LITTLE_ENDIAN)
        association = entity.associate(
            "127.0.0.1", self.returns[1], ae_title=self.returns[0], evt_handlers=[(evt.EVT_DATA_RECV, self._on_bytes)]
        )
        if not association.is_established:
            time.sleep(0.2)
            return waiting
        left = []
        for content in waiting:
            try:
                status = association.send_c_store(write_prediction(predict(content, self.class_names)))
            except RuntimeError:
                left.append(content)
                continue
            if "Status" not in status:
                left.append(content)
            else:
                print(f"answered, status 0x{status.Status:04X}", flush=True)
        if association.is_established:
            association.release()
        return left


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of the process; ends by SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m fesf.scripts.check_gateway.analyst")
    parser.add_argument("--folder", required=True, type=Path)
    parser.add_argument("--port", required=True, type=int)
    parser.add_argument("--returns-title", required=True)
    parser.add_argument("--returns-port", required=True, type=int)
    parser.add_argument("--class-name", action="append", required=True)
    options = parser.parse_args(arguments)
    stop = until_signalled()
    returns = options.returns_title, options.returns_port
    Analyst(options.folder, options.port, returns, options.class_name).run(stop)
    return 0


if __name__ == "__main__":
    sys.exit(main())
