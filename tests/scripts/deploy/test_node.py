"""The node on the loopback: what arrives, when it is classified, what goes back, and what it does when it cannot."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pynetdicom import AE, evt

from fesf.scripts import analyst_node
from fesf.scripts.data.loopback import free_port
from fesf.scripts.data.prediction import Prediction
from fesf.scripts.data.prediction_object import COMPREHENSIVE_SR, read_prediction
from fesf.scripts.deploy.classifier import classify
from fesf.scripts.deploy.inbox import CANNOT_UNDERSTAND, NO_ROOM, NOT_MATCHING
from fesf.scripts.deploy.node import AnalystNode
from fesf.scripts.deploy.node_settings import load_settings
from fesf.scripts.deploy.results import write_results
from fesf.scripts.deploy.surrogates import find_surrogates
from fesf.scripts.gateway.calling import NodeError, call
from fesf.scripts.gateway.settings import Limits, Node
from tests.scripts.deploy.conftest import SHAPE, identity, surrogate

SECONDARY_CAPTURE, DIGITAL_XRAY = "1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.1.1"


class Hospital:
    """The gateway's return listener, whose answer can be chosen."""

    def __init__(self) -> None:
        self.port, self.answer = free_port(), 0
        self.found: list[Prediction] = []
        entity = AE("BACK")
        entity.add_supported_context(COMPREHENSIVE_SR)
        self.server: Any = entity.start_server(
            ("127.0.0.1", self.port), block=False, evt_handlers=[(evt.EVT_C_STORE, self._store)]
        )

    def _store(self, event: Any) -> int:
        dataset = event.dataset
        dataset.file_meta = event.file_meta
        self.found.append(read_prediction(dataset, ["well", "ill"]))
        return self.answer


@pytest.fixture
def hospital() -> Iterator[Hospital]:
    made = Hospital()
    yield made
    made.server.shutdown()


def write_config(tmp_path: Path, bundle: Path, back: int, **entries: Any) -> Path:
    given = {
        "folder": "node",
        "model": str(bundle),
        "listen": {"ae_title": "ANALYST", "port": free_port(), "calling": ["GW"]},
        "hospital": {"ae_title": "BACK", "port": back},
        "batch": {"quiet_seconds": 0, "most": 4},
    }
    (tmp_path / "node.json").write_text(json.dumps(given | entries))
    return tmp_path / "node.json"


def app(source: Path, out: Path, model: Path) -> None:
    """The app's three steps in this process."""
    write_results(classify(model, find_surrogates(source)), out)


@pytest.fixture
def node(tmp_path: Path, bundle: Path, hospital: Hospital) -> Iterator[AnalystNode]:
    with AnalystNode(load_settings(write_config(tmp_path, bundle, hospital.port)), app) as made:
        yield made


def send(node: AnalystNode, *contents: bytes, sop_class: str = SECONDARY_CAPTURE) -> list[int]:
    listen = node.settings.listen
    limits = Limits(idle_seconds=5.0, object_seconds=5.0)
    with call(Node(listen.ae_title, listen.port), "GW", [sop_class], limits) as association:
        return [association.store(content) for content in contents]


def test_surrogates_arrive_and_predictions_go_back(
    node: AnalystNode, hospital: Hospital, bundle: Path, surrogates: Path
) -> None:
    assert node.step() is False
    assert send(node, *(surrogate(number) for number in range(6))) == [0] * 6
    while node.step():
        pass
    expected = classify(bundle, find_surrogates(surrogates))
    shares = dict(zip(expected.predictions.ids, expected.predictions.probabilities.tolist(), strict=True))
    assert sorted(found.identity for found in hospital.found) == sorted(shares)
    for found in hospital.found:
        assert found.probabilities == pytest.approx(shares[found.identity], abs=1e-6)
        assert found.model_sha256 == expected.model_sha256
    assert node.inbox.waiting() == 0
    assert node.inbox.answers() == []
    assert node.inbox.counts == {"taken": 6, "classified": 6, "answered": 6}


def test_what_is_no_surrogate_is_not_taken(node: AnalystNode, caplog: pytest.LogCaptureFixture) -> None:
    patient = pydicom.dcmread(io.BytesIO(surrogate(0)))
    patient.PatientName = "SCHMIDT^ANNA"
    buffer = io.BytesIO()
    patient.save_as(buffer)
    with caplog.at_level(logging.DEBUG):
        assert send(node, buffer.getvalue(), surrogate(0, SHAPE[::-1])) == [CANNOT_UNDERSTAND, NOT_MATCHING]
        with pytest.raises(NodeError):
            send(node, sop_class=DIGITAL_XRAY)
        with (
            pytest.raises(NodeError),
            call(Node("ANALYST", node.settings.listen.port), "STRANGER", [SECONDARY_CAPTURE], Limits()),
        ):
            pass
    assert node.inbox.waiting() == 0
    assert "SCHMIDT" not in caplog.text


