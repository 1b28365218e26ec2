"""The API as pages, from the docstrings: ``python -m fesf.scripts.api_pages --out build/api`` (the extra ``docs``).

pdoc writes one page a module. Modules that only a platform's own environment can import (Deploy, Label, NVFLARE) are
left out and named. pdoc also links to what it does not show (private bases, attributes that MONAI's classes inherit):
such links become plain text. Every other link between the pages is followed: the command ends with status 1 where one
leads nowhere.
"""

from __future__ import annotations

import argparse
import html
import importlib
import pkgutil
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

PARTS = ("fesf.transforms", "fesf.networks", "fesf.scripts")


class _Page(HTMLParser):
    """Anchors and links of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if values.get("id"):
            self.anchors.add(str(values["id"]))
        if tag == "a" and values.get("href"):
            self.links.append(str(values["href"]))


def modules(parts: Sequence[str]) -> tuple[list[str], list[str]]:
    """Names of all modules below the packages, those that can be imported here and those that cannot.

    A module that cannot because a package is missing is left out; any other error is raised.
    """
    found, missing = [], []
    waiting = list(parts)
    while waiting:
        name = waiting.pop(0)
        if name.rpartition(".")[2] == "__main__":
            continue
        try:
            module = importlib.import_module(name)
        except ImportError:
            missing.append(name)
            continue
        found.append(name)
        waiting += [f"{name}.{each.name}" for each in pkgutil.iter_modules(getattr(module, "__path__", []))]
    return sorted(found), sorted(missing)


def write_pages(names: Sequence[str], missing: Sequence[str], out: Path) -> None:
    """Write a page a module, an index and a search.

    Args:
        names: modules that can be imported.
        missing: modules below them that cannot.
        out: folder for the pages.
    """
    import pdoc
    from pdoc import render

    render.configure(docformat="google", show_source=False, search=True, footer_text="fesf")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pdoc's own, of annotations that it cannot evaluate
        pdoc.pdoc(*names, *(f"!{name}" for name in missing), output_directory=out)
    unlink(out)


def unlink(folder: Path) -> int:
    """Turn links to anchors that their page does not have into plain text; returns how many."""
    pages, changed = _read(folder), 0
    for path, page in pages.items():
        text = path.read_text(encoding="utf-8")
        for link in {link for link in page.links if "#" in link and _page_of(path, link) in pages}:
            if not _leads(path, link, pages):
                text, count = re.subn(
                    f'<a href="{re.escape(html.escape(link))}">(.*?)</a>', r"\1", text, flags=re.DOTALL
                )
                changed += count
        path.write_text(text, encoding="utf-8")
    return changed


def broken_links(folder: Path) -> list[str]:
    """Links between the pages of a folder that lead to no page or to no anchor, as ``page: link``."""
    pages = _read(folder)
    return [f"{path.relative_to(folder.resolve())}: {link}" for path, page in pages.items()
            for link in page.links if not _leads(path, link, pages)]  # fmt: skip


def _read(folder: Path) -> dict[Path, _Page]:
    pages: dict[Path, _Page] = {}
    for path in sorted(folder.rglob("*.html")):
        pages[path.resolve()] = page = _Page()
        page.feed(path.read_text(encoding="utf-8"))
    return pages


def _page_of(path: Path, link: str) -> Path:
    parts = urlsplit(link)
    return (path.parent / unquote(parts.path)).resolve() if parts.path else path


def _leads(path: Path, link: str, pages: dict[Path, _Page]) -> bool:
    parts = urlsplit(link)
    if parts.scheme:
        return True  # outside, which this does not follow
    target = _page_of(path, link)
    return target in pages and (not parts.fragment or unquote(parts.fragment) in pages[target].anchors)


def _lines(names: Sequence[str], missing: Sequence[str], broken: Sequence[str]) -> Iterator[str]:
    yield f"{len(names)} modules"
    if missing:
        yield f"left out, for want of a package: {', '.join(missing)}"
    yield from (f"broken link: {line}" for line in broken)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m fesf.scripts.api_pages", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--out", type=Path, default=Path("build/api"), metavar="DIR", help="default: %(default)s")
    parser.add_argument("--parts", nargs="+", default=list(PARTS), metavar="NAME", help="default: all of fesf")
    options = parser.parse_args(arguments)
    names, missing = modules(options.parts)
    if not names:
        print(f"error: none of {', '.join(options.parts)} can be imported: name modules of fesf.", file=sys.stderr)
        return 2
    write_pages(names, missing, options.out)
    broken = broken_links(options.out)
    print("\n".join(_lines(names, missing, broken)))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
