"""Sound inputs for the soak: real files where they are at hand, made ones else, each with markers planted in it."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from PIL import Image, PngImagePlugin

from fesf.scripts.data.files import to_csv, to_json
from fesf.scripts.data.formats import sniff
from fesf.scripts.data.store_format import DATASET, FORMAT, IMAGES, MANIFEST, SECTIONS, SUFFIXES, VERSION
from fesf.transforms.dicom_reader import quiet

MARKER = "QZXVIRN"
"""Stands in every text-bearing place of a source that takes it; no message may hold it."""
KINDS = ("dicom", "nifti", "png", "cohort", "manifest", "dataset", "folder")
LARGEST = 250_000
"""Bytes of a real file from which it is left out: a soak is about many inputs, not about large ones."""
ENCODINGS = ("png", "nifti")
"""Of the made stores."""
MOST = 24
"""Real files of one kind and folder."""


@dataclass(frozen=True)
class Source:
    """A sound input.

    Args:
        name: "shared/...", "pydicom/..." or "made/...".
        kind: one of :data:`KINDS`.
        content: its bytes.
        suffix: of the file's name.
    """

    name: str
    kind: str
    content: bytes
    suffix: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 of the content, which a kept recipe names."""
        return hashlib.sha256(self.content).hexdigest()


def collect(shared: str | Path | None = None) -> dict[str, Source]:
    """All sources by name, the same ones for the same folder and versions.

    Args:
        shared: folder of real images, or None for those that pydicom ships and made ones alone.
    """
    import pydicom

    folders = {"pydicom": Path(os.path.dirname(pydicom.__file__)) / "data" / "test_files"}
    if shared is not None:
        folders["shared"] = Path(shared)
    found = [source for name, folder in folders.items() for source in _real(name, folder)]
    return {source.name: source for source in [*found, *_made_images(), *_documents()]}


def _real(name: str, folder: Path) -> Iterator[Source]:
    counts: dict[tuple[Path, str], int] = {}
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or not 0 < path.stat().st_size <= LARGEST:
            continue
        content = path.read_bytes()
        kind = sniff(content[:4096])
        seen = counts[(path.parent, kind)] = counts.get((path.parent, kind), 0) + 1
        if kind not in ("dicom", "nifti", "png") or (kind != "dicom" and seen > MOST):
            continue
        suffix = "".join(path.suffixes[-2:]) if path.name.endswith(".gz") else path.suffix.lower()
        planted = {"dicom": _plant_dicom, "nifti": _plant_nifti, "png": _plant_png}[kind](content)
        yield Source(f"{name}/{path.relative_to(folder).as_posix()}", kind, planted, "" if kind == "dicom" else suffix)


def _plant_dicom(content: bytes) -> bytes:
    """The file with the marker as name, number and private text, and as a date that pydicom warns of and quotes."""
    import pydicom
    from pydicom import config
    from pydicom.dataelem import DataElement

    places = {
        0x00100010: "PN", 0x00100020: "LO", 0x00080080: "LO", 0x00081030: "LO", 0x00080020: "DA", 0x00100030: "DA",
        0x00200010: "SH", 0x00090010: "LO", 0x00091001: "LT",
    }  # fmt: skip
    try:
        with quiet():
            header = pydicom.dcmread(io.BytesIO(content), force=True)
            for tag, kind in places.items():
                header[tag] = DataElement(tag, kind, MARKER, validation_mode=config.IGNORE)
            buffer = io.BytesIO()
            header.save_as(buffer)
            return buffer.getvalue()
    except Exception:  # broken or odd on purpose, as some of pydicom's own are: taken as it is
        return content


def _plant_nifti(content: bytes) -> bytes:
    if content.startswith(b"\x1f\x8b"):
        import gzip

        return gzip.compress(_plant_nifti(gzip.decompress(content)), compresslevel=1, mtime=0)
    if content[344:348] != b"n+1\0":
        return content
    text = MARKER.encode()
    return content[:14] + text.ljust(18, b"\0") + content[32:148] + text.ljust(80, b"\0") + content[228:]


def _plant_png(content: bytes) -> bytes:
    picture = Image.open(io.BytesIO(content))
    note = PngImagePlugin.PngInfo()
    note.add_text(MARKER, MARKER)
    note.add_text("Comment", MARKER, zip=True)
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", pnginfo=note)
    return buffer.getvalue()


def _noise(shape: tuple[int, ...], kind: Any = np.uint16) -> np.ndarray:
    """Values whose first bytes are the marker: pixels must not be quoted either."""
    values = np.random.default_rng(len(shape)).integers(0, 200, shape).astype(kind)
    flat = values.reshape(-1).view(np.uint8)
    flat[: len(MARKER)] = np.frombuffer(MARKER.encode(), np.uint8)
    return values


