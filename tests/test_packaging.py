"""Packaging and documents: what a wheel holds, names by which code is imported, commands that documents show."""

from __future__ import annotations

import ast
import doctest
import importlib
import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import setuptools

ROOT = Path(__file__).parents[1]
PARTS = ("transforms", "networks", "scripts")
CONFIGS = sorted((ROOT / "bundle" / "configs").rglob("*.json"))
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "bundle" / "docs" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]


def sources() -> list[Path]:
    return [path for part in PARTS for path in sorted((ROOT / part).rglob("*.py"))]


def module_name(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return "fesf." + name.removesuffix(".__init__")


def tracked() -> list[Path]:
    """Files of the clone, as git sees them: tracked, or new and not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    if listed.returncode:
        pytest.skip("not a git clone")
    return [path for line in listed.stdout.splitlines() if (path := ROOT / line).is_file()]


@pytest.fixture(scope="module")
def mapping() -> dict[str, Any]:
    """What setup.py hands to setuptools."""
    given: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setattr(setuptools, "setup", lambda **kwargs: given.update(kwargs))
        exec(compile((ROOT / "setup.py").read_text(), "setup.py", "exec"), {})
    return given


def test_every_folder_of_sources_is_a_package_of_fesf(mapping: dict[str, Any]) -> None:
    folders = {path.parent.relative_to(ROOT).as_posix() for path in sources()} | {"bundle"}
    assert {mapping["package_dir"][name] for name in mapping["packages"]} == folders
    for name, folder in mapping["package_dir"].items():
        assert name == "fesf." + folder.replace("/", ".")


def test_every_folder_of_sources_has_its_init_and_fesf_has_none() -> None:
    for path in sources():
        assert (path.parent / "__init__.py").is_file(), path
    assert not (ROOT / "__init__.py").exists()


def test_the_wheel_holds_configs_documents_templates_and_types(mapping: dict[str, Any]) -> None:
    for package, patterns in mapping["package_data"].items():
        folder = ROOT / mapping["package_dir"][package]
        for pattern in patterns:
            assert any(path.is_file() for path in folder.glob(pattern)), f"{package}: {pattern}"
    held = {
        path
        for package, patterns in mapping["package_data"].items()
        for pattern in patterns
        for path in (ROOT / mapping["package_dir"][package]).glob(pattern)
    }
    missing = [path for path in (*CONFIGS, ROOT / "scripts" / "templates" / "report.html") if path not in held]
    assert missing == []


def test_no_weights_are_packed(mapping: dict[str, Any]) -> None:
    """A generator was trained on patients' images: neither the wheel nor git takes one along."""
    for package, patterns in mapping["package_data"].items():
        folder = ROOT / mapping["package_dir"][package]
        for pattern in patterns:
            assert not pattern.endswith((".pt", ".ts", ".onnx")), f"{package}: {pattern}"
            assert not [path for path in folder.glob(pattern) if path.suffix in (".pt", ".ts", ".onnx")], pattern
    assert not [path for path in tracked() if path.suffix in (".pt", ".ts", ".onnx")]


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "." * node.level + (node.module or "")


def test_sources_and_tests_import_by_fesf_alone() -> None:
    """At the clone's root ``import transforms`` works too, and gives other classes than ``fesf.transforms``."""
    files = [*sources(), *(path for path in (ROOT / "tests").rglob("*.py"))]
    bad = []
    for path in files:
        for line, name in imported(ast.parse(path.read_text(encoding="utf-8"))):
            relative = name.startswith(".") and path in sources()
            if name.split(".")[0] in (*PARTS, "bundle") or relative:
                bad.append(f"{path.relative_to(ROOT)}:{line}: {name}")
    assert bad == []


def test_transforms_never_import_networks_and_the_analysts_side_no_hospital_code() -> None:
    for path in (ROOT / "transforms").rglob("*.py"):
        assert not any(name.startswith("fesf.networks") for _, name in imported(ast.parse(path.read_text()))), path
    names = {name for _, name in imported(ast.parse((ROOT / "scripts/data/store.py").read_text()))}
    formats = {"fesf.scripts.data.dicom_image", "fesf.scripts.data.store_format"}
    assert {name for name in names if name.startswith("fesf.")} == formats
    names = {name for _, name in imported(ast.parse((ROOT / "scripts/data/dicom_image.py").read_text()))}
    elements = {"fesf.scripts.data.dicom_elements", "fesf.scripts.data.store_format", "fesf.transforms.dicom_reader"}
    assert {name for name in names if name.startswith("fesf.")} == elements
    for module in ("store_format", "dicom_elements"):
        names = {name for _, name in imported(ast.parse((ROOT / f"scripts/data/{module}.py").read_text()))}
        assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names, module


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from strings(item)


def targets(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "_target_" in value:
            yield value["_target_"]
        for item in value.values():
            yield from targets(item)
    elif isinstance(value, list):
        for item in value:
            yield from targets(item)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_configs_name_our_code_by_fesf_and_by_target_only(path: Path) -> None:
    config = json.loads(path.read_text(encoding="utf-8"))
    for target in targets(config):
        assert target.split(".")[0] not in (*PARTS, "bundle"), target
        if target.startswith("fesf."):
            module, _, name = target.rpartition(".")
            assert hasattr(importlib.import_module(module), name), target
    for text in strings(config):
        if text.startswith("$"):  # a vendored bundle cannot import fesf before run(): see the bundle's README
            assert "fesf" not in text, text


@pytest.mark.parametrize("path", sources(), ids=module_name)
def test_doctests(path: Path) -> None:
    if not_here(path):
        pytest.skip("imported in an environment of its own")
    result = doctest.testmod(importlib.import_module(module_name(path)), optionflags=doctest.ELLIPSIS)
    assert result.failed == 0


def not_here(path: Path) -> bool:
    """Whether a source is imported in a platform's own environment alone: pyproject.toml leaves it out of coverage."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["coverage"]["run"]
    return any(path.relative_to(ROOT).match(pattern) for pattern in settings["omit"])


def test_the_types_marker_is_in_every_part() -> None:
    for part in PARTS:
        assert (ROOT / part / "py.typed").is_file()


def test_constraints_pin_every_requirement_exactly() -> None:
    pins: dict[str, str] = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            match = re.fullmatch(r"([A-Za-z0-9._-]+)==([A-Za-z0-9._]+)", line)
            assert match, f"{line!r} is not name==version (no local version, no path, no URL)"
            pins[re.sub(r"[-_.]+", "-", match[1]).lower()] = match[2]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [
        *project["dependencies"],
        *(item for extra in project["optional-dependencies"].values() for item in extra),
    ]
    for requirement in needed:
        name = re.split(r"[\[<>=!~ ]", requirement)[0]
        if name != "fesf":
            assert re.sub(r"[-_.]+", "-", name).lower() in pins, requirement
    assert pins["torch"] == "2.13.0"


def test_versions_agree() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert importlib.metadata.version("fesf") == version
    metadata = json.loads((ROOT / "bundle/configs/metadata.json").read_text())
    assert metadata["version"] == version
    assert version in metadata["changelog"]
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text()
    assert f"version: {version}" in (ROOT / "CITATION.cff").read_text()


PRIVATE = re.compile(r"/(?:tmp|work|root|home)/\w|/opt/\w+/|\.pyenv|extra-index-url|find-links", re.IGNORECASE)


def test_no_file_names_a_machine() -> None:
    here = Path(__file__)
    bad = []
    for path in tracked():
        if path == here or path.suffix in (".png", ".gz"):
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if PRIVATE.search(line):
                bad.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}")
    assert bad == []


def commands(document: Path) -> list[str]:
    """Shell lines of a document's code blocks, continued lines joined."""
    blocks = re.findall(r"```(?:bash|sh|console)\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [re.sub(r"\s+#.*", "", line) for line in lines if line and not line.startswith("#")]


def ids_of(paths: list[Path]) -> set[str]:
    return {name for path in paths for name in json.loads(path.read_text(encoding="utf-8"))}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_commands_in_documents_exist(document: Path, capsys: pytest.CaptureFixture[str]) -> None:
    makefile = (ROOT / "Makefile").read_text()
    seen = set()
    for command in commands(document):
        words = [word for word in shlex.split(command) if not re.fullmatch(r"[A-Z_]+=\S*", word)]
        if words[0] == "make":
            for target in (word for word in words[1:] if "=" not in word):
                assert re.search(rf"^{target}:", makefile, re.MULTILINE), command
                seen.add(target)
        module = words[words.index("-m") + 1] if "-m" in words else ""
        if module == "monai.bundle" and "--config_file" in words:
            listed = words[words.index("--config_file") + 1]
            names = ast.literal_eval(listed) if listed.startswith("[") else [listed]
            here = ROOT if names[0].startswith("bundle/") else ROOT / "bundle"
            paths = [here / name for name in names if "/" in name]  # the page itself writes or fetches the others
            if not paths:
                continue
            assert all(path.is_file() for path in paths), command
            known = ids_of(paths)
            if "--tracking" in words:
                known |= set(json.loads((ROOT / words[words.index("--tracking") + 1]).read_text())["configs"])
            verb = words[words.index("monai.bundle") + 1]
            if verb == "run":
                assert words[words.index("run") + 1] in known, command
            given = words[words.index("monai.bundle") :]  # what torchrun takes stands before
            options = {word.removeprefix("--").split("#")[0] for word in given if word.startswith("--")}
            if verb == "run":
                allowed = {"config_file", "tracking", "meta_file", "logging_file"}
                assert options <= known | allowed, f"{command}: {options - known - allowed}"
        elif module.startswith("fesf."):
            place = ROOT / module.removeprefix("fesf.").replace(".", "/")
            if (place / "__main__.py").is_file():
                place, module = place / "__main__", f"{module}.__main__"
            assert place.with_suffix(".py").is_file(), command
            with pytest.raises(SystemExit, match=r"^0$"):
                importlib.import_module(module).main(["--help"])
            helped = capsys.readouterr().out
            for word in words:
                if word.startswith("--"):
                    assert word.split("=")[0] in helped, f"{command}: {word}"
    if document.name == "README.md" and document.parent == ROOT:
        assert {"train", "test"} <= seen


def test_the_readmes_python_prints_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert blocks
    for block in blocks:
        parser = doctest.DocTestParser()
        test = parser.get_doctest(block, {}, "README.md", "README.md", 0)
        assert test.examples
        assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test).failed == 0
