"""An ed25519 signature over a store's manifest: who released it, and that it is what they released.

``manifest.sig`` holds the 64 bytes that RFC 8032 defines over the bytes of ``manifest.json``; OpenSSL checks it too:
``openssl pkeyutl -verify -pubin -inkey KEY.pub -rawin -in manifest.json -sigfile manifest.sig``. The manifest holds the
digest of every file, so the signature covers them all.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from fesf.scripts.data.files import PRIVATE, SHARED, refuse_readable_by_others, write_atomic
from fesf.scripts.data.store_format import MANIFEST, SIGNATURE, StoreError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey


def make_keys(path: str | Path) -> Path:
    """Make a key pair: the private key in ``path`` (PEM, 0600, not encrypted), the public key in ``path.pub`` (PEM).

    Returns:
        Path of the public key.

    Raises:
        ValueError: when one of the files exists, or their folder does not.
    """
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private, public = Path(path), Path(f"{path}.pub")
    if not private.parent.is_dir():
        raise ValueError(f"The folder of {str(path)!r} does not exist: make it first.")
    taken = [str(file) for file in (private, public) if file.exists()]
    if taken:
        raise ValueError(f"{taken[0]!r} exists: a key is never overwritten; choose another name.")
    key = Ed25519PrivateKey.generate()
    write_atomic(
        private,
        key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()),
        PRIVATE,
    )
    write_atomic(public, public_pem(key.public_key()), SHARED)
    return public


def public_pem(key: Ed25519PublicKey) -> bytes:
    """A public key as PEM."""
    from cryptography.hazmat.primitives import serialization as form

    return key.public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)


def fingerprint(key: Ed25519PublicKey) -> str:
    """SHA-256 of the 32 raw bytes of a public key, 64 hex digits."""
    return sha256(key.public_bytes_raw()).hexdigest()


def load_private_key(path: str | Path) -> Ed25519PrivateKey:
    """Read a private key.

    Raises:
        ValueError: when the file is missing, can be read by others, or holds no unencrypted ed25519 key in PEM.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if not Path(path).is_file():
        raise ValueError(f"key_file {str(path)!r} is not a file: make one with python -m fesf.scripts.make_key FILE.")
    refuse_readable_by_others(path, "key_file")
    try:
        key = load_pem_private_key(Path(path).read_bytes(), None)
    except (ValueError, TypeError):  # TypeError: it is encrypted
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError(f"key_file {str(path)!r} holds no ed25519 private key: use a file of fesf.scripts.make_key.")
    return key


def load_public_key(path: str | Path) -> Ed25519PublicKey:
    """Read a public key.

    Raises:
        ValueError: when the file is missing, holds no ed25519 public key in PEM, or ``cryptography`` is not installed.
    """
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ImportError:
        raise ValueError("Checking a signature needs cryptography: pip install 'fesf[signature]'.") from None
    if not Path(path).is_file():
        raise ValueError(f"public_key {str(path)!r} is not a file: name the .pub file that the hospital gave you.")
    try:
        key = load_pem_public_key(Path(path).read_bytes())
    except ValueError:
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError(
            f"public_key {str(path)!r} holds no ed25519 public key in PEM: ask the hospital for its .pub file."
        )
    return key


def is_signed(store: str | Path, key: Ed25519PublicKey) -> bool:
    """Whether the store's signature is this key's over its manifest; false where there is none."""
    from cryptography.exceptions import InvalidSignature

    signature = Path(store) / SIGNATURE
    if not signature.is_file():
        return False
    try:
        key.verify(signature.read_bytes(), (Path(store) / MANIFEST).read_bytes())
    except InvalidSignature:
        return False
    return True


def signed_store(store: str | Path | None, public_key: str | Path | None = None) -> str | None:
    """The store's path, once its signature is the key's; configs read every store through this.

    Args:
        store: folder of the store; None for none.
        public_key: PEM file of the hospital's public key; None requires no signature.

    Raises:
        StoreError: when the store has no signature, or not this key's over this manifest.
        ValueError: when the key cannot be read.
    """
    if store is None:
        return None
    if public_key is not None:
        key = load_public_key(public_key)
        if not (Path(store) / MANIFEST).is_file() or not (Path(store) / SIGNATURE).is_file():
            raise StoreError(
                f"{str(store)!r} has no {SIGNATURE}, and public_key requires one: ask for the released store."
            )
        if not is_signed(store, key):
            raise StoreError(
                f"{SIGNATURE} is not a signature of this public_key over this manifest: the store was changed, or"
                " somebody else released it. Do not use it; ask the hospital."
            )
    return str(store)
