"""Certificates for tests: an authority, and what it has signed."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fesf.scripts.gateway.settings import Tls

DAY = datetime.timedelta(days=1)


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    path.chmod(0o600)
    return path


class Authority:
    """Signs certificates for 127.0.0.1."""

    def __init__(self, folder: Path, text: str) -> None:
        folder.mkdir(exist_ok=True)
        self.folder, self.text = folder, text
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.file = write(folder / f"{text}.pem", self._sign(name(text), self.key.public_key(), ca=True))

    def _sign(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, ca: bool) -> bytes:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(name(self.text))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + DAY)
            .add_extension(x509.BasicConstraints(ca, None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        )
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def issue(self, text: str, trusting: Authority | None = None) -> Tls:
        """Files of somebody whom this authority vouches for, and who trusts it, or another one."""
        key = ec.generate_private_key(ec.SECP256R1())
        plain = serialization.NoEncryption()
        form = serialization.PrivateFormat.PKCS8
        return Tls(
            write(self.folder / f"{text}.crt", self._sign(name(text), key.public_key(), ca=False)),
            write(self.folder / f"{text}.key", key.private_bytes(serialization.Encoding.PEM, form, plain)),
            (trusting or self).file,
        )
