"""The encrypted linkage, against AES-GCM with a key derived by hand."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fesf.scripts.data.encrypted_table import decrypt, encrypt, release_of

SECRET = b"0123456789abcdef0123456789abcdef"
TABLE = b"id,row,patient\nabc,2,Anna Schmidt\n"


def hkdf(info: bytes) -> bytes:
    """RFC 5869 with SHA-256, no salt, 32 bytes."""
    extracted = hmac.new(bytes(32), SECRET, hashlib.sha256).digest()
    return hmac.new(extracted, info + b"\x01", hashlib.sha256).digest()


def test_format() -> None:
    blob = encrypt(TABLE, SECRET, "release-1")
    header, _, rest = blob.partition(b"\n")
    assert header == b"fesf encrypted linkage 1 release-1"
    plain = AESGCM(hkdf(b"fesf\0linkage\0release-1")).decrypt(rest[:12], rest[12:], header + b"\n")
    assert plain == decrypt(blob, SECRET) == TABLE
    assert b"Schmidt" not in blob
    assert encrypt(TABLE, SECRET, "release-1") != blob
    assert release_of(blob) == "release-1"


@pytest.mark.parametrize("at", [0, 30, 40, 60, -1])
def test_a_changed_byte_is_refused(at: int) -> None:
    blob = bytearray(encrypt(TABLE, SECRET, "release-1"))
    blob[at] ^= 1
    with pytest.raises(ValueError, match=r"or it was changed|is no file that encrypt_linkage wrote") as caught:
        decrypt(bytes(blob), SECRET)
    assert "Schmidt" not in str(caught.value)


def test_another_secret_and_short_files_are_refused() -> None:
    blob = encrypt(TABLE, SECRET, "release-1")
    with pytest.raises(ValueError, match="the secret is not the one it was written with"):
        decrypt(blob, SECRET[::-1])
    for short in (blob[:40], blob[:36], blob.partition(b"\n")[0] + b"\n"):
        with pytest.raises(ValueError, match="cannot be read"):
            decrypt(short, SECRET)
    for other in (b"", b"id,row\n1,2\n", blob.partition(b"\n")[0]):
        with pytest.raises(ValueError, match="is no file that encrypt_linkage wrote"):
            decrypt(other, SECRET)