def test_batches_wait_for_quiet_or_for_enough(tmp_path: Path, bundle: Path) -> None:
    now = [0.0]
    sizes: list[int] = []

    def run(source: Path, out: Path, model: Path) -> None:
        sizes.append(len(list(source.iterdir())))
        app(source, out, model)

    batch = {"quiet_seconds": 10, "most": 3}
    node = AnalystNode(load_settings(write_config(tmp_path, bundle, 1, batch=batch)), run, lambda: now[0])
    for number in range(4):
        node.inbox.take(surrogate(number))
    now[0] = (node.inbox.newest() or 0) + 1
    assert (node.classify(), node.classify()) == (True, False), "one is left, and it is not quiet yet"
    now[0] += 10
    assert node.classify() is True
    assert sizes == [3, 1]


def test_an_app_that_fails_is_tried_again_later(tmp_path: Path, bundle: Path, caplog: pytest.LogCaptureFixture) -> None:
    now, calls = [1e10], [0]

    def run(source: Path, out: Path, model: Path) -> None:
        calls[0] += 1
        if calls[0] < 3:
            raise ValueError("The bundle does not fit.")
        app(source, out, model)

    retry = {"first_retry_seconds": 10, "longest_retry_seconds": 1000}
    node = AnalystNode(load_settings(write_config(tmp_path, bundle, 1, retry=retry)), run, lambda: now[0])
    node.inbox.take(surrogate(0))
    for seconds, worked in ((0, False), (9, False), (1, False), (19, False), (1, True)):
        now[0] += seconds
        assert node.classify() is worked
    assert calls == [3]
    assert "classifying: The bundle does not fit." in caplog.text
    assert len(node.inbox.answers()) == 1


def test_an_answer_waits_for_the_hospital_and_a_refused_one_is_kept_apart(
    tmp_path: Path, bundle: Path, hospital: Hospital
) -> None:
    now = [1e10]
    node = AnalystNode(load_settings(write_config(tmp_path, bundle, free_port())), app, lambda: now[0])
    node.inbox.take(surrogate(0))
    assert (node.classify(), node.send()) == (True, False), "nobody listens there"
    again = AnalystNode(load_settings(write_config(tmp_path, bundle, hospital.port)), app, lambda: now[0])
    hospital.answer = 0xA700
    assert again.send() is False
    assert len(again.inbox.answers()) == 1
    now[0] += 100
    hospital.answer = 0xC000
    assert again.send() is True
    assert [path.stem for path in (tmp_path / "node" / "refused").iterdir()] == [identity(0)]
    assert [found.identity for found in hospital.found] == [identity(0)] * 2


def test_one_peer_may_send_so_much_a_minute(tmp_path: Path, bundle: Path) -> None:
    limits = {"objects_a_minute": 2}
    with AnalystNode(load_settings(write_config(tmp_path, bundle, 1, limits=limits)), app, lambda: 0.0) as node:
        assert send(node, *(surrogate(number) for number in range(3))) == [0, 0, NO_ROOM]
    assert node.inbox.counts["refused: rate"] == 1


def test_what_goes_wrong_inside_is_refused_without_its_text(
    node: AnalystNode, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(content: bytes) -> int:
        raise RuntimeError("SCHMIDT")

    monkeypatch.setattr(node.inbox, "take", fail)
    assert send(node, surrogate(0)) == [CANNOT_UNDERSTAND]
    assert "store: RuntimeError" in caplog.text
    assert "SCHMIDT" not in caplog.text


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ({"folders": "x"}, "folders: there is no such entry"),
        ({"listen": {"ae_title": "A", "port": 1, "address": "0.0.0.0"}}, "off the loopback"),
        ({"hospital": {"ae_title": "A", "port": 1, "address": "10.0.0.1"}}, "off the loopback"),
        ({"model": "none"}, "no configs/inference.json"),
    ],
)
def test_the_command_refuses_what_it_cannot_use(
    entries: dict[str, Any],
    reason: str,
    tmp_path: Path,
    bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(analyst_node, "prepare", lambda: None)
    assert analyst_node.main(["--config", str(write_config(tmp_path, bundle, 1, **entries))]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert reason in error


def test_the_command_needs_the_sdk(tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert analyst_node.main(["--config", str(write_config(tmp_path, bundle, 1))]) == 2
    assert "needs monai-deploy-app-sdk" in capsys.readouterr().err


def test_the_command_works_until_it_is_ended(
    tmp_path: Path, bundle: Path, hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(analyst_node, "prepare", lambda: None)
    monkeypatch.setattr(analyst_node, "run", app)
    config = write_config(tmp_path, bundle, hospital.port)
    waiting = tmp_path / "node" / "surrogates"
    waiting.mkdir(parents=True, mode=0o700)
    (tmp_path / "node").chmod(0o700)
    (waiting / f"{identity(0)}.dcm").write_bytes(surrogate(0))  # of an earlier run
    stop, ended = threading.Event(), []
    thread = threading.Thread(target=lambda: ended.append(analyst_node.main(["--config", str(config)], stop)))
    thread.start()
    for _ in range(300):
        if hospital.found or not thread.is_alive():
            break
        stop.wait(0.1)
    stop.set()
    thread.join(30)
    assert ended == [0]
    assert [found.identity for found in hospital.found] == [identity(0)]
