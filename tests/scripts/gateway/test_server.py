"""The listener on a real port: titles, connections, sizes, time and TLS."""

from __future__ import annotations

import io
import socket
import ssl
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pynetdicom import AE, evt

from fesf.scripts.data.loopback import free_port
from fesf.scripts.gateway.calling import NodeError, call
from fesf.scripts.gateway.contexts import SYNTAXES
from fesf.scripts.gateway.server import BoundedServer, listen
from fesf.scripts.gateway.settings import Limits, Listener, Node, Tls
from fesf.scripts.gateway.tls import client_context, server_context
from tests.scripts.gateway.certificates import Authority
from tests.scripts.gateway.made import SECONDARY_CAPTURE, original

LIMITS = Limits(idle_seconds=2.0, object_seconds=3.0, associations=4, associations_a_peer=2, object_bytes=100_000)


class Heard:
    """A listener and what it took."""

    def __init__(self, tls: Tls | None = None, limits: Limits = LIMITS, calling: tuple[str, ...] = ()) -> None:
        self.got: list[bytes] = []
        self.refused: Counter[str] = Counter()
        self.port = free_port()
        self.place = Listener("GW", self.port, calling=calling, tls=tls)
        self.server: BoundedServer = listen(
            self.place, limits, [(SECONDARY_CAPTURE, SYNTAXES)], [(evt.EVT_C_STORE, self._store)], self._refuse
        )

    def _store(self, event: Any) -> int:
        self.got.append(event.encoded_dataset())
        return 0

    def _refuse(self, reason: str) -> None:
        self.refused[reason] += 1

    def node(self, tls: Tls | None = None) -> Node:
        return Node("GW", self.port, tls=tls)

    def send(self, tls: Tls | None = None, content: bytes | None = None) -> int:
        with call(self.node(tls), "TEST", [SECONDARY_CAPTURE], LIMITS) as association:
            return association.store(content or original(1))


@pytest.fixture
def make() -> Iterator[Callable[..., Heard]]:
    made: list[Heard] = []

    def one(*arguments: Any, **named: Any) -> Heard:
        made.append(Heard(*arguments, **named))
        return made[-1]

    yield one
    for heard in made:
        heard.server.shutdown()


def until(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def test_an_object_arrives_as_it_was(make: Callable[..., Heard]) -> None:
    heard = make()
    assert heard.send() == 0
    (content,) = heard.got
    assert dcmread(io.BytesIO(content)).PixelData == dcmread(io.BytesIO(original(1))).PixelData


def test_titles_are_compared(make: Callable[..., Heard]) -> None:
    heard = make(calling=("TEST",))
    assert heard.send() == 0
    for node, ours in ((heard.node(), "OTHER"), (replace(heard.node(), ae_title="GW2"), "TEST")):
        with pytest.raises(NodeError), call(node, ours, [SECONDARY_CAPTURE], LIMITS):
            pass
    assert until(lambda: heard.refused["association"] == 2)


def test_what_is_not_offered_is_not_taken(make: Callable[..., Heard]) -> None:
    heard = make()
    with pytest.raises(NodeError), call(heard.node(), "TEST", ["1.2.840.10008.5.1.4.1.1.2"], LIMITS):
        pass
    with pytest.raises(NodeError), call(Node("GW", free_port()), "TEST", [SECONDARY_CAPTURE], LIMITS):
        pass


def test_connections_of_one_peer_are_counted_and_come_free(make: Callable[..., Heard]) -> None:
    heard = make()
    idle = [socket.create_connection(("127.0.0.1", heard.port)) for _ in range(2)]
    assert until(lambda: heard.server._open["127.0.0.1"] == 2)
    with pytest.raises(NodeError), call(heard.node(), "TEST", [SECONDARY_CAPTURE], LIMITS):
        pass
    assert heard.refused["connections"] == 1
    for one in idle:
        one.close()
    assert until(lambda: heard.server._open.total() == 0)
    assert until(lambda: not heard.server.active_associations)
    for _ in range(3):
        assert heard.send() == 0
        assert until(lambda: not heard.server.active_associations)
    assert until(lambda: heard.server._open.total() == 0)


def closes(one: socket.socket, seconds: float = 10.0) -> bool:
    """Whether the other side ends the connection."""
    one.settimeout(seconds)
    try:
        while one.recv(4096):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


def test_who_says_nothing_is_let_go(make: Callable[..., Heard]) -> None:
    heard = make()
    with socket.create_connection(("127.0.0.1", heard.port)) as one:
        assert closes(one)


def test_who_trickles_is_let_go(make: Callable[..., Heard]) -> None:
    """A byte now and then of a PDU that claims to be long: idle never, whole never."""
    heard, begin = make(), time.monotonic()
    with socket.create_connection(("127.0.0.1", heard.port)) as one:
        one.sendall(b"\x01\x00" + struct.pack(">I", 60_000))
        ended = False
        while not ended and time.monotonic() - begin < 15:
            time.sleep(0.3)
            try:
                one.sendall(b"x")
            except OSError:
                ended = True
    assert ended
    assert time.monotonic() - begin < 10
    assert heard.send() == 0


def test_a_pdu_of_any_claimed_size_is_cut_at_the_limit(make: Callable[..., Heard]) -> None:
    heard, sent = make(), 0
    with socket.create_connection(("127.0.0.1", heard.port)) as one:
        one.sendall(b"\x01\x00" + struct.pack(">I", 2**32 - 1))
        with suppress(OSError):
            while sent < 100 * 2**20:
                one.sendall(bytes(65536))
                sent += 65536
    assert sent < 30 * 2**20  # what the sockets' buffers hold comes on top of the limit of 1.1 MB
    assert heard.send() == 0


def test_an_object_larger_than_the_limit_ends_the_association(make: Callable[..., Heard]) -> None:
    heard = make()
    large = original(1, Rows=2000, Columns=2000, PixelData=bytes(4_000_000))
    with pytest.raises(NodeError):
        heard.send(content=large)
    assert heard.got == []


def test_noise_ends_nothing_but_its_connection(make: Callable[..., Heard], capfd: pytest.CaptureFixture[str]) -> None:
    heard = make()
    for content in (b"GET / HTTP/1.0\r\n\r\n", bytes(100), b"\x01\x00\x00\x00\x00\x04Schm", b"\xff" * 1000):
        with socket.create_connection(("127.0.0.1", heard.port)) as one:
            one.sendall(content)
            with suppress(OSError):  # it may have been let go already
                one.shutdown(socket.SHUT_WR)
            assert closes(one) or heard.refused["connections"]
    assert until(lambda: not heard.server.active_associations)
    assert heard.send() == 0
    assert "Schm" not in "".join(capfd.readouterr())


def test_a_taken_port_is_an_error(make: Callable[..., Heard]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(ValueError, match="cannot be listened on"):
            listen(Listener("GW", other.getsockname()[1]), LIMITS, [], [], lambda reason: None)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"), "hospital")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"), "stranger")


