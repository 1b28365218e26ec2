"""gateway.json: defaults, refusals that name the entry, and no place off the loopback without TLS."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fesf.scripts.gateway.settings import Egress, Keep, Limits, is_loopback, load_settings
from tests.scripts.gateway.made import make_hospital


def test_what_is_not_given_has_its_default(config: Path) -> None:
    settings = load_settings(config)
    assert settings.limits == Limits()
    assert settings.keep == Keep(24.0, 30.0)
    assert settings.egress == Egress(0.0, 0.0, 1.0, 8.0)
    assert settings.spool_dir == config.parent / "spool"
    assert settings.listen.address == settings.returns.address == "127.0.0.1"
    assert settings.folder is settings.model_sha256 is settings.listen.tls is None
    assert settings.class_names == ("no", "yes")


@pytest.mark.parametrize(
    ("address", "own"),
    [("127.0.0.1", True), ("127.8.9.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
     ("10.0.0.1", False), ("", False), ("localhost.evil.example", False), ("pacs", False)],
)  # fmt: skip
def test_what_is_the_loopback(address: str, own: bool) -> None:
    assert is_loopback(address) is own


PLACE = {"ae_title": "X", "port": 11112}
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"listen": PLACE | {"address": "0.0.0.0"}}, "listen.address='0.0.0.0' is off the loopback: give listen.tls"),
    ({"returns": PLACE | {"address": "10.0.0.1"}}, "returns.address='10.0.0.1' is off the loopback"),
    ({"pacs": PLACE | {"address": "pacs.example"}}, "pacs.address='pacs.example' is off the loopback"),
    ({"analyst": PLACE | {"address": "192.0.2.1"}}, "analyst.address='192.0.2.1' is off the loopback"),
    ({"listen": PLACE | {"tls": {"certificate": "a", "key": "b", "ca": "c"}}}, "listen.tls.certificate: there is no"),
    ({"listen": PLACE | {"tls": {"certificate": "a", "key": "b"}}}, "listen.tls.ca: it is missing"),
    ({"listen": PLACE | {"port": 65536}}, "listen.port=65536: give 1 to 65535"),
    ({"listen": PLACE | {"port": "11112"}}, "listen.port='11112': give a whole number"),
    ({"listen": PLACE | {"port": True}}, "listen.port=True"),
    ({"listen": PLACE | {"ae_title": "A" * 17}}, "give 1 to 16 ASCII characters"),
    ({"listen": PLACE | {"titel": "A"}}, "listen.titel: there is no such entry"),
    ({"listen": PLACE | {"port": 11113}}, "the analyst's listener needs a port of its own"),
    ({"class_names": ["one"]}, "class_names: name the two"),
    ({"class_names": "no,yes"}, "give a list of texts"),
    ({"class_names": ["no", "no"]}, "class_names: A prediction has 2 to 1000 classes, each name once"),
    ({"class_names": ["no", "<yes>"]}, "class_names: A class name is empty, too long, or has marks"),
    ({"model_sha256": "A" * 64}, "model_sha256: give the 64 hex digits that sha256sum prints"),
    ({"study": {"quiet_seconds": -1}}, "study.quiet_seconds=-1: give a number, 0 or more"),
    ({"study": 3}, "study: give an object"),
    ({"keep": {"ledger_days": "30"}}, "keep.ledger_days='30'"),
    ({"limits": {"pixels": 0}}, "limits.pixels=0: give a whole number above 0"),
    ({"spool_dir": ""}, "spool_dir='': give a path"),
    ({"host": 3}, "host=3: give a text"),
    ({"keep": {"originals_hours": 25, "ledger_days": 1}}, "keep.originals_hours: give at most ledger_days"),
    ({"folder": "nowhere"}, "folder: there is no folder"),
    ({"limits": {"idle_seconds": 0}}, "limits.idle_seconds: give a number above 0"),
    ({"limits": {"object_seconds": 0}}, "limits.object_seconds: give a number above 0"),
    ({"egress": {"first_retry_seconds": 0}}, "egress.first_retry_seconds: give a number above 0"),
    ({"egress": {"first_retry_seconds": 10, "longest_retry_seconds": 1}}, "give at least first_retry_seconds"),
    ({"secret": "0123"}, "secret: there is no such entry"),
]


@pytest.mark.parametrize(("changes", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_what_cannot_be_used_is_named(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    config = make_hospital(tmp_path / "hospital", **changes)
    with pytest.raises(ValueError, match=r"\S") as raised:
        load_settings(config)
    assert said in str(raised.value)


def test_a_missing_entry_and_a_broken_file(config: Path) -> None:
    given = json.loads(config.read_text())
    del given["pacs"]
    config.write_text(json.dumps(given))
    with pytest.raises(ValueError, match="pacs: it is missing"):
        load_settings(config)
    for content in ("{", "[]", "\udcff"):
        config.write_text(content, errors="surrogateescape")
        with pytest.raises(ValueError, match=r"cannot be read as JSON|give an object"):
            load_settings(config)


def test_files_of_tls_make_another_address_fine(tmp_path: Path) -> None:
    (tmp_path / "hospital").mkdir()
    tls = {}
    for name in ("certificate", "key", "ca"):
        tls[name] = f"{name}.pem"
    config = make_hospital(tmp_path / "other", listen=PLACE | {"address": "0.0.0.0", "tls": tls})
    for name in tls.values():
        (config.parent / name).write_text("")
    settings = load_settings(config)
    assert settings.listen.tls is not None
    assert settings.listen.tls.key == config.parent / "key.pem"
