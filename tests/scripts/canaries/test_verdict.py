"""Needles of an export and the planted ones."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image

from fesf.scripts.canaries.files import Export
from fesf.scripts.canaries.markers import Marker, Mint
from fesf.scripts.canaries.search import Found, Hit, Needles
from fesf.scripts.canaries.verdict import as_shown, document, kinds, needles_of, planted


def made(folder: Path) -> Export:
    mint = Mint(0)
    mint.text("file 0")
    mint.date("file 0")
    export = Export(folder, mint)
    pixels = np.random.default_rng(1).integers(0, 4096, (24, 24), dtype=np.uint16)
    export.arrays.append(("pixels of file 0", pixels, 12))
    export.streams += [("file 0", b"a whole file"), ("frame of file 0", np.random.default_rng(2).bytes(500))]
    return export


def test_needles(tmp_path: Path) -> None:
    shown = {"image of row 2": np.random.default_rng(3).random((16, 16)).astype(np.float32)}
    listed = list(needles_of(made(tmp_path), shown))
    search = Needles(listed)

    def finds(content: bytes, what: str) -> bool:
        return what in {hit.what for hit in search.scan(content)}

    written = np.rint(shown["image of row 2"].astype(np.float64) * 255).astype(np.uint8)
    assert finds(written.tobytes(), "image of row 2")
    assert finds(shown["image of row 2"].T.tobytes(), "image of row 2")
    assert finds(np.random.default_rng(2).bytes(500)[50:150], "frame of file 0")
    assert finds(hashlib.sha256(b"a whole file").digest(), "file 0")
    pixels = np.random.default_rng(1).integers(0, 4096, (24, 24), dtype=np.uint16)
    assert finds((pixels / 4095).astype("<f4").tobytes(), "pixels of file 0")
    assert finds(hashlib.md5(pixels.tobytes(), usedforsecurity=False).hexdigest().encode(), "pixels of file 0")
    assert {needle[3] for needle in listed if needle[2].startswith("date")} == {True}


def test_planted_ones_are_found_and_a_missed_one_is_named(tmp_path: Path, monkeypatch: object) -> None:
    listed = list(needles_of(made(tmp_path)))
    (tmp_path / "a").mkdir()
    forms = {needle[1] for needle in listed}
    assert planted(listed, tmp_path / "a") == {"planted": len(forms) + 12, "found": len(forms) + 12, "missed": []}
    deaf = next(needle for needle in listed if needle[1] == "HEX of UTF-8")
    only = [needle for needle in listed if needle[1] != "HEX of UTF-8"]
    search, keep = Needles(only), Needles.__init__
    assert not search.scan(deaf[0])
    try:
        Needles.__init__ = lambda self, _: keep(self, only)  # type: ignore[method-assign, assignment]
        (tmp_path / "b").mkdir()
        assert planted(listed, tmp_path / "b")["missed"] == ["HEX of UTF-8"]
        only[:] = [needle for needle in only if not needle[1].startswith(("UTF-8", "pixels"))]
        (tmp_path / "c").mkdir()
        missed = planted(listed, tmp_path / "c")["missed"]
    finally:
        Needles.__init__ = keep  # type: ignore[method-assign]
    assert {"gzip", "SQLite", "pixels of a PNG", "compressed npz"} <= set(missed)


def test_images_as_they_are_hidden(tmp_path: Path) -> None:
    pixels = np.random.default_rng(4).integers(0, 256, (16, 16), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    (tmp_path / "cohort.csv").write_text("image,label,patient\na.png,x,P\nb.png,y,Q\n")
    shown = as_shown(tmp_path / "cohort.csv", 16)
    assert list(shown) == ["image of row 2"]
    np.testing.assert_allclose(shown["image of row 2"], pixels / 255, atol=1e-6)


def test_figures() -> None:
    found = Found([Hit("a", "UTF-8", "text of file 1")] * 2 + [Hit("b", "UTF-8", "x")], 3, 100, 50)
    found.containers.update(["zip", "zip", "gzip"])
    found.unopened.update(["zip"])
    assert document(found) == {
        "files": 3,
        "bytes": 100,
        "bytes_in_containers": 50,
        "containers": {"gzip": 1, "zip": 2},
        "not_opened": {"zip": 1},
        "found": 3,
        "hits": ["a | UTF-8 | text of file 1", "b | UTF-8 | x"],
    }
    assert kinds([Marker("a", "text", ""), Marker("b", "date", ""), Marker("c", "text", "")]) == {"date": 1, "text": 2}
