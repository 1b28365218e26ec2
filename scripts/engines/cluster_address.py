"""Which addresses of a cluster may carry a hospital's work: TLS anywhere, plain TCP on this machine alone."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit


def is_private(address: str) -> bool:
    """Whether nobody on the network can read or join what goes through an address, such as ``tls://host:8786``."""
    try:
        parts = urlsplit(address if "://" in address else f"tcp://{address}")
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "tls" or (parts.scheme == "tcp" and _is_loopback(host or "")))


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def check_scheduler(address: str) -> str:
    """Return the address of a scheduler.

    Raises:
        ValueError: when it is none, or neither TLS nor on this machine's loopback.
    """
    if not isinstance(address, str) or not is_private(address):
        raise ValueError(
            f"scheduler={address!r}: give tls://host:port, or tcp://127.0.0.1:port for a scheduler on this machine. Who"
            " reaches a scheduler can run code on its workers: off this machine it must ask for certificates."
        )
    return address
