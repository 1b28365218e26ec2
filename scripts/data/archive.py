"""A store as one tar file: the same bytes for the same store, whoever makes it and when."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from pathlib import Path

from fesf.scripts.data.files import SHARED, flush_folder
from fesf.scripts.data.store_format import IMAGES, MANIFEST, MODIFIED, SIGNATURE, load_manifest

ROOT = "store"


def write_archive(store: str | Path, out: str | Path, signature: bytes | None = None) -> str:
    """Write a store as a tar file (USTAR): members sorted by name, owner 0, modes 0644 and 0755, one time.

    Args:
        store: folder of the store. Only what its manifest lists is taken, the manifest itself and its signature.
        out: the file; an existing one is replaced at once.
        signature: content of the signature where it is not in the store yet.

    Returns:
        SHA-256 of the file, hex.

    Raises:
        ValueError: when ``out`` lies in the store, or its folder does not exist.
        StoreError: when the folder is no store.
    """
    folder, out = Path(store).resolve(), Path(out)
    if folder in out.resolve().parents:
        raise ValueError("The archive lies in the store: choose a place outside it.")
    if not out.parent.is_dir():
        raise ValueError("The folder of the archive does not exist: make it first.")
    given = {SIGNATURE: signature} if signature is not None else {}
    names = {*load_manifest(folder)["files"], MANIFEST, *given}
    names |= {SIGNATURE} if (folder / SIGNATURE).is_file() else set()
    beside = out.with_name(f".{out.name}.new")
    try:
        with open(beside, "wb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
                archive.addfile(_member(ROOT, directory=True))
                archive.addfile(_member(f"{ROOT}/{IMAGES}", directory=True))
                for name in sorted(names):
                    content = given.get(name) or (folder / name).read_bytes()
                    archive.addfile(_member(f"{ROOT}/{name}", len(content)), io.BytesIO(content))
            file.flush()
            os.fsync(file.fileno())
        os.chmod(beside, SHARED)
        with open(beside, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.replace(beside, out)
    finally:
        beside.unlink(missing_ok=True)
    flush_folder(out.parent)
    return digest


def _member(name: str, size: int = 0, directory: bool = False) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mtime = size, MODIFIED
    member.type = tarfile.DIRTYPE if directory else tarfile.REGTYPE
    member.mode = 0o755 if directory else SHARED
    return member  # uid, gid 0 and no names are TarInfo's defaults
