"""A whole gateway on real ports, between a PACS and the stand-in analyst, in this process."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, build_context, evt

from fesf.scripts.check_gateway.analyst import Analyst
from fesf.scripts.data.loopback import free_port
from fesf.scripts.data.prediction import Prediction
from fesf.scripts.data.prediction_object import COMPREHENSIVE_SR, write_prediction
from fesf.scripts.gateway.__main__ import main
from fesf.scripts.gateway.calling import COMMITMENT_INSTANCE, STORAGE_COMMITMENT, NodeError, call
from fesf.scripts.gateway.run import Gateway
from fesf.scripts.gateway.settings import Limits, Node, load_settings
from fesf.scripts.gateway.state import read_report
from tests.scripts.gateway.certificates import Authority
from tests.scripts.gateway.made import CLASSES, MODEL, ROOT, SECONDARY_CAPTURE, make_hospital, original

LIMITS = Limits()
QUERIES = ("1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.5.1.4.1.2.1.3")
"""C-FIND and C-GET."""


def until(condition: Callable[[], Any], seconds: float = 60.0) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


class Pacs:
    """A PACS that keeps reports, and what it is told of its commitments."""

    def __init__(self, port: int) -> None:
        self.reports: list[Dataset] = []
        self.committed: list[Dataset] = []
        entity = AE("PACS")
        entity.add_supported_context(COMPREHENSIVE_SR)
        entity.add_supported_context(STORAGE_COMMITMENT, scu_role=True, scp_role=True)
        handlers: list[Any] = [(evt.EVT_C_STORE, self._store), (evt.EVT_N_EVENT_REPORT, self._told)]
        self.server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)

    def _store(self, event: Any) -> int:
        self.reports.append(event.dataset)
        return 0

    def _told(self, event: Any) -> tuple[int, None]:
        self.committed.append(event.event_information)
        return 0, None


class Hospital:
    """The ports and places of one run."""

    def __init__(self, folder: Path) -> None:
        self.listen, self.returns, self.pacs_port, self.analyst_port = (free_port() for _ in range(4))
        (folder / "watched").mkdir(parents=True)
        self.config = make_hospital(
            folder / "hospital",
            listen={"ae_title": "GW", "port": self.listen},
            returns={"ae_title": "BACK", "port": self.returns},
            pacs={"ae_title": "PACS", "port": self.pacs_port},
            analyst={"ae_title": "ANALYST", "port": self.analyst_port},
            study={"quiet_seconds": 0.3, "max_age_seconds": 60},
            egress={"first_retry_seconds": 0.1, "longest_retry_seconds": 0.4},
            folder=str(folder / "watched"),
            settle_seconds=0.2,
        )
        self.watched = folder / "watched"
        self.node = Node("GW", self.listen)

    def report(self) -> dict[str, Any]:
        return read_report(self.config.parent / "spool")


@pytest.fixture
def hospital(tmp_path: Path) -> Hospital:
    return Hospital(tmp_path)


@pytest.fixture
def pacs(hospital: Hospital) -> Iterator[Pacs]:
    made = Pacs(hospital.pacs_port)
    yield made
    assert made.server is not None
    made.server.shutdown()


@pytest.fixture
def analyst(hospital: Hospital, tmp_path: Path) -> Iterator[Path]:
    stop, folder = threading.Event(), tmp_path / "analyst"
    node = Analyst(folder, hospital.analyst_port, ("BACK", hospital.returns), CLASSES)
    thread = threading.Thread(target=node.run, args=(stop,))
    thread.start()
    yield folder
    stop.set()
    thread.join()


def test_studies_become_reports(
    hospital: Hospital, pacs: Pacs, analyst: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with Gateway(load_settings(hospital.config)):
        with call(hospital.node, "PACS", [SECONDARY_CAPTURE], LIMITS) as association:
            assert [association.store(original(number)) for number in (1, 2, 1)] == [0, 0, 0]
            assert association.store(original(3, Rows=0)) == 0xC000
        (hospital.watched / "a.dcm").write_bytes(original(4))
        assert until(lambda: len(pacs.reports) == 3)
        assert until(lambda: hospital.report()["states"] == {"stored": 3})
    by_patient = {report.PatientID: report for report in pacs.reports}
    assert sorted(by_patient) == ["PAT1", "PAT2", "PAT4"]
    for number in (1, 2, 4):
        report = by_patient[f"PAT{number}"]
        assert report.StudyInstanceUID == f"{ROOT}2.{number}"
        assert report.PatientName == f"Schmidt^Anna{number}"
        assert report.VerificationFlag == "UNVERIFIED"
    assert hospital.report()["counts"] == {"taken: again": 1, "refused: no-image": 1}
    assert list(hospital.watched.iterdir()) == []
    seen = b"".join(path.read_bytes() for path in analyst.rglob("*") if path.is_file())
    said = "\n".join(record.getMessage() for record in caplog.records)
    for text in ("Schmidt", "PAT1", "ACC1", ROOT, "20200102"):
        assert text.encode() not in seen
        assert text not in said
    assert len(list((analyst / "objects").iterdir())) == 3


def test_only_predictions_for_what_is_out_come_in(hospital: Hospital, pacs: Pacs) -> None:
    with Gateway(load_settings(hospital.config)):
        back = Node("BACK", hospital.returns)
        stranger = Prediction("e" * 32, CLASSES, (0.5, 0.5), MODEL, "1")
        with call(back, "ANALYST", [COMPREHENSIVE_SR], LIMITS) as association:
            open_ = association._open
            assert open_.send_c_store(write_prediction(stranger)).Status == 0xC000
            other = write_prediction(stranger)
            other.PatientName = "Schmidt"
            assert open_.send_c_store(other).Status == 0xA900
            large = write_prediction(stranger)
            large.add_new(0x00420011, "OB", bytes(2**18))
            assert open_.send_c_store(large).Status == 0xC000
        entity = AE("ANALYST")
        entity.requested_contexts = [
            build_context(name)
            for name in (
                SECONDARY_CAPTURE,
                "1.2.840.10008.5.1.4.1.2.2.1",
                "1.2.840.10008.5.1.4.1.2.1.3",
                STORAGE_COMMITMENT,
            )
        ]  # an image, C-FIND, C-GET, storage commitment
        opened = entity.associate("127.0.0.1", hospital.returns, ae_title="BACK")
        assert not opened.is_established
        assert opened.is_aborted or opened.accepted_contexts == []
    counts = hospital.report()["counts"]
    assert {name: counts[name] for name in ("returned: unknown", "returned: object", "returned: size")} == {
        "returned: unknown": 1, "returned: object": 1, "returned: size": 1,
    }  # fmt: skip
    assert pacs.reports == []


def test_off_the_loopback_only_who_has_a_certificate_comes_in(tmp_path: Path) -> None:
    """Both listeners on all addresses: in the clear and with a stranger's certificate nobody gets an association."""
    hospital, authority = Hospital(tmp_path), Authority(tmp_path / "tls", "hospital")
    stranger = Authority(tmp_path / "other", "stranger").issue("intruder", trusting=authority)
    given = json.loads(hospital.config.read_text())
    for name in ("listen", "returns"):
        files = authority.issue(name)
        tls = {"certificate": str(files.certificate), "key": str(files.key), "ca": str(files.ca)}
        given[name] |= {"address": "0.0.0.0", "tls": tls}
    hospital.config.write_text(json.dumps(given))
    ours = authority.issue("pacs")
    places = (("GW", hospital.listen, SECONDARY_CAPTURE), ("BACK", hospital.returns, COMPREHENSIVE_SR))
    with Gateway(load_settings(hospital.config)):
        for title, port, offered in places:
            with call(Node(title, port, tls=ours), "PACS", [offered], LIMITS) as association:
                if title == "GW":
                    assert association.store(original(1)) == 0
            for tls in (None, stranger):
                with pytest.raises(NodeError), call(Node(title, port, tls=tls), "PACS", [offered], LIMITS):
                    pass
    assert sum(hospital.report()["states"].values()) == 1


