"""Seals open with the same secret, run and place, and with nothing else."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fesf.scripts.engines.sealed import Seal, SealError

SECRET = b"a secret for the tests, 32 bytes and more"


def test_a_seal_is_aes_gcm_under_a_key_of_the_run() -> None:
    sealed = Seal(SECRET, "run").close(b"content", "task 3")
    key = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"fesf\0cluster\0run").derive(SECRET)
    assert AESGCM(key).decrypt(sealed[:12], sealed[12:], b"task 3") == b"content"
    assert Seal(SECRET, "run").open(sealed, "task 3") == b"content"


def test_two_seals_of_one_content_differ() -> None:
    seal = Seal(SECRET, "run")
    assert seal.close(b"content", "job") != seal.close(b"content", "job")


@pytest.mark.parametrize(
    ("secret", "run", "place"),
    [(SECRET + b"!", "run", "task 3"), (SECRET, "other", "task 3"), (SECRET, "run", "task 4")],
)
def test_another_secret_run_or_place_does_not_open(secret: bytes, run: str, place: str) -> None:
    sealed = Seal(SECRET, "run").close(b"content", "task 3")
    with pytest.raises(SealError, match="another secret, or for another place"):
        Seal(secret, run).open(sealed, place)


@pytest.mark.parametrize("damage", [lambda s: s[:-1] + bytes([s[-1] ^ 1]), lambda s: s[:5], lambda _: b""])
def test_changed_bytes_do_not_open(damage: object) -> None:
    sealed = Seal(SECRET, "run").close(b"content", "job")
    with pytest.raises(SealError):
        Seal(SECRET, "run").open(damage(sealed), "job")  # type: ignore[operator]
