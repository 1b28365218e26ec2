"""API pages: every module has one, what cannot be imported is named, and links that lead nowhere are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from fesf.scripts import api_pages
from fesf.scripts.api_pages import broken_links, main, modules, unlink


def test_pages_of_a_part(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--out", str(tmp_path), "--parts", "fesf.networks"]) == 0
    assert capsys.readouterr().out == "8 modules\n"
    page = (tmp_path / "fesf" / "networks" / "surrogate.html").read_text()
    assert 'id="SurrogateNet"' in page
    assert "intensities in [0, 1]" in page  # its docstring's shapes
    assert {path.name for path in (tmp_path / "fesf" / "networks").iterdir()} == {
        f"{name}.html" for name in ("discriminator", "export", "features", "generator", "losses", "surrogate", "vit")
    }


def test_a_broken_link_ends_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(names: list[str], missing: list[str], out: Path) -> None:
        (out / "a.html").write_text('<a href="gone.html">x</a><a href="b.html#here">y</a>')
        (out / "b.html").write_text('<p id="here"><a href="https://monai.io/none">z</a></p>')

    monkeypatch.setattr(api_pages, "write_pages", write)
    assert main(["--out", str(tmp_path), "--parts", "fesf.networks.vit"]) == 1
    assert capsys.readouterr().out == "1 modules\nbroken link: a.html: gone.html\n"


def test_links_to_what_is_not_shown_become_text_and_others_stay(tmp_path: Path) -> None:
    links = '<a href="b.html#gone"><b>x</b></a> <a href="#here">y</a> <a href="no.html#z">z</a>'
    (tmp_path / "a.html").write_text(f'{links}<i id="here"></i>')
    (tmp_path / "b.html").write_text("nothing")
    assert broken_links(tmp_path) == ["a.html: b.html#gone", "a.html: no.html#z"]
    assert unlink(tmp_path) == 1
    assert (tmp_path / "a.html").read_text().startswith('<b>x</b> <a href="#here">y</a>')
    assert broken_links(tmp_path) == ["a.html: no.html#z"]


def test_a_module_without_its_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    inner = importlib.import_module

    def without(name: str) -> object:
        if name == "fesf.networks.vit":
            raise ModuleNotFoundError("No module named 'einops'")
        return inner(name)

    monkeypatch.setattr(api_pages.importlib, "import_module", without)
    found, missing = modules(["fesf.networks"])
    assert missing == ["fesf.networks.vit"]
    assert "fesf.networks.surrogate" in found


def test_pages_are_written_beside_a_module_that_cannot_be_imported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The Deploy app's own modules need an SDK that is not here."""
    pytest.importorskip("pynetdicom", reason="needs the extra gateway")
    assert main(["--out", str(tmp_path), "--parts", "fesf.scripts.deploy"]) == 0
    said = capsys.readouterr().out
    assert "left out, for want of a package: fesf.scripts.deploy.app" in said
    assert (tmp_path / "fesf" / "scripts" / "deploy" / "surrogates.html").is_file()
    assert not (tmp_path / "fesf" / "scripts" / "deploy" / "app.html").exists()


def test_names_that_are_none_get_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--out", str(tmp_path), "--parts", "fesf.nothing"]) == 2
    assert capsys.readouterr().err == "error: none of fesf.nothing can be imported: name modules of fesf.\n"
