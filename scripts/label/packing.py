"""The folder of a MONAI Label app: a main.py of two lines and the analyst's bundle."""

from __future__ import annotations

import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from fesf.scripts.data.files import SHARED, write_atomic

MODEL = "fesf_classification"
"""MONAI Label takes the kind of task from a bundle's name: it must hold "classification"."""
MAIN = '''"""A MONAI Label app for surrogates: see docs/label.md of fesf."""

from fesf.scripts.label.app import SurrogateApp  # noqa: F401
'''
NEEDED = (
    "configs/inference.json",
    "configs/train.json",
    "configs/metadata.json",
    "models/model.pt",
    "models/operating_point.json",
)
LEFT_OUT = ("fesf", "eval", "models/last.pt")
"""What the app does without: its code comes from the installed fesf, and a second copy of it on the path of a
training's process would hide that one; what an earlier training left."""
LARGEST = 2**32
"""Bytes that an archive may unpack to."""


def make_app(out: str | Path, bundle: str | Path) -> Path:
    """Make the app's folder.

    Args:
        out: folder to make; it must not exist.
        bundle: the analyst's bundle with its trained model, as a folder or as a zip archive.

    Returns:
        The folder.

    Raises:
        ValueError: when ``out`` exists, or the bundle lacks a file or is no bundle.
    """
    out, bundle = Path(out), Path(bundle)
    if out.exists():
        raise ValueError(f"{str(out)!r} exists: an app is never overwritten; choose another folder.")
    if not out.absolute().parent.is_dir():
        raise ValueError(f"The folder of {str(out)!r} does not exist: make it first.")
    with tempfile.TemporaryDirectory(prefix=".fesf-label-", dir=out.absolute().parent) as beside:
        if not bundle.is_dir():
            bundle = _unpacked(bundle, Path(beside) / "archive")
        root = bundle_root(bundle)
        app = Path(beside) / "app"
        if any(path.is_symlink() for path in root.rglob("*")):
            raise ValueError("The bundle holds a symbolic link: copy the file itself.")
        shutil.copytree(root, app / "model" / MODEL, ignore=_leave_out(root))
        write_atomic(app / "main.py", MAIN.encode(), SHARED)
        app.rename(out)
    return out


def bundle_root(folder: str | Path) -> Path:
    """Where a bundle begins: the folder itself, or the only one in it.

    Raises:
        ValueError: when a file that the app needs is missing.
    """
    folder = Path(folder)
    places = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
    roots = [place for place in places if (place / NEEDED[0]).is_file()]
    if not roots:
        raise ValueError(f"{folder.name!r} is no bundle: it has no {NEEDED[0]}. Give the analyst's bundle.")
    missing = [name for name in NEEDED if not (roots[0] / name).is_file()]
    if missing:
        raise ValueError(
            f"The bundle has no {' and no '.join(missing)}: train it first, or pack it again (package_bundle)."
        )
    return roots[0]


def _leave_out(root: Path) -> Callable[[str, list[str]], set[str]]:
    def ignored(folder: str, names: list[str]) -> set[str]:
        place = Path(folder).relative_to(root)
        return {name for name in names if name == "__pycache__" or (place / name).as_posix() in LEFT_OUT}

    return ignored


def _unpacked(archive: Path, folder: Path) -> Path:
    """Unpack a zip archive, whose members must lie where they say."""
    if not zipfile.is_zipfile(archive):
        raise ValueError(f"{str(archive)!r} is neither a folder nor a zip archive: give the analyst's bundle.")
    with zipfile.ZipFile(archive) as file:
        members = file.infolist()
        if sum(member.file_size for member in members) > LARGEST:
            raise ValueError("The archive unpacks to more than any bundle: it is not unpacked.")
        for member in members:
            path = PurePosixPath(member.filename)
            if path.is_absolute() or ".." in path.parts or stat.S_ISLNK(member.external_attr >> 16):
                raise ValueError("A member of the archive leaves its folder: it is no bundle of ours.")
        try:
            file.extractall(folder)
        except (zipfile.BadZipFile, zlib.error, RuntimeError) as error:  # RuntimeError: it is encrypted
            raise ValueError(f"The archive cannot be unpacked ({type(error).__name__}): copy it again.") from None
    return folder