def _made_images() -> Iterator[Source]:
    for name, values in (
        ("2d.nii", _noise((9, 8))), ("3d.nii.gz", _noise((9, 8, 5))), ("float.nii", _noise((7, 6, 3), np.float32)),
        ("rgb.nii", _noise((6, 5, 2, 3), np.uint8).view([("R", "u1"), ("G", "u1"), ("B", "u1")])[..., 0]),
    ):  # fmt: skip
        plain = nib.Nifti1Image(values, np.diag([2.0, 2.0, 3.0, 1.0])).to_bytes()
        content = _plant_nifti(plain)
        if name.endswith(".gz"):
            import gzip

            content = gzip.compress(content, compresslevel=1, mtime=0)
        yield Source(f"made/{name}", "nifti", content, "".join(Path(name).suffixes))
    second = nib.Nifti2Image(_noise((6, 5, 2), np.float32), np.eye(4)).to_bytes()
    yield Source("made/second.nii", "nifti", second, ".nii")
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        values = _noise((12, 10), np.uint8)
        picture = Image.fromarray(_noise((12, 10)) if mode == "I;16" else values)
        buffer = io.BytesIO()
        (picture if mode == "I;16" else picture.convert(mode)).save(buffer, format="PNG")
        yield Source(f"made/{mode.replace(';', '')}.png", "png", _plant_png(buffer.getvalue()), ".png")


COHORT_IMAGES = tuple(f"{MARKER}-{number}.png" for number in range(6))


def picture(number: int) -> bytes:
    """A small grey PNG, another one for each number."""
    values = np.random.default_rng(number).integers(0, 256, (6, 8)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, format="PNG")
    return buffer.getvalue()


def _documents() -> Iterator[Source]:
    rows = [
        {
            "image": name, "label": ("no", "yes")[number % 2], "patient": f"{MARKER}^Anna {number // 2}",
            "study": f"{MARKER}.{number}", "series": "", "frame": "" if number % 3 else "0",
            "split": ("training", "validation", "test")[number // 2],
        }
        for number, name in enumerate(COHORT_IMAGES)
    ]  # fmt: skip
    columns = ("image", "label", "patient", "study", "series", "frame", "split")
    yield Source("made/cohort.csv", "cohort", to_csv(columns, rows))
    yield Source("made/short.csv", "cohort", to_csv(columns[:3], [{n: row[n] for n in columns[:3]} for row in rows]))
    yield Source("made/crlf.csv", "cohort", b"\xef\xbb\xbf" + to_csv(columns, rows).replace(b"\n", b"\r\n"))
    for name in ENCODINGS:
        store = made_store(name)
        yield Source(f"made/{name}/{MANIFEST}", "manifest", store[MANIFEST])
        yield Source(f"made/{name}/{DATASET}", "dataset", store[DATASET])


def made_store(encoding: str) -> dict[str, bytes]:
    """Files of a sound store of nine images, by their path in it.

    Args:
        encoding: "png" or "nifti".
    """
    files: dict[str, bytes] = {}
    document: dict[str, Any] = {"class_names": ["no", "yes"]}
    for number in range(9):
        name = f"{IMAGES}/{hashlib.sha256(str(number).encode()).hexdigest()[:32]}{SUFFIXES[encoding]}"
        files[name] = picture(number) if encoding == "png" else _volume(number)
        item = {"image": name, "label": number // 3 % 2, "patient": name[len(IMAGES) + 1 :][:32]}
        document.setdefault(SECTIONS[number % 3], []).append(item)
    for section in SECTIONS:
        document[section].sort(key=lambda item: item["image"])
    files[DATASET] = to_json(document)
    size = [8, 6] if encoding == "png" else [4, 5, 3]
    return files | {MANIFEST: manifest_of(files, encoding, size)}


def _volume(number: int) -> bytes:
    import gzip

    values = np.random.default_rng(number).integers(0, 256, (4, 5, 3)).astype(np.uint8)
    return gzip.compress(nib.Nifti1Image(values, np.eye(4)).to_bytes(), mtime=0)


def manifest_of(files: dict[str, bytes], encoding: str, size: list[int]) -> bytes:
    """The manifest that vouches for these files."""
    listed = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)} for name, content in files.items()
    }
    head = {"format": FORMAT, "version": VERSION, "spatial_size": size, "encoding": {"type": encoding, "bits": 8}}
    return to_json(head | {"commitment": "0" * 64, "files": listed})