def test_predictions_have_a_rate(tmp_path: Path) -> None:
    hospital = Hospital(tmp_path)
    given = json.loads(hospital.config.read_text()) | {"limits": {"objects_a_minute": 2}}
    hospital.config.write_text(json.dumps(given))
    stranger = write_prediction(Prediction("e" * 32, CLASSES, (0.5, 0.5), MODEL, "1"))
    with (
        Gateway(load_settings(hospital.config)),
        call(Node("BACK", hospital.returns), "ANALYST", [COMPREHENSIVE_SR], LIMITS) as association,
    ):
        statuses = [association._open.send_c_store(stranger).Status for _ in range(3)]
    assert statuses == [0xC000, 0xC000, 0xA700]


def ask_commitment(hospital: Hospital, uids: list[str], ours: str = "PACS", action: int = 1, padding: int = 0) -> int:
    entity = AE(ours)
    entity.add_requested_context(STORAGE_COMMITMENT)
    opened = entity.associate("127.0.0.1", hospital.listen, ae_title="GW")
    request = Dataset()
    request.TransactionUID = "1.2.77"
    request.ReferencedSOPSequence = []
    for uid in uids:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = SECONDARY_CAPTURE, uid
        request.ReferencedSOPSequence.append(item)
    if padding:
        request.add_new(0x00091001, "OB", bytes(padding))
    status, _ = opened.send_n_action(request, action, STORAGE_COMMITMENT, COMMITMENT_INSTANCE)
    opened.release()
    return int(status.Status)


