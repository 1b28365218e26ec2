"""What a cluster carries for us is sealed: AES-256-GCM under a key that HKDF derives from the secret for one run alone.

Dask hands tasks, results and plugins through its scheduler, keeps them in memory, and shows them in dashboards and
logs. Who does not hold the hospital's secret finds nothing there that can be read.
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fesf.scripts.data.keys import derive_key

PURPOSE = "cluster"
NONCE = 12


class SealError(ValueError):
    """Bytes were sealed with another secret, for another run or place, or were changed."""


class Seal:
    """Closes and opens what belongs to one run.

    Args:
        secret: the hospital's secret.
        run: random name of the run, which travels in the clear.
    """

    def __init__(self, secret: bytes, run: str) -> None:
        self._box = AESGCM(derive_key(secret, run, PURPOSE))

    def close(self, content: bytes, place: str) -> bytes:
        """Seal bytes for one place, such as "task 3": they do not open at another."""
        nonce = os.urandom(NONCE)
        return nonce + self._box.encrypt(nonce, content, place.encode())

    def open(self, sealed: bytes, place: str) -> bytes:
        """The inverse of :meth:`close`.

        Raises:
            SealError: when the bytes do not open.
        """
        try:
            return self._box.decrypt(sealed[:NONCE], sealed[NONCE:], place.encode())
        except (InvalidTag, ValueError):
            raise SealError("Sealed with another secret, or for another place.") from None
