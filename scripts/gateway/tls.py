"""Mutual TLS, 1.2 or later, both ways."""

from __future__ import annotations

import ssl

from fesf.scripts.data.files import refuse_readable_by_others
from fesf.scripts.gateway.settings import Tls


def server_context(files: Tls) -> ssl.SSLContext:
    """For a listener: a caller without a certificate of the authorities is refused.

    Raises:
        ValueError: when a file cannot be used, or others can read the key.
    """
    return _context(ssl.PROTOCOL_TLS_SERVER, files)


def client_context(files: Tls) -> ssl.SSLContext:
    """For a call: the peer's certificate must be of the authorities and name the address that is called.

    Raises:
        ValueError: when a file cannot be used, or others can read the key.
    """
    return _context(ssl.PROTOCOL_TLS_CLIENT, files)


def _context(protocol: int, files: Tls) -> ssl.SSLContext:
    refuse_readable_by_others(files.key, "tls.key")
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_cert_chain(files.certificate, files.key)
        context.load_verify_locations(files.ca)
    except (OSError, ssl.SSLError) as error:
        raise ValueError(
            f"tls: certificate, key or ca cannot be used ({type(error).__name__}): give PEM files."
        ) from None
    return context