def test_mutual_tls(make: Callable[..., Heard], authority: Authority, stranger: Authority) -> None:
    heard = make(authority.issue("gateway"))
    assert heard.send(authority.issue("pacs")) == 0
    for tls in (
        None,  # no TLS
        stranger.issue("intruder", trusting=authority),  # a certificate of somebody else
        authority.issue("careful", trusting=stranger),  # who does not trust us
    ):
        with pytest.raises(NodeError):
            heard.send(tls)
    assert heard.send(authority.issue("pacs")) == 0
    assert len(heard.got) == 2
    assert until(lambda: heard.server._open.total() == 0)


def test_a_caller_without_certificate_or_with_old_tls_is_refused(
    make: Callable[..., Heard], authority: Authority
) -> None:
    heard = make(authority.issue("gateway"))
    bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    bare.load_verify_locations(authority.file)
    old = client_context(authority.issue("pacs"))
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    for context in (bare, old):
        entity = AE("TEST")
        entity.add_requested_context(SECONDARY_CAPTURE)
        entity.acse_timeout = 5
        opened = entity.associate("127.0.0.1", heard.port, ae_title="GW", tls_args=(context, "127.0.0.1"))
        assert not opened.is_established
    assert until(lambda: heard.refused["tls"] == 2)


def test_a_slow_handshake_holds_nobody_up(make: Callable[..., Heard], authority: Authority) -> None:
    heard = make(authority.issue("gateway"))
    with socket.create_connection(("127.0.0.1", heard.port)) as silent:
        begin = time.monotonic()
        assert heard.send(authority.issue("pacs")) == 0
        assert time.monotonic() - begin < LIMITS.idle_seconds
        assert closes(silent)
    assert until(lambda: heard.refused["tls"] == 1)


def test_files_of_tls_are_checked(authority: Authority, tmp_path: Path) -> None:
    fine = authority.issue("gateway")
    assert server_context(fine).minimum_version == ssl.TLSVersion.TLSv1_2
    assert server_context(fine).verify_mode == client_context(fine).verify_mode == ssl.CERT_REQUIRED
    assert client_context(fine).check_hostname
    (tmp_path / "key").write_bytes(b"no key")
    (tmp_path / "key").chmod(0o600)
    with pytest.raises(ValueError, match="give PEM files"):
        server_context(replace(fine, key=tmp_path / "key"))
    (tmp_path / "key").chmod(0o644)
    with pytest.raises(ValueError, match=r"tls\.key .* can be read by other users"):
        client_context(replace(fine, key=tmp_path / "key"))
