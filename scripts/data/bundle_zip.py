"""Zip files of bundles: the same bytes for the same content, with the code that their configs reach."""

from __future__ import annotations

import ast
import io
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fesf.scripts.data.files import SHARED, write_atomic

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of every member: the earliest that a zip file can say."""
NAMESPACE = "fesf"


def write_zip(out: str | Path, root: str, members: Mapping[str, bytes]) -> str:
    """Write a zip file: members sorted by name, one time, mode 0644, deflated.

    Args:
        out: the file; an existing one is replaced at once.
        root: folder in the zip file that holds all members.
        members: content by name below ``root``.

    Returns:
        SHA-256 of the file, hex.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(members):
            info = zipfile.ZipInfo(f"{root}/{name}", EPOCH)
            info.create_system, info.external_attr = 3, (0o100000 | SHARED) << 16  # as a POSIX system writes them
            archive.writestr(info, members[name], zipfile.ZIP_DEFLATED, 6)
    content = buffer.getvalue()
    write_atomic(out, content, SHARED)
    return sha256(content).hexdigest()


def refuse_files_of(members: Mapping[str, bytes], folders: Iterable[str | Path], allowed: Sequence[str] = ()) -> None:
    """Refuse to hand over a file that a folder holds, under whatever name: compared by content.

    Args:
        members: content by name.
        folders: the hospital's folders.
        allowed: names of members that may be there too.

    Raises:
        ValueError: naming the member.
    """
    kept = {sha256(path.read_bytes()).digest() for folder in folders for path in Path(folder).rglob("*")
            if path.is_file() and path.stat().st_size}  # fmt: skip
    for name in sorted(set(members) - set(allowed)):
        if sha256(members[name]).digest() in kept:
            raise ValueError(f"{name} is a file of the hospital's and may not leave: take it out of ckpt_dir.")


def targets(value: Any) -> Iterator[str]:
    """Every ``_target_`` of a parsed config, however deep."""
    if isinstance(value, Mapping):
        if isinstance(value.get("_target_"), str):
            yield value["_target_"]
        value = list(value.values())
    if isinstance(value, Sequence) and not isinstance(value, str):
        for part in value:
            yield from targets(part)


def vendored(names: Iterable[str]) -> dict[str, bytes]:
    """The modules of ours that these names reach, and all that those import, inside functions too.

    Args:
        names: modules, classes or functions, such as ``fesf.networks.SurrogateNet``; others than ours are left out.

    Returns:
        Source by path, ``fesf/<part>/....py``, with the ``__init__.py`` of every folder.

    Raises:
        ValueError: when a name of ours leads to no module.
    """
    found: dict[str, bytes] = {}
    waiting = [name for name in names if name.split(".")[0] == NAMESPACE]
    while waiting:
        module, path = _module_of(waiting.pop())
        name = _member(module, path)
        if name in found:
            continue
        found[name] = path.read_bytes()
        waiting += [".".join(module.split(".")[:depth]) for depth in range(2, module.count(".") + 1)]
        waiting += [other for other in _imports(found[name]) if other.startswith(f"{NAMESPACE}.")]
    return found


def _module_of(name: str) -> tuple[str, Path]:
    """The module that a dotted name lies in: the name itself, or what is before its last part."""
    for module in (name, name.rpartition(".")[0]):
        try:
            spec = find_spec(module) if module.count(".") else None
        except ModuleNotFoundError:  # find_spec imports the parents of what it seeks
            spec = None
        if spec is not None and spec.origin and spec.origin.endswith(".py"):
            return module, Path(spec.origin)
    raise ValueError(f"{name!r} is no module of {NAMESPACE}: install the package again.")


def _member(module: str, path: Path) -> str:
    folder = module.replace(".", "/")
    return f"{folder}/__init__.py" if path.name == "__init__.py" else f"{folder}.py"


def _imports(source: bytes) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{name.name}" for name in node.names)
