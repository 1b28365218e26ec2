"""Listening: pynetdicom's server with our limits on peers, connections, bytes and time, and without its logs."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from pynetdicom import AE, _config, evt
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.transport import ThreadedAssociationServer

from fesf.scripts.gateway.meter import LimitError, Meter, MeteredSocket, MeteredTlsSocket
from fesf.scripts.gateway.settings import Limits, Listener
from fesf.scripts.gateway.tls import server_context

SLACK = 2**20
"""Bytes of commands and headers beside an object's own."""
REQUEST, COMMAND = 2**18, 2**14
"""Most bytes of an association's request, and of one command: pynetdicom parses both whatever their size."""
VERIFICATION = "1.2.840.10008.1.1"

Handlers = Sequence[tuple[Any, Callable[..., Any]]]


def silence() -> None:
    """pynetdicom and pydicom log nothing: their messages quote identifiers, titles and addresses."""
    _config.LOG_HANDLER_LEVEL = "none"
    _config.LOG_REQUEST_IDENTIFIERS = _config.LOG_RESPONSE_IDENTIFIERS = False
    for name in ("pynetdicom", "pydicom", "highdicom"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate, logger.disabled = [logging.NullHandler()], False, True
        logger.setLevel(logging.CRITICAL + 1)
    for name, known in list(logging.Logger.manager.loggerDict.items()):
        if name.startswith(("pynetdicom.", "pydicom.", "highdicom.")) and isinstance(known, logging.Logger):
            known.disabled = True


class BoundedServer(ThreadedAssociationServer):
    """A server that counts connections by peer and bounds each of them; TLS is agreed on in the connection's thread.

    Attributes:
        limits: of the settings.
        refused: called with the reason of each connection that is turned away.
        tls: context for TLS, or None; pynetdicom's own would shake hands in the thread that accepts.
    """

    limits: Limits
    refused: Callable[[str], None]
    tls: ssl.SSLContext | None
    daemon_threads = True

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self._open: Counter[str] = Counter()
        self._count = threading.Lock()
        super().__init__(*arguments, **named)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection; nothing is read from it here."""
        accepted, address = self.socket.accept()  # type: ignore[union-attr]
        connection = MeteredSocket(accepted.family, accepted.type, accepted.proto, accepted.detach())
        connection.settimeout(self.limits.idle_seconds)
        return connection, address

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Turn a peer away that has too many connections open, or whose last ones pynetdicom still winds up."""
        peer = str(client_address[0])
        alive = Counter(str(one.requestor.address) for one in self.active_associations)
        with self._count:
            of_all, of_peer = max(self._open.total(), alive.total()), max(self._open[peer], alive[peer])
            fine = of_all < self.limits.associations and of_peer < self.limits.associations_a_peer
            if fine:
                request.on_end = lambda: self._leave(peer)
                self._open[peer] += 1
        if not fine:
            self.refused("connections")
        return fine

    def _leave(self, peer: str) -> None:
        with self._count:
            self._open[peer] -= 1
            self._open += Counter()  # drops what is 0

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the connection's own thread: TLS, the meter, then pynetdicom."""
        if self.tls is not None:
            ended, request.on_end = request.on_end, None
            try:
                request = self.tls.wrap_socket(request, server_side=True)
            except OSError:
                self.refused("tls")
                ended()
                request.close()
                return
            request.on_end = ended
        request.meter = Meter(self.limits.object_bytes + SLACK, self.limits.object_seconds, first=REQUEST)
        super().finish_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Count; socketserver would print the peer's address."""
        self.refused("connection-error")


def _bound(event: Any) -> None:
    """A new connection: what it sends without waiting counts together, and a long or malformed command ends it."""
    dimse, dul = event.assoc.dimse, event.assoc.dul
    dul.socket.socket.meter.waits = lambda: dimse.message is not None or not dimse.msg_queue.empty()
    receive = dimse.receive_primitive

    def bounded(primitive: Any) -> None:
        held = 0 if dimse.message is None else dimse.message.encoded_command_set.tell()
        parts = [data for _, data in primitive.presentation_data_value_list]
        try:
            if held + sum(len(data) for data in parts if data[0] & 1) > COMMAND:
                raise LimitError("A limit on commands.")
            receive(primitive)
        except Exception:  # of a command that is none; without an answer the thread would end
            dul.event_queue.put("Evt19")  # "invalid PDU": the association is aborted

    dimse.receive_primitive = bounded


def listen(
    place: Listener,
    limits: Limits,
    contexts: Sequence[tuple[str, Sequence[str]]],
    handlers: Handlers,
    refused: Callable[[str], None],
) -> BoundedServer:
    """Start a server in a thread of its own.

    Args:
        place: address, titles, TLS.
        limits: of the settings.
        contexts: SOP classes with their transfer syntaxes; Verification is added.
        handlers: events and their functions.
        refused: called with the reason of each connection that is turned away.

    Returns:
        The server; its ``shutdown`` ends it.

    Raises:
        ValueError: when the port is taken, or a TLS file cannot be used.
    """
    silence()
    tls = None if place.tls is None else server_context(place.tls)
    if tls is not None:
        tls.sslsocket_class = MeteredTlsSocket
    entity = AE(place.ae_title)
    entity.maximum_associations = 2 * limits.associations  # BoundedServer counts them earlier
    entity.require_called_aet = True
    entity.require_calling_aet = list(place.calling)
    entity.acse_timeout = entity.network_timeout = limits.idle_seconds
    entity.dimse_timeout = limits.object_seconds
    supported: list[PresentationContext] = [build_context(VERIFICATION)]
    supported += [build_context(name, list(syntaxes)) for name, syntaxes in contexts]
    all_handlers: list[Any] = [*handlers, (evt.EVT_REJECTED, lambda event: refused("association"))]
    all_handlers.append((evt.EVT_CONN_OPEN, _bound))
    try:
        server: Any = entity.make_server(
            (place.address, place.port),
            contexts=supported,
            evt_handlers=all_handlers,
            server_class=BoundedServer,
        )
    except OSError as error:
        raise ValueError(f"Port {place.port} cannot be listened on ({error.strerror}): choose another.") from None
    server.limits, server.refused, server.tls = limits, refused, tls
    entity._servers.append(server)
    threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True, name="listener").start()
    found: BoundedServer = server
    return found
