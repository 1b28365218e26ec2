"""What may import what: the table of docs/architecture.md holds, and the analyst's side needs no extra."""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
CONFIGS = ROOT / "bundle" / "configs"
ANALYST = ("train.json", "evaluate.json", "inference.json", "multi_gpu_train.json", "networks/*.json")
BASE = {
    "torch",
    "monai",
    "ignite",
    "numpy",
    "fire",
    "nibabel",
    "PIL",
    "sklearn",
    "scipy",
    "matplotlib",
    "tqdm",
    "einops",
}
"""Names under which the packages are imported that everybody has: pyproject's dependencies."""


def source(module: str) -> Path | None:
    """The file of a module of ours; None where the name is none."""
    place = ROOT.joinpath(*module.split(".")[1:])
    return next((file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()), None)


def modules() -> Iterator[str]:
    for part in ("transforms", "networks", "scripts"):
        for path in sorted((ROOT / part).rglob("*.py")):
            yield "fesf." + ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def typing_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


@cache
def imports(module: str, at_start: bool = False) -> frozenset[str]:
    """What a module imports, ours by module: all of it, or only what is run when it is imported."""
    path = source(module)
    assert path is not None, module
    found: set[str] = set()

    def walk(node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            if at_start and (isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)) or typing_only(child)):
                continue
            if isinstance(child, ast.Import):
                found.update(name.name for name in child.names)
            elif isinstance(child, ast.ImportFrom) and child.module:
                inner = [f"{child.module}.{name.name}" for name in child.names]
                found.update(name for name in inner if name.startswith("fesf.") and source(name))
                found.add(child.module)
            walk(child)

    walk(ast.parse(path.read_text(encoding="utf-8")))
    return frozenset(found - {module})


def reached(start: set[str]) -> set[str]:
    """Everything that is imported when these modules of ours are, packages above them included."""
    seen: set[str] = set()
    waiting = set(start)
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name.startswith("fesf.") and source(name):
            parents = {".".join(name.split(".")[:number]) for number in range(2, name.count(".") + 1)}
            waiting |= {found for found in parents | imports(name, at_start=True) if found != "fesf"}
    return seen


def rules() -> list[tuple[str, list[str]]]:
    """Rows of the page's table: a part, and what it may import beside itself."""
    rows = re.findall(r"^\| (`fesf\.[^|]*) \| ([^|]*) \|", PAGE, re.MULTILINE)
    return [
        (part, re.findall(r"`(fesf\.[\w.]+)`", allowed))
        for cell, allowed in rows
        for part in re.findall(r"`(.*?)`", cell)
    ]


def inside(module: str, parts: list[str]) -> bool:
    return any(module == part or module.startswith(f"{part}.") for part in parts)


def part_of(module: str) -> str:
    """The row of the table that a module belongs to: the longest that holds it."""
    return max((part for part, _ in rules() if inside(module, [part])), key=len)


@pytest.mark.parametrize(("part", "allowed"), [pytest.param(*rule, id=rule[0]) for rule in rules()])
def test_a_part_imports_what_the_page_allows(part: str, allowed: list[str]) -> None:
    bad = [
        f"{module} imports {name}"
        for module in modules()
        if part_of(module) == part
        for name in sorted(imports(module))
        if name.startswith("fesf.") and not inside(name, [part, *allowed])
    ]
    assert bad == []


def test_the_page_names_every_part_and_only_what_exists() -> None:
    folders = {
        f"fesf.{path.parent.relative_to(ROOT).as_posix().replace('/', '.')}"
        for path in ROOT.glob("scripts/*/__init__.py")
    }
    named = {part for part, _ in rules()}
    assert {"fesf.transforms", "fesf.networks", "fesf.scripts", *folders} == named
    for _, allowed in rules():
        assert all(source(name) for name in allowed)


def targets(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from ([value["_target_"]] if "_target_" in value else [])
        for item in value.values():
            yield from targets(item)
    elif isinstance(value, list):
        for item in value:
            yield from targets(item)


def third_party(names: set[str]) -> set[str]:
    roots = {name.split(".")[0] for name in names if not name.startswith("fesf")}
    return roots - set(sys.stdlib_module_names)


@pytest.mark.parametrize("pattern", ANALYST)
def test_the_analyst_needs_no_extra(pattern: str) -> None:
    paths = list(CONFIGS.glob(pattern))
    assert paths
    start = {name.rpartition(".")[0] for path in paths for name in targets(json.loads(path.read_text()))}
    start = {name for name in start if name.startswith("fesf.")} | {"fesf.scripts.data.store", "fesf.transforms"}
    assert third_party(reached(start)) <= BASE


def test_transforms_and_networks_need_no_extra() -> None:
    start = {module for module in modules() if module.startswith(("fesf.transforms", "fesf.networks"))}
    assert third_party(reached(start)) <= BASE


def test_a_store_is_verified_with_the_standard_library_alone() -> None:
    assert third_party(reached({"fesf.scripts.verify_store"})) == set()


def test_hospital_code_is_seen_to_need_its_extra() -> None:
    """The control: the same search finds what the hospital's side imports."""
    assert {"cryptography", "jinja2"} <= third_party(reached({"fesf.scripts.data.release", "fesf.scripts.report"}))
