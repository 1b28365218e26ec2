"""Signatures over a manifest, checked with OpenSSL and with cryptography's own calls."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption
from cryptography.hazmat.primitives.serialization import PrivateFormat as Private

from fesf.scripts.data.signature import (
    fingerprint,
    is_signed,
    load_private_key,
    load_public_key,
    make_keys,
    signed_store,
)
from fesf.scripts.data.store_format import StoreError
from tests.scripts.data.made_store import made


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return made(tmp_path)[0]


def sign(store: Path, key: Path) -> None:
    (store / "manifest.sig").write_bytes(load_private_key(key).sign((store / "manifest.json").read_bytes()))


def test_keys_are_private_and_never_overwritten(tmp_path: Path) -> None:
    public = make_keys(tmp_path / "key")
    assert public == tmp_path / "key.pub"
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert public.read_bytes().startswith(b"-----BEGIN PUBLIC KEY-----")
    pair = load_private_key(tmp_path / "key").public_key()
    assert pair.public_bytes_raw() == load_public_key(public).public_bytes_raw()
    assert len(fingerprint(pair)) == 64
    with pytest.raises(ValueError, match="exists: a key is never overwritten"):
        make_keys(tmp_path / "key")
    (tmp_path / "key").unlink()
    with pytest.raises(ValueError, match=r"key\.pub' exists"):
        make_keys(tmp_path / "key")
    with pytest.raises(ValueError, match="does not exist: make it first"):
        make_keys(tmp_path / "nowhere" / "key")


def test_openssl_checks_the_signature(tmp_path: Path, store: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl")
    public = make_keys(tmp_path / "key")
    sign(store, tmp_path / "key")
    command = [openssl, "pkeyutl", "-verify", "-pubin", "-inkey", str(public), "-rawin"]
    command += ["-in", str(store / "manifest.json"), "-sigfile", str(store / "manifest.sig")]
    assert subprocess.run(command, capture_output=True).returncode == 0
    (store / "manifest.json").write_bytes((store / "manifest.json").read_bytes() + b" ")
    assert subprocess.run(command, capture_output=True).returncode != 0


def test_a_signature_covers_the_manifest_and_names_its_key(tmp_path: Path, store: Path) -> None:
    public, other = make_keys(tmp_path / "key"), make_keys(tmp_path / "other")
    assert not is_signed(store, load_public_key(public))
    sign(store, tmp_path / "key")
    assert is_signed(store, load_public_key(public))
    assert not is_signed(store, load_public_key(other))
    assert signed_store(store, public) == signed_store(store) == str(store)
    manifest = store / "manifest.json"
    manifest.write_text(manifest.read_text().replace("8, 6", "6, 8"))
    with pytest.raises(StoreError, match=r"manifest\.sig is not a signature of this public_key over this manifest"):
        signed_store(store, public)
    (store / "manifest.sig").write_bytes(b"short")
    assert not is_signed(store, load_public_key(public))
    (store / "manifest.sig").unlink()
    with pytest.raises(StoreError, match=r"has no manifest\.sig, and public_key requires one"):
        signed_store(store, public)
    assert signed_store(None, public) is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    make_keys(tmp_path / "key")
    (tmp_path / "key").chmod(mode)
    with pytest.raises(ValueError, match=r"key_file .* can be read by other users: chmod 600 it"):
        load_private_key(tmp_path / "key")


def test_other_keys_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "key"
    encrypted = BestAvailableEncryption(b"x")
    contents = [
        b"no key",
        ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, Private.PKCS8, NoEncryption()),
        Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, Private.PKCS8, encrypted),
    ]
    for content in contents:
        file.write_bytes(content)
        file.chmod(0o600)
        with pytest.raises(ValueError, match="holds no ed25519 private key: use a file of fesf"):
            load_private_key(file)
        with pytest.raises(ValueError, match="holds no ed25519 public key in PEM"):
            load_public_key(file)
    with pytest.raises(ValueError, match=r"is not a file: make one with python -m fesf\.scripts\.make_key"):
        load_private_key(tmp_path / "none")
    with pytest.raises(ValueError, match=r"is not a file: name the \.pub file"):
        load_public_key(tmp_path / "none")
