"""Documents: every link and anchor leads somewhere in the clone, and every page can be found from an index."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
INDEXES = ("README.md", "docs/README.md")
"""From one of these each page of docs/ is reached."""
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (
        ROOT / "README.md",
        ROOT / "CHANGELOG.md",
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "bundle" / "docs").rglob("*.md"),
    )
)
OUTSIDE = ("http://", "https://", "mailto:")


def prose(text: str) -> str:
    """A page without its code: a link in code is none."""
    return re.sub(r"`[^`\n]*`", "``", re.sub(r"^(```|~~~).*?^\1", "", text, flags=re.DOTALL | re.MULTILINE))


def links(text: str) -> list[str]:
    """Where a page's links and pictures lead, in Markdown and in HTML."""
    found = re.findall(r"\]\(\s*([^)\s]+)[^)]*\)|\b(?:src|href)=\"([^\"]+)\"|^\[[^\]]+\]:\s*(\S+)", prose(text), re.M)
    return [one or two or three for one, two, three in found]


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading: lower case, hyphens for spaces, no other marks.

    >>> slug("What it does *not* do: `ids`, and `--out`")
    'what-it-does-not-do-ids-and---out'
    """
    shown = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading.strip())
    return re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")


@cache
def anchors(page: str) -> frozenset[str]:
    """Anchors of a page; a heading that comes again gets a number."""
    text = re.sub(r"^(```|~~~).*?^\1", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    found: set[str] = set(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", text))
    for heading in re.findall(r"^#{1,6} (.+?)#*$", text, re.MULTILINE):
        name, number = slug(heading), 0
        while (numbered := f"{name}-{number}" if number else name) in found:
            number += 1
        found.add(numbered)
    return frozenset(found)


@cache
def tracked() -> frozenset[str]:
    """Files of the clone, as git sees them: tracked, or new and not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    return frozenset(listed.stdout.splitlines() if listed.returncode == 0 else ())


def resolved(page: str, link: str) -> tuple[str, str]:
    """The file, relative to the clone, and the anchor to which a relative link leads."""
    name, _, anchor = link.partition("#")
    if not name:
        return page, anchor
    place = ((ROOT / page).parent / name).resolve()
    return (place.relative_to(ROOT).as_posix() if place.is_relative_to(ROOT) else f"outside: {name}"), anchor


def broken(page: str, text: str) -> list[str]:
    """The links of a page that lead to no file of the clone, or to no heading of it."""
    bad = []
    for link in links(text):
        if link.startswith(OUTSIDE):
            continue
        name, anchor = resolved(page, link)
        place = ROOT / name
        if not place.exists():
            bad.append(f"{link}: no such file")
        elif tracked() and place.is_file() and name not in tracked():
            bad.append(f"{link}: git ignores it")
        elif anchor and (place.suffix != ".md" or anchor not in anchors(name)):
            bad.append(f"{link}: no such heading")
    return bad


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings(page: str) -> None:
    assert broken(page, (ROOT / page).read_text(encoding="utf-8")) == []


def test_every_page_is_reached_from_an_index() -> None:
    reached: set[str] = set()
    waiting = [page for page in INDEXES if (ROOT / page).is_file()]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        for link in links((ROOT / page).read_text(encoding="utf-8")):
            name = resolved(page, link)[0]
            if not link.startswith(OUTSIDE) and name.endswith(".md") and (ROOT / name).is_file():
                waiting.append(name)
    assert [page for page in PAGES if page not in reached] == []


def test_what_is_broken_is_seen() -> None:
    text = (
        "# A heading\n[a](nowhere.md) [b](hide.md#nowhere) [c](#a-heading) [d](hide.md#ids) [e](https://x.org/y.md)\n"
        '`[f](code.md)`\n```bash\n[g](block.md)\n```\n![h](nowhere.png "title")\n<img src="nowhere.svg">\n'
        "[i](../../outside.md) [j](bench.json#x)\n"
    )
    assert [item.split(":")[0] for item in broken("docs/privacy.md", text)] == [
        "nowhere.md",
        "hide.md#nowhere",
        "#a-heading",  # of the text above, not of docs/privacy.md
        "nowhere.png",
        "nowhere.svg",
        "../../outside.md",
        "bench.json#x",
    ]


def test_anchors_are_those_of_github() -> None:
    assert slug("PatientIdentityRemoved") == "patientidentityremoved"
    assert slug("Memory, swap and core dumps") == "memory-swap-and-core-dumps"
    assert slug("What it does *not* do: `ids`, and `--out`") == "what-it-does-not-do-ids-and---out"
    assert slug("[0.1.0] - 2026") == "010---2026"
