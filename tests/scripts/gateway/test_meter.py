"""The meter on sockets: what is too large or too slow ends, whoever waits for it."""

from __future__ import annotations

import socket

import pytest

from fesf.scripts.gateway.meter import LimitError, Meter, MeteredSocket
from tests.scripts.gateway.made import Clock


def test_bytes_and_seconds_are_counted_since_the_last_answer() -> None:
    clock = Clock()
    meter = Meter(10, 5.0, clock)
    meter.received(10)
    with pytest.raises(LimitError):
        meter.received(1)
    meter.sent()
    meter.received(9)
    clock.now += 5
    meter.received(1)
    clock.now += 0.1
    with pytest.raises(LimitError):
        meter.received(0)
    meter.sent()
    clock.now += 100  # waiting between two objects is no slowness
    meter.received(10)


def test_a_socket_with_a_meter() -> None:
    ours, theirs = socket.socketpair()
    metered = MeteredSocket(ours.family, ours.type, ours.proto, ours.detach())
    ended = []
    metered.meter, metered.on_end = Meter(4, 60.0), lambda: ended.append(1)
    theirs.send(b"abcd")
    assert metered.recv(4096) == b"abcd"
    assert metered.send(b"ok") == 2
    theirs.send(b"abcde")
    with pytest.raises(LimitError):
        metered.recv(4096)
    metered.shutdown(socket.SHUT_RDWR)
    metered.close()
    assert ended == [1]  # once, however it ends
    theirs.close()


def test_a_socket_without_a_meter_is_a_socket() -> None:
    ours, theirs = socket.socketpair()
    plain = MeteredSocket(ours.family, ours.type, ours.proto, ours.detach())
    theirs.send(bytes(100))
    assert plain.recv(4096) == bytes(100)
    plain.send(b"x")
    plain.close()
    theirs.close()


def test_what_waits_is_counted_on_and_the_first_message_has_a_size_of_its_own() -> None:
    meter, waits = Meter(10, 5.0, Clock(), first=3), [True]
    meter.waits = lambda: waits[0]
    with pytest.raises(LimitError):
        meter.received(4)
    meter.sent()
    meter.received(6)
    meter.sent()  # one of two objects is answered
    with pytest.raises(LimitError):
        meter.received(1)
    waits[0] = False
    meter.sent()
    meter.received(10)