def test_storage_commitment_is_answered_even_after_a_restart(hospital: Hospital) -> None:
    settings = load_settings(hospital.config)
    with Gateway(settings):
        with call(hospital.node, "PACS", [SECONDARY_CAPTURE], LIMITS) as association:
            assert association.store(original(1)) == 0
        assert ask_commitment(hospital, [f"{ROOT}1.1", f"{ROOT}1.2"]) == 0  # the PACS itself cannot be reached yet
        assert ask_commitment(hospital, [f"{ROOT}1.1"], ours="STRANGER") == 0x0110
        assert ask_commitment(hospital, []) == 0x0110
        assert ask_commitment(hospital, [f"{ROOT}1.1"], action=2) == 0x0123
    pacs = Pacs(hospital.pacs_port)
    with Gateway(settings):
        assert until(lambda: pacs.committed)
        assert until(lambda: hospital.report()["counts"].get("commitment: answered"))
    (told,) = pacs.committed
    assert told.TransactionUID == "1.2.77"
    assert [item.ReferencedSOPInstanceUID for item in told.ReferencedSOPSequence] == [f"{ROOT}1.1"]
    assert [item.ReferencedSOPInstanceUID for item in told.FailedSOPSequence] == [f"{ROOT}1.2"]
    assert pacs.server is not None
    pacs.server.shutdown()


def test_requests_for_commitment_have_limits(hospital: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fesf.scripts.gateway.run.MOST_WAITING", 2)
    with Gateway(load_settings(hospital.config)) as gateway:  # the PACS cannot be reached
        assert ask_commitment(hospital, ["1.2." + "3" * 60] * 200, padding=2**21) == 0x0110
        assert [ask_commitment(hospital, ["1.2.3"]) for _ in range(3)] == [0, 0, 0x0213]
        assert gateway.state.waiting_commitments() == 2


def test_a_step_that_raises_is_named_by_its_type_and_goes_on(
    hospital: Hospital, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, calls = Gateway(load_settings(hospital.config)), []

    def raises() -> bool:
        calls.append(1)
        raise RuntimeError("Schmidt^Anna")

    monkeypatch.setattr(gateway.steps, "hide_next", raises)
    monkeypatch.setattr(gateway.intake, "take", lambda *_: raises())
    monkeypatch.setattr(gateway.returns, "take", lambda *_: raises())
    with gateway:
        with call(hospital.node, "PACS", [SECONDARY_CAPTURE], LIMITS) as association:
            assert association.store(original(1)) == 0xA700
        with call(Node("BACK", hospital.returns), "ANALYST", [COMPREHENSIVE_SR], LIMITS) as association:
            answer = write_prediction(Prediction("e" * 32, CLASSES, (0.5, 0.5), MODEL, "1"))
            assert association._open.send_c_store(answer).Status == 0xA700
        assert until(lambda: len(calls) >= 4)
    said = {record.getMessage() for record in caplog.records}
    assert {"hide: RuntimeError", "store: RuntimeError", "return: RuntimeError"} <= said
    assert not any("Schmidt" in text for text in said)


def test_a_taken_port_is_one_line(hospital: Hospital, capsys: pytest.CaptureFixture[str]) -> None:
    stop = threading.Event()
    stop.set()
    with Gateway(load_settings(hospital.config)):
        other = json.loads(hospital.config.read_text()) | {"spool_dir": "other"}
        path = hospital.config.with_name("other.json")
        path.write_text(json.dumps(other))
        assert main(["--config", str(path)], stop) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error == f"error: Port {hospital.listen} cannot be listened on (Address already in use): choose another."
