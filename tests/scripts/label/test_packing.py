"""The app's folder from a bundle's folder or archive, and what is no bundle."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

from fesf.scripts.label.packing import MODEL, NEEDED, make_app
from fesf.scripts.label_app import main


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "given" / "bundle"
    extra = ["docs/README.md", "models/last.pt", "fesf/scripts/__init__.py", "eval/history.csv", "docs/eval"]
    for name in (*NEEDED, *extra):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def zipped(folder: Path, archive: Path) -> Path:
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(folder.rglob("*")):
            file.write(path, path.relative_to(folder.parent))
    return archive


@pytest.mark.parametrize("kind", ["folder", "folder around it", "archive"])
def test_the_app_holds_the_bundle_and_imports_ours(kind: str, bundle: Path, tmp_path: Path) -> None:
    given = {"folder": bundle, "folder around it": bundle.parent}.get(kind) or zipped(bundle, tmp_path / "b.zip")
    app = make_app(tmp_path / "app", given)
    files = {path.relative_to(app).as_posix(): path for path in app.rglob("*") if path.is_file()}
    inside = {*NEEDED, "docs/README.md", "docs/eval"}  # neither code, nor what a training left
    assert set(files) == {"main.py", *(f"model/{MODEL}/{name}" for name in inside)}
    assert all(files[f"model/{MODEL}/{name}"].read_text() == name for name in inside)
    main_py = files["main.py"].read_text()
    assert "from fesf.scripts.label.app import SurrogateApp" in main_py
    assert len(main_py.splitlines()) <= 5
    assert "classification" in MODEL
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_what_is_missing_is_named(bundle: Path, tmp_path: Path) -> None:
    (bundle / "models" / "model.pt").unlink()
    with pytest.raises(ValueError, match=r"no models/model\.pt: train it first"):
        make_app(tmp_path / "app", bundle)
    (bundle / "configs" / "inference.json").unlink()
    with pytest.raises(ValueError, match=r"is no bundle: it has no configs/inference\.json"):
        make_app(tmp_path / "app", bundle)
    assert not (tmp_path / "app").exists()


def test_an_app_is_never_overwritten(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "app"
    assert main(["--out", str(out), "--bundle", str(bundle)]) == 0
    assert "--host 127.0.0.1" in capsys.readouterr().out
    assert main(["--out", str(out), "--bundle", str(bundle)]) == 2
    assert (
        capsys.readouterr().err == f"error: {str(out)!r} exists: an app is never overwritten; choose another folder.\n"
    )


@pytest.mark.parametrize("name", ["../outside", "/outside", "bundle/../../outside"])
def test_an_archive_never_writes_elsewhere(name: str, bundle: Path, tmp_path: Path) -> None:
    archive = zipped(bundle, tmp_path / "b.zip")
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr(name, "x")
    with pytest.raises(ValueError, match="leaves its folder"):
        make_app(tmp_path / "app", archive)
    assert not list(tmp_path.rglob("outside"))


def test_links_are_refused(bundle: Path, tmp_path: Path) -> None:
    archive = zipped(bundle, tmp_path / "b.zip")
    with zipfile.ZipFile(archive, "a") as file:
        link = zipfile.ZipInfo("bundle/models/link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(link, "/etc/hostname")
    with pytest.raises(ValueError, match="leaves its folder"):
        make_app(tmp_path / "app", archive)
    (bundle / "docs" / "link").symlink_to("/etc/hostname")
    with pytest.raises(ValueError, match="symbolic link"):
        make_app(tmp_path / "app", bundle)


def test_what_is_no_archive(tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text").write_text("text")
    with pytest.raises(ValueError, match="neither a folder nor a zip archive"):
        make_app(tmp_path / "app", tmp_path / "text")
    with pytest.raises(ValueError, match="does not exist: make it first"):
        make_app(tmp_path / "nowhere" / "app", bundle)
    archive = zipped(bundle, tmp_path / "b.zip")
    content = archive.read_bytes()
    broken = bytearray(content)
    broken[content.index(b"configs/train.json") + len("configs/train.json") + 2] ^= 1  # a byte of the content
    (tmp_path / "broken.zip").write_bytes(broken)
    with pytest.raises(ValueError, match="cannot be unpacked"):
        make_app(tmp_path / "app", tmp_path / "broken.zip")
    monkeypatch.setattr("fesf.scripts.label.packing.LARGEST", 100)
    with pytest.raises(ValueError, match="more than any bundle"):
        make_app(tmp_path / "app", archive)
