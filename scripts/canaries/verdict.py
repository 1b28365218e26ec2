"""Markers and pixels as needles, planted ones that must be found, and what a search found as figures."""

from __future__ import annotations

import gzip
import io
import sqlite3
import tarfile
import zipfile
from base64 import b64encode
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from fesf.scripts.canaries.files import Export
from fesf.scripts.canaries.forms import digest_forms, pixel_forms, text_forms, windows
from fesf.scripts.canaries.markers import Marker
from fesf.scripts.canaries.search import Found, Needles
from fesf.scripts.data.cohort import CohortError, LoadImageCohortd, read_cohort

Needle = tuple[bytes, str, str, bool]
AS_ENCODED, WHOLE = "pixels as encoded", "whole, "


def needles_of(export: Export, shown: Mapping[str, np.ndarray] | None = None) -> Iterator[Needle]:
    """Every needle of an export.

    Args:
        export: the export.
        shown: images as the pipeline takes them, in [0, 1], by what they are called.
    """
    for marker in export.mint.made:
        for form, content in text_forms(marker):
            yield content, form, f"{marker.kind} of {marker.where}", marker.is_short_number
    arrays = [*export.arrays, *((name, values, 8) for name, values in (shown or {}).items())]
    for what, values, bits in arrays:
        yield from _of_bytes(values.tobytes(), what)
        for form, content in pixel_forms(values, bits):
            for window in windows(content):
                yield window, f"pixels, {form}", what, False
    for what, content in export.streams:
        yield from _of_bytes(content, what)
        if what.startswith("frame"):
            for window in windows(content):
                yield window, AS_ENCODED, what, False


def _of_bytes(content: bytes, what: str) -> Iterator[Needle]:
    for form, digest in digest_forms(content):
        yield digest, WHOLE + form, what, False


def as_shown(cohort: str | Path, image_size: int) -> dict[str, np.ndarray]:
    """Images of a cohort as they are hidden: grey, in [0, 1], resized; rows that cannot be read are left out."""
    load, found = LoadImageCohortd("image", (image_size, image_size)), {}
    table = read_cohort(cohort)
    for row in table.rows:
        try:
            item: dict[Hashable, Any] = {"image": str(table.folder / row.image), "row": row.row, "frame": row.frame}
            found[f"image of row {row.row}"] = load(item)["image"][0].numpy().T
        except CohortError:
            continue
    return found


def planted(needles: list[Needle], folder: Path) -> dict[str, Any]:
    """Plant one needle of each form as it is, and a text and a row of pixels in each kind of container; search them.

    Args:
        needles: from :func:`needles_of`.
        folder: an empty folder to plant in.

    Returns:
        "planted" and "found" counts, and "missed": what was not found.
    """
    search, missed, count = Needles(needles), [], 0
    forms = {form: needle for needle in needles for form in [needle[1]]}
    for number, (form, needle) in enumerate(forms.items()):
        path = folder / f"{number}.bin"
        path.write_bytes(b"before " + needle[0] + b" after")
        count += 1
        if form not in {hit.form for hit in search.search(path).hits}:
            missed.append(form)
    text = forms["UTF-8"][0]
    picture = next(needle[0] for needle in needles if needle[1] == "pixels, 8 bit")
    words = next(needle[0] for needle in needles if needle[1] == "pixels, 16 bit LE")
    for name, content in containers(text, picture, words).items():
        path = folder / "container"
        path.write_bytes(content)
        count += 1
        if not search.search(path).hits:
            missed.append(name)
    return {"planted": count, "found": count - len(missed), "missed": missed}


def containers(text: bytes, picture: bytes, words: bytes) -> dict[str, bytes]:
    """A file of each kind of container with something planted inside, by name."""
    import torch

    made: dict[str, bytes] = {}

    def keep(name: str, write: Any) -> None:
        stream = io.BytesIO()
        write(stream)
        made[name] = stream.getvalue()

    said = PngImagePlugin.PngInfo()
    said.add_text("Patient", text.decode(), zip=True)
    keep("text chunk of a PNG", lambda s: Image.new("L", (9, 9)).save(s, "png", pnginfo=said))
    keep("pixels of a PNG", lambda s: Image.frombytes("L", (32, 1), picture).resize((32, 9)).save(s, "png"))
    deep = Image.fromarray(np.tile(np.frombuffer(words, "<u2").reshape(1, -1), (9, 1)))
    keep("pixels of a 16-bit PNG", lambda s: deep.save(s, "png"))
    keep("compressed zip", lambda s: _zip(s, text))
    keep("compressed npz", lambda s: np.savez_compressed(s, a=np.frombuffer(picture, np.uint8)))
    keep("checkpoint", lambda s: torch.save({"patient": text.decode()}, s))
    tensor = torch.from_numpy(np.frombuffer(picture, np.uint8).copy())
    keep("tensor of a checkpoint", lambda s: torch.save(tensor, s))
    made["gzip"] = gzip.compress(bytes(999) + text)
    made["broken gzip"] = gzip.compress(np.random.default_rng(0).bytes(9999) + text + bytes(10**6))[:-4]
    keep("tar of a gzip", lambda s: _tar(s, made["gzip"]))
    made["PNG in base64 in a page"] = b"<img src='data:image/png;base64," + b64encode(made["pixels of a PNG"]) + b"'>"
    made["SQLite"] = _sqlite(text.decode())
    return made


def _zip(stream: io.BytesIO, text: bytes) -> None:
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("member", b"x" * 999 + text)


def _tar(stream: io.BytesIO, content: bytes) -> None:
    with tarfile.open(fileobj=stream, mode="w") as archive:
        member = tarfile.TarInfo("member")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))


def _sqlite(text: str, length: int = 10_000) -> bytes:
    """A database whose one long cell holds the text where the cell goes on in another page."""
    database = sqlite3.connect(":memory:")
    database.execute("create table said (what text)")
    database.execute("insert into said values ('')")
    for start in range(0, length, len(text) // 2):
        database.execute("update said set what = ?", [f"{'x' * start}{text}".ljust(length, "x")])
        database.commit()
        if text.encode() not in database.serialize():
            break
    content = database.serialize()
    database.close()
    return content


def kinds(markers: list[Marker]) -> dict[str, int]:
    """How many markers of each kind."""
    return dict(sorted(Counter(marker.kind for marker in markers).items()))


def document(found: Found) -> dict[str, Any]:
    """A search as the file of figures says it; hits by place, form and kind."""
    hits = Counter((hit.place, hit.form, hit.what) for hit in found.hits)
    return {
        "files": found.files,
        "bytes": found.size,
        "bytes_in_containers": found.inside,
        "containers": dict(sorted(found.containers.items())),
        "not_opened": dict(sorted(found.unopened.items())),
        "found": len(found.hits),
        "hits": [" | ".join(hit) for hit, _ in hits.most_common(20)],
    }
