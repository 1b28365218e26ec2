"""Sockets that end what is too large or too slow, below pynetdicom, which would wait and take memory without end."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from typing import Any


class LimitError(OSError):
    """A peer sent more bytes, or took longer, than one object may."""


class Meter:
    """Counts what came in since we last answered: an object's bytes and its seconds.

    Args:
        size: most bytes.
        seconds: most seconds from the first byte.
        clock: gives the time in seconds.
        first: most bytes before our first answer; None for ``size``.

    Attributes:
        waits: whether more has come than was answered: then an answer frees nothing, since a peer that sends on
            without waiting would fill the memory.
    """

    waits: Callable[[], bool] = staticmethod(lambda: False)

    def __init__(
        self, size: int, seconds: float, clock: Callable[[], float] = time.monotonic, first: int | None = None
    ) -> None:
        self.size, self.seconds, self._clock = size, seconds, clock
        self._most = size if first is None else first
        self._count, self._first = 0, 0.0

    def received(self, count: int) -> None:
        """So many bytes came.

        Raises:
            LimitError: when they are too many, or the first is too long ago.
        """
        now = self._clock()
        if self._count == 0:
            self._first = now
        self._count += count
        if self._count > self._most or now - self._first > self.seconds:
            raise LimitError("A limit on what one peer sends.")

    def sent(self) -> None:
        """We answered: what comes now is counted anew, unless something still waits."""
        self._most = self.size
        if not self.waits():
            self._count = 0


class _Metered:
    meter: Meter | None = None
    on_end: Callable[[], None] | None = None

    def recv(self, *arguments: Any) -> bytes:
        content: bytes = super().recv(*arguments)  # type: ignore[misc]
        if self.meter is not None:
            self.meter.received(len(content))
        return content

    def send(self, *arguments: Any) -> int:
        if self.meter is not None:
            self.meter.sent()
        count: int = super().send(*arguments)  # type: ignore[misc]
        return count

    def _end(self) -> None:
        ended, self.on_end = self.on_end, None
        if ended is not None:
            ended()

    def shutdown(self, how: int) -> None:
        self._end()
        super().shutdown(how)  # type: ignore[misc]

    def close(self) -> None:
        self._end()
        super().close()  # type: ignore[misc]


class MeteredSocket(_Metered, socket.socket):
    """A plain socket with a meter."""


class MeteredTlsSocket(_Metered, ssl.SSLSocket):
    """A TLS socket with a meter; a context makes it by its ``sslsocket_class``."""
