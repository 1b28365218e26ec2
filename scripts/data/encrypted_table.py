"""A hospital table at rest under AES-256-GCM, with a key that HKDF derives from the secret for this purpose alone.

The file is one line of text (``fesf encrypted linkage 1``, the release's id), a nonce of 12 random bytes and the
ciphertext with its tag. The line is authenticated with it.
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fesf.scripts.data.keys import derive_key

START = b"fesf encrypted linkage 1 "
PURPOSE = "linkage"
NONCE = 12


def encrypt(content: bytes, secret: bytes, release_id: str) -> bytes:
    """Encrypt a table.

    Args:
        content: its bytes.
        secret: the hospital's secret.
        release_id: name of the release; it is written in the clear.

    Returns:
        Bytes of the file; other ones each time, since the nonce is random.
    """
    header = START + release_id.encode() + b"\n"
    nonce = os.urandom(NONCE)
    return header + nonce + AESGCM(derive_key(secret, release_id, PURPOSE)).encrypt(nonce, content, header)


def release_of(blob: bytes) -> str:
    """The release's id that an encrypted table names.

    Raises:
        ValueError: when the bytes are no encrypted table.
    """
    header, newline, _ = blob.partition(b"\n")
    if not newline or not header.startswith(START):
        raise ValueError("The linkage is no file that encrypt_linkage wrote: name linkage.csv.enc, or linkage.csv.")
    return header.removeprefix(START).decode("utf-8", "replace")


def decrypt(blob: bytes, secret: bytes) -> bytes:
    """The inverse of :func:`encrypt`.

    Raises:
        ValueError: when the secret is another one, or a byte was changed.
    """
    release_id = release_of(blob)
    header, _, rest = blob.partition(b"\n")
    try:
        key = derive_key(secret, release_id, PURPOSE)
        return AESGCM(key).decrypt(rest[:NONCE], rest[NONCE:], header + b"\n")
    except (InvalidTag, ValueError):
        raise ValueError(
            "The encrypted linkage cannot be read: the secret is not the one it was written with, or it was changed."
            " Use that release's secret, or a backup."
        ) from None
