"""A sound store and its hospital folder, written from the format by hand and not by the product's writer."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import zlib
from pathlib import Path
from typing import Any

MODIFIED = 315_532_800
SECTIONS = {"training": 6, "validation": 2, "test": 4}
COMMITMENT = "0" * 64


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(grey: int, size: tuple[int, int] = (8, 6), bits: int = 8, extra: bytes = b"", end: bytes = b"") -> bytes:
    """A PNG by hand: ``size`` is width and height, ``extra`` further chunks, ``end`` what follows the last one."""
    width, height = size
    row = b"\0" + grey.to_bytes(bits // 8, "big") * width
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    data = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(row * height)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data + end


def identity(number: int) -> str:
    return hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest()


def write(folder: Path, contents: dict[str, bytes], dataset: dict[str, Any], **manifest: Any) -> Path:
    """Write images, dataset.json and a manifest that fits them."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    contents = contents | {"dataset.json": json.dumps(dataset).encode()}
    files = {}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
        files[name] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    document = {
        "format": "fesf-surrogate-store",
        "version": 1,
        "spatial_size": [8, 6],
        "encoding": {"type": "png", "bits": 8},
        "commitment": COMMITMENT,
        "files": files,
    }
    (folder / "manifest.json").write_text(json.dumps(document | manifest))
    return even_out(folder)


def even_out(folder: Path) -> Path:
    for path in [*folder.rglob("*"), folder]:
        os.utime(path, (MODIFIED, MODIFIED), follow_symlinks=False)
    return folder


def made(folder: Path) -> tuple[Path, Path]:
    """A store of 12 images of 6 patients, two each, and its hospital folder."""
    contents, dataset, rows = {}, {"class_names": ["no", "yes"]}, []
    numbers = iter(range(100))
    patients = {}
    for section, count in SECTIONS.items():
        items = []
        for index in range(count):
            number = next(numbers)
            name, label, patient = identity(number), index % 2, f"Anna Schmidt {number // 2}"
            contents[f"images/{name}.png"] = png(10 + number)
            items.append({"image": f"images/{name}.png", "label": label})
            rows.append(f"{name},{number + 2},{patient},S1,{('no', 'yes')[label]},{section}")
            patients[patient] = section
        dataset[section] = sorted(items, key=lambda item: item["image"])
    hospital = folder / "hospital"
    hospital.mkdir(mode=0o700, parents=True)
    (hospital / "linkage.csv").write_text("\n".join(["id,row,patient,study,label,split", *sorted(rows)]) + "\n")
    lines = [f"{patient},{split}" for patient, split in sorted(patients.items())]
    (hospital / "splits.csv").write_text("\n".join(["patient,split", *lines]) + "\n")
    (hospital / "release.json").write_text(json.dumps({"release_id": "release-1", "generator_sha256": None}) + "\n")
    return write(folder / "store", contents, dataset), hospital
