"""Keyed pseudonyms, against RFC 5869 and the standard library."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

import pytest

from fesf.scripts.data import keys

SECRET = b"0123456789abcdef0123456789abcdef"


def hkdf(secret: bytes, info: bytes) -> bytes:
    """RFC 5869 with SHA-256, no salt, 32 bytes: extract, then the first block of expand."""
    extracted = hmac.new(bytes(32), secret, hashlib.sha256).digest()
    return hmac.new(extracted, info + b"\x01", hashlib.sha256).digest()


def test_derived_key_follows_the_rfc() -> None:
    assert keys.derive_key(SECRET, "r1", "image") == hkdf(SECRET, b"fesf\0image\0r1")


def test_keys_differ_by_purpose_release_and_secret() -> None:
    made = {
        keys.derive_key(s, r, p) for s in (SECRET, SECRET[::-1]) for r in ("r1", "r2") for p in ("image", "patient")
    }
    assert len(made) == 8


def test_id_is_a_truncated_hmac_of_length_prefixed_parts() -> None:
    message = b"\0" * 7 + b"\x02ab" + b"\0" * 7 + b"\x01c"
    assert keys.keyed_id(SECRET, "ab", "c") == hmac.new(SECRET, message, hashlib.sha256).hexdigest()[:32]
    assert keys.keyed_id(SECRET, "ab", "c") != keys.keyed_id(SECRET, "a", "bc")


def test_secret_comes_from_a_private_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "secret"
    file.write_bytes(SECRET + b"\n")
    file.chmod(0o600)
    assert keys.load_secret(file) == SECRET
    monkeypatch.setenv(keys.SECRET_VARIABLE, SECRET.decode())
    assert keys.load_secret() == SECRET


def test_bad_secrets_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(keys.SECRET_VARIABLE, raising=False)
    with pytest.raises(ValueError, match="No secret: set secret_file"):
        keys.load_secret()
    with pytest.raises(ValueError, match="is not a file"):
        keys.load_secret(tmp_path / "none")
    file = tmp_path / "secret"
    file.write_bytes(SECRET)
    file.chmod(0o640)
    with pytest.raises(ValueError, match="can be read by other users: chmod 600"):
        keys.load_secret(file)
    file.chmod(0o600)
    file.write_bytes(SECRET[:31])
    with pytest.raises(ValueError, match="31 bytes: at least 32") as caught:
        keys.load_secret(file)
    assert SECRET[:31].decode() not in str(caught.value)


def test_demo_secret_is_known_as_one() -> None:
    assert keys.is_demo_secret(b"fesf-demo-secret-0" + SECRET)
    assert not keys.is_demo_secret(SECRET)


def test_the_demos_secret_belongs_to_the_demo(tmp_path: Path) -> None:
    demo, cohort = b"fesf-demo-secret-0" + SECRET, tmp_path / "cohort.csv"
    assert keys.refuse_demo_secret(SECRET, cohort) == "own"
    with pytest.raises(ValueError, match="The secret is the demo's, which anybody can make") as caught:
        keys.refuse_demo_secret(demo, cohort)
    assert demo.decode() not in str(caught.value)
    (tmp_path / "README.txt").write_text("Our own images\n")
    with pytest.raises(ValueError, match="and the cohort is not the demo"):
        keys.refuse_demo_secret(demo, cohort)
    (tmp_path / "README.txt").write_text(f"{keys.DEMO_TITLE}\n")
    assert keys.refuse_demo_secret(demo, cohort) == "demo"
