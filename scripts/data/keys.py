"""Keyed pseudonyms: secrets, key derivation, ids and the recipe's commitment.

Every id in a store is HMAC-SHA256 under a key that HKDF derives from the hospital's secret and the release's id, apart
for images and patients: the same secret and release give the same ids, another release gives unlinkable ones.
"""

from __future__ import annotations

import hmac
import os
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fesf.scripts.data.core_dumps import forbid_core_dumps
from fesf.scripts.data.files import refuse_readable_by_others

DEMO_TITLE = "FESF demo cohort: SYNTHETIC images, no real patient"
DEMO_SECRET_PREFIX = "fesf-demo-secret-"
SECRET_VARIABLE = "FESF_SECRET"
SECRET_BYTES = 32
ID_DIGITS = 32


def load_secret(secret_file: str | Path | None = None) -> bytes:
    """The hospital's secret, from a file or the environment, never from an argument.

    Args:
        secret_file: file whose stripped content is the secret; None reads the variable ``FESF_SECRET``.

    Returns:
        At least 32 bytes.

    Raises:
        ValueError: when there is none, it is shorter than 32 bytes, or the file can be read by others.
    """
    forbid_core_dumps()
    if secret_file is None:
        secret = os.environ.get(SECRET_VARIABLE, "").encode()
        if not secret:
            raise ValueError(
                f"No secret: set secret_file to a file of at least {SECRET_BYTES} random bytes (openssl rand -hex 32), "
                f"or the environment variable {SECRET_VARIABLE}."
            )
    else:
        path = Path(secret_file)
        if not path.is_file():
            raise ValueError(
                f"secret_file {str(path)!r} is not a file: make one with (umask 077; openssl rand -hex 32 > FILE)."
            )
        refuse_readable_by_others(path, "secret_file")
        secret = path.read_bytes().strip()
    if len(secret) < SECRET_BYTES:
        raise ValueError(
            f"The secret has {len(secret)} bytes: at least {SECRET_BYTES} are needed (openssl rand -hex 32)."
        )
    return secret


def is_demo_secret(secret: bytes) -> bool:
    """Whether the secret is the demo's, which anybody can make from its seed."""
    return secret.startswith(DEMO_SECRET_PREFIX.encode())


def refuse_demo_secret(secret: bytes, cohort: str | Path) -> str:
    """Whose a secret is: "demo" or "own".

    Args:
        secret: the secret.
        cohort: path of ``cohort.csv``; a demo's lies beside the demo's ``README.txt``.

    Raises:
        ValueError: when the demo's secret is given for a cohort that is not the demo's.
    """
    if not is_demo_secret(secret):
        return "own"
    readme = Path(cohort).parent / "README.txt"
    if not readme.is_file() or not readme.read_bytes().startswith(DEMO_TITLE.encode()):
        raise ValueError(
            "The secret is the demo's, which anybody can make, and the cohort is not the demo: make your own with"
            " (umask 077; openssl rand -hex 32 > FILE)."
        )
    return "demo"


def derive_key(secret: bytes, release_id: str, purpose: str) -> bytes:
    """A 32-byte key for one purpose in one release (HKDF-SHA256, RFC 5869).

    Args:
        secret: the hospital's secret.
        release_id: name of the release; another one gives unrelated keys.
        purpose: "image", "patient", "commitment", "linkage" or "withdrawn"; each has a key of its own.
    """
    info = b"\0".join((b"fesf", purpose.encode(), release_id.encode()))
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(secret)


def keyed_id(key: bytes, *parts: str) -> str:
    """Pseudonym of a tuple of texts: 32 hex digits of HMAC-SHA256.

    Args:
        key: from :func:`derive_key`.
        parts: texts; each is length-prefixed, so that ("ab", "c") and ("a", "bc") differ.
    """
    message = b"".join(len(part.encode()).to_bytes(8, "big") + part.encode() for part in parts)
    return hmac.new(key, message, sha256).hexdigest()[:ID_DIGITS]


def commitment(key: bytes, document: bytes) -> str:
    """HMAC-SHA256 over a document, 64 hex digits: proves the recipe to who holds the secret, shows it to nobody."""
    return hmac.new(key, document, sha256).hexdigest()
