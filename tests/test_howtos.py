"""The how-tos: every command of each page runs in order from a clean clone, and prints what the page says.

A block whose first line is ``# run by: make TARGET`` takes longer, or needs an environment of its own: here it is only
checked that the target exists and runs the block's modules. Lines of a ``text`` block must come in the output of the
block before it, in order; ``...`` stands for anything.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.warm_python import make_python

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs" / "howto").glob("*.md"))
MARK = re.compile(r"# run by: make ([a-z-]+)\n")


class Block(NamedTuple):
    """Commands of a page, with what they must print."""

    code: str
    shown: list[str]

    @property
    def target(self) -> str | None:
        """The make target that runs it in place of this test."""
        found = MARK.match(self.code)
        return found[1] if found else None


def blocks(text: str) -> list[Block]:
    """The bash blocks of a page in order, each with the text block that follows it."""
    found: list[Block] = []
    for language, code in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        if language == "bash":
            found.append(Block(code, []))
        elif language == "text" and found:
            found[-1].shown.extend(line for line in code.splitlines() if line.strip())
    return found


def missing(shown: list[str], output: str) -> list[str]:
    """The lines that the output lacks, or has in another order."""
    lines, place, lacking = [line.strip() for line in re.split(r"[\r\n]+", output)], 0, []
    for line in shown:
        pattern = ".*".join(re.escape(part) for part in line.strip().split("..."))
        for number in range(place, len(lines)):
            if re.fullmatch(pattern, lines[number]):
                place = number + 1
                break
        else:
            lacking.append(line)
    return lacking


def clone(folder: Path) -> Path:
    """What the pages need of a clean clone: the configs at their place."""
    for name in ("configs", "docs"):
        shutil.copytree(ROOT / "bundle" / name, folder / "bundle" / name)
    for name in ("LICENSE", "constraints.txt", "Makefile"):
        shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with make_python(tmp_path_factory.mktemp("py")) as folder:
        yield folder


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_run_in_order_and_print_what_the_page_says(page: Path, python: Path, tmp_path: Path) -> None:
    place = clone(tmp_path)
    path = os.pathsep.join([str(python), str(Path(sys.executable).parent), os.environ["PATH"]])
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FESF_", "MLFLOW_", "COV_"))}
    environment = kept | {"PATH": path, "OMP_NUM_THREADS": "1", "COLUMNS": "120"}
    found = blocks(page.read_text(encoding="utf-8"))
    assert sum(block.target is None for block in found) >= 1
    for block in found:
        if block.target is not None:
            continue
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block.code],
            cwd=place,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, f"{block.code}\n{done.stdout[-4000:]}"
        assert missing(block.shown, done.stdout) == [], f"{block.code}\n{done.stdout[-4000:]}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_is_not_run_here_is_run_by_a_make_target(page: Path) -> None:
    for block in blocks(page.read_text(encoding="utf-8")):
        if block.target is None:
            continue
        asked = subprocess.run(["make", "-n", block.target], cwd=ROOT, capture_output=True, text=True)
        assert asked.returncode == 0, f"make {block.target}: {asked.stderr}"
        for module in re.findall(r"-m ([\w.]+)", block.code):
            assert module in asked.stdout, f"make {block.target} does not run {module}"


def test_what_is_wrong_is_seen() -> None:
    page = "```bash\n# run by: make nothing\na\n```\n```bash\nb\n```\ntext\n```text\none ... three\nlast\n```\n"
    first, second = blocks(page)
    assert (first.target, second.target) == ("nothing", None)
    assert second.shown == ["one ... three", "last"]
    assert missing(second.shown, "zero\n one two three \nlast") == []
    assert missing(second.shown, "last\none two three") == ["last"]
    assert missing(second.shown, "one two three, and more\nlast") == ["one ... three"]
