"""Peers that speak DICOM's wire by hand: they send on without waiting, or answer without end."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.dsutils import encode

from fesf.scripts.data.loopback import free_port
from fesf.scripts.gateway.calling import NodeError, call
from fesf.scripts.gateway.server import COMMAND, BoundedServer, listen
from fesf.scripts.gateway.settings import Limits, Listener, Node
from tests.scripts.gateway.made import SECONDARY_CAPTURE

LIMITS = Limits(idle_seconds=2.0, object_seconds=20.0, object_bytes=100_000)
"""With the slack for commands, 1.1 MB in all."""


class Slow:
    """A listener whose answers take a while."""

    def __init__(self) -> None:
        self.port, self.taken, self.refused = free_port(), 0, 0
        self.server: BoundedServer = listen(
            Listener("GW", self.port), LIMITS, [(SECONDARY_CAPTURE, ["1.2.840.10008.1.2.1"])],
            [(evt.EVT_C_STORE, self._store)], lambda reason: None,
        )  # fmt: skip

    def _store(self, _: Any) -> int:
        time.sleep(0.02)
        self.taken += 1
        return 0


@pytest.fixture
def slow() -> Iterator[Slow]:
    made = Slow()
    yield made
    made.server.shutdown()


@pytest.fixture
def wire(slow: Slow) -> tuple[socket.socket, int]:
    """The bare socket of an association, and its context."""
    entity = AE("TEST")
    entity.add_requested_context(SECONDARY_CAPTURE, "1.2.840.10008.1.2.1")
    opened = entity.associate("127.0.0.1", slow.port, ae_title="GW")
    assert opened.is_established
    held = opened.dul.socket
    assert held is not None
    assert held.socket is not None
    bare = socket.socket(fileno=held.socket.detach())
    bare.settimeout(10.0)
    opened.dul.kill_dul()
    return bare, opened.accepted_contexts[0].context_id or 0


def value(context: int, flags: int, content: bytes) -> bytes:
    return struct.pack(">IBB", len(content) + 2, context, flags) + content


def pdu(*values: bytes) -> bytes:
    content = b"".join(values)
    return struct.pack(">BBI", 4, 0, len(content)) + content


def store_command() -> bytes:
    command = Dataset()
    command.CommandGroupLength, command.AffectedSOPClassUID = 0, SECONDARY_CAPTURE
    command.CommandField, command.MessageID, command.Priority, command.CommandDataSetType = 1, 1, 0, 1
    command.AffectedSOPInstanceUID = "1.2.3"
    content = encode(command, True, True)
    assert content is not None
    command.CommandGroupLength = len(content) - 12
    return encode(command, True, True) or b""


def closed(bare: socket.socket) -> bool:
    with suppress(ConnectionError):
        while bare.recv(65536):
            pass
    return True


def test_who_sends_on_without_waiting_is_let_go(slow: Slow, wire: tuple[socket.socket, int]) -> None:
    """Ten objects for each answer: each is small, and what waits grows by nine."""
    bare, context = wire
    message = pdu(value(context, 3, store_command())) + pdu(value(context, 2, bytes(50_000)))
    sent = 0
    with suppress(ConnectionError):
        for _ in range(30):
            bare.sendall(message * 10)
            sent += 10
            if not bare.recv(4096):
                break
    assert closed(bare)
    assert sent < 100
    bare.close()


def test_who_waits_for_each_answer_may_send_as_much_as_it_likes(slow: Slow, wire: tuple[socket.socket, int]) -> None:
    bare, context = wire
    message = pdu(value(context, 3, store_command())) + pdu(value(context, 2, bytes(50_000)))
    for number in range(40):
        bare.sendall(message)
        assert bare.recv(4096)[:1] == b"\x04", number
    assert slow.taken == 40
    bare.close()


@pytest.mark.parametrize("last", [1, 3])
def test_a_long_command_is_not_parsed(wire: tuple[socket.socket, int], last: int) -> None:
    bare, context = wire
    content = b"".join(struct.pack("<HHI", 9, number, 0) for number in range(COMMAND // 8))
    bare.sendall(pdu(value(context, 1, content)) + pdu(value(context, last, bytes(8))))
    assert bare.recv(1) == b"\x07"  # A-ABORT, at once
    bare.close()


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("content", [struct.pack(">BBIIB", 4, 0, 5, 1, 1), pdu(value(1, 3, b"no command"))])
def test_a_malformed_command_ends_the_association(wire: tuple[socket.socket, int], content: bytes) -> None:
    bare, _ = wire
    bare.sendall(content)
    assert bare.recv(1) == b"\x07"
    bare.close()


def test_a_request_for_an_association_has_a_size_of_its_own(slow: Slow) -> None:
    sent = 0
    with socket.create_connection(("127.0.0.1", slow.port)) as one:
        one.sendall(b"\x01\x00" + struct.pack(">I", 2**20))
        with suppress(OSError):
            while sent < 2**20 - 1:
                one.sendall(bytes(2**10))
                sent += 2**10
                time.sleep(0.0005)
    assert sent < 2**20 - 1


class Endless:
    """A node that answers with a beginning, and then with a function of the connection."""

    def __init__(self, go_on: Callable[[socket.socket], None]) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.node = Node("A", self._listener.getsockname()[1])
        self._go_on = go_on
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection, self._listener, suppress(OSError):
            connection.recv(65536)
            connection.sendall(b"\x02\x00" + struct.pack(">I", 2**32 - 1))
            self._go_on(connection)


def test_an_answer_without_end_is_cut() -> None:
    sent = [0]

    def flood(connection: socket.socket) -> None:
        while sent[0] < 200 * 2**20:
            connection.sendall(bytes(2**16))
            sent[0] += 2**16

    with pytest.raises(NodeError), call(Endless(flood).node, "GW", [SECONDARY_CAPTURE], LIMITS):
        pass
    assert sent[0] < 30 * 2**20


def test_an_answer_that_never_comes_whole_holds_no_thread() -> None:
    begin, before = time.monotonic(), set(threading.enumerate())
    limits = replace(LIMITS, idle_seconds=0.5)
    stop = threading.Event()
    with (
        pytest.raises(NodeError),
        call(Endless(lambda connection: stop.wait(20) and None).node, "GW", [SECONDARY_CAPTURE], limits),
    ):
        pass
    assert time.monotonic() - begin < 10
    readers = lambda: [one for one in set(threading.enumerate()) - before if "DUL" in one.name or "Assoc" in one.name]  # noqa: E731
    while readers() and time.monotonic() - begin < 10:
        time.sleep(0.05)
    assert not readers()
    stop.set()
