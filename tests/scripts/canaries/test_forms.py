"""The forms, against what the standard library makes of a marker that stands in a text."""

from __future__ import annotations

import base64
import hashlib
import json
from urllib.parse import quote

import numpy as np
import pytest

from fesf.scripts.canaries.forms import base64_forms, digest_forms, pixel_forms, text_forms, windows
from fesf.scripts.canaries.markers import SCRIPTS, Marker

LATIN = Marker("QZABCDEFGHJK", "text", "file 1", whole="MUELLER-QZABCDEFGHJK")
JAPANESE = Marker("山田中村佐藤", "script", "file 2", "iso2022_jp")


@pytest.mark.parametrize("before", range(7))
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("marker", [LATIN, JAPANESE])
def test_encodings_base64_and_hex_at_any_place(marker: Marker, encoding: str, before: int) -> None:
    forms = [content for _, content in text_forms(marker)]
    document = b"x" * before + marker.text.encode(encoding) + b"yz"
    for written in (document, base64.b64encode(document), base64.urlsafe_b64encode(document)):
        assert any(form in written for form in forms)
    assert any(form in document.hex().encode() for form in forms)
    assert any(form in document.hex().upper().encode() for form in forms)


def test_base64_forms_hold_nothing_of_the_neighbours() -> None:
    for before in range(3):
        texts = [base64.b64encode(bytes([n]) * before + b"QZABCDEF" + bytes([n]) * 5) for n in (0, 255)]
        common = [form for form in base64_forms(b"QZABCDEF") if all(form in text for text in texts)]
        assert common
        assert max(len(form) for form in common) >= 9


@pytest.mark.parametrize("text", ["QZABCDEFGHJK", "MUELLER-QZABCDEFGHJK"])
@pytest.mark.parametrize("name", ["sha256", "md5"])
def test_digests_of_the_marker_and_the_whole_value(text: str, name: str) -> None:
    forms = [content for _, content in text_forms(LATIN)]
    digest = hashlib.new(name, text.encode(), usedforsecurity=False)
    for written in (digest.digest(), digest.hexdigest().encode(), digest.hexdigest().upper().encode()):
        assert any(form in written for form in forms)
        assert any(form in written[:24] for form in forms)
    assert any(form in base64.b64encode(digest.digest()) for form in forms)


def test_escapes_percent_encoding_and_the_files_own_character_set() -> None:
    forms = dict(text_forms(JAPANESE))
    assert forms["escapes (JSON, Python)"] in json.dumps(JAPANESE.text).encode()
    assert forms["percent-encoding"] in quote(f"/folder/{JAPANESE.text}.dcm").encode()
    assert forms["the file's character set (iso2022_jp)"] in JAPANESE.text.encode("iso2022_jp")
    assert b"\x1b" not in forms["the file's character set (iso2022_jp)"]
    for charset, codec, letters in SCRIPTS.values():
        marker = Marker(letters[:10], "script", str(charset), codec)
        assert all(len(content) >= 8 for _, content in text_forms(marker))


def test_dates_and_times_as_iso_writes_them() -> None:
    assert dict(text_forms(Marker("15810203", "date", "")))["ISO date"] == b"1581-02-03"
    assert dict(text_forms(Marker("112233.456789", "time", "")))["ISO time"] == b"11:22:33.456789"


def test_every_form_is_long_enough_to_search() -> None:
    assert all(len(content) >= 8 for content in dict(digest_forms(b"x")).values())


def test_pixels_in_each_number_type() -> None:
    pixels = np.arange(12, dtype=np.uint16).reshape(3, 4) * 300
    forms = dict(pixel_forms(pixels, 12))
    unit = pixels / 4095
    assert forms["as stored, 16 bit, unsigned"] == pixels.tobytes()
    assert forms["as stored, 16 bit, unsigned, swapped"] == pixels.astype(">u2").tobytes()
    assert forms["8 bit"] == np.rint(unit * 255).astype(np.uint8).tobytes()
    assert forms["16 bit BE, turned"] == np.rint(unit.T * 65535).astype(">u2").tobytes()
    assert forms["float32 LE"] == unit.astype("<f4").tobytes()
    assert forms["float32 LE, turned"] == unit.T.astype("<f4").tobytes()
    shown = dict(pixel_forms(unit, 8))
    assert shown["8 bit"] == forms["8 bit"]
    assert not any(name.startswith("as stored") for name in shown)
    signed = dict(pixel_forms(np.array([[-128, 127]], dtype=np.int8), 8))
    assert signed["8 bit"] == b"\x00\xff"
    assert "as stored, 8 bit, signed, swapped" not in signed


def test_windows_leave_flat_background_out() -> None:
    noise = np.random.default_rng(0).bytes(200)
    assert list(windows(noise)) == [noise[0:32], noise[64:96], noise[128:160]]
    assert list(windows(bytes(64) + noise[:32])) == [noise[:32]]
    assert list(windows(b"ab" * 100)) == []
    run = noise[5:100]
    assert any(window in run for window in windows(noise))
