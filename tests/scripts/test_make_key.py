"""The command that makes a key pair."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from fesf.scripts.make_key import main


def test_key_pair(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "key")]) == 0
    said = capsys.readouterr().out
    raw = load_pem_public_key((tmp_path / "key.pub").read_bytes()).public_bytes_raw()  # type: ignore[union-attr]
    assert f"Fingerprint: {hashlib.sha256(raw).hexdigest()}" in said
    assert "PRIVATE" not in said
    assert main([str(tmp_path / "key")]) == 2
    assert "a key is never overwritten" in capsys.readouterr().err
