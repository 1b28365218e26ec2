"""Calling a node: its answers, and each way in which it can fail to give one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, evt

from fesf.scripts.data.loopback import free_port
from fesf.scripts.gateway.calling import STORAGE_COMMITMENT, NodeError, call
from fesf.scripts.gateway.settings import Limits, Node
from tests.scripts.gateway.made import SECONDARY_CAPTURE, original

LIMITS = Limits(idle_seconds=2.0, object_seconds=2.0)


class Answering:
    """A node whose answers can be chosen."""

    def __init__(self) -> None:
        self.port, self.answer = free_port(), 0
        self.reported: list[Dataset] = []
        self.abort = False
        entity = AE("NODE")
        entity.add_supported_context(SECONDARY_CAPTURE)
        entity.add_supported_context(STORAGE_COMMITMENT, scu_role=True, scp_role=True)
        handlers: list[Any] = [(evt.EVT_C_STORE, self._store), (evt.EVT_N_EVENT_REPORT, self._report)]
        self.server = entity.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)

    def _store(self, event: Any) -> int:
        if self.abort:
            event.assoc.abort()
        return self.answer

    def _report(self, event: Any) -> tuple[int, None]:
        if self.abort:
            event.assoc.abort()
        self.reported.append(event.event_information)
        return self.answer, None


@pytest.fixture
def node() -> Iterator[Answering]:
    made = Answering()
    yield made
    assert made.server is not None
    made.server.shutdown()


@pytest.mark.parametrize("answer", [0, 0xA700, 0xB000, 0xC123])
def test_the_answer_is_the_nodes(node: Answering, answer: int) -> None:
    node.answer = answer
    with call(Node("NODE", node.port), "GW", [SECONDARY_CAPTURE], LIMITS) as association:
        assert association.store(original(1)) == answer
        assert association.store(original(2)) == answer


def test_a_node_that_breaks_off(node: Answering) -> None:
    node.abort = True
    with call(Node("NODE", node.port), "GW", [SECONDARY_CAPTURE], LIMITS) as association:
        for _ in range(2):
            with pytest.raises(NodeError, match=r"no answer|broken off"):
                association.store(original(1))


def test_the_report_of_a_commitment(node: Answering) -> None:
    report = Dataset()
    report.TransactionUID = "1.2.3"
    with call(Node("NODE", node.port), "GW", [STORAGE_COMMITMENT], LIMITS, as_scp=True) as association:
        assert association.report_commitment(report, 1) == 0
        node.abort = True
        for _ in range(2):
            with pytest.raises(NodeError, match=r"no answer|broken off"):
                association.report_commitment(report, 1)
    assert node.reported[0].TransactionUID == "1.2.3"


def test_nobody_there() -> None:
    with pytest.raises(NodeError, match="not established"), call(Node("X", free_port()), "GW", ["1.2"], LIMITS):
        pass


def test_a_node_that_takes_only_some(node: Answering) -> None:
    classes = [SECONDARY_CAPTURE, "1.2.840.10008.5.1.4.1.1.2"]
    with pytest.raises(NodeError, match="not established"), call(Node("NODE", node.port), "GW", classes, LIMITS):
        pass
