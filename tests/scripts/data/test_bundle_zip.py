"""Zip files of bundles: the same bytes each time, none of the hospital's files, and the code that configs reach."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest

from fesf.scripts.data.bundle_zip import refuse_files_of, targets, vendored, write_zip

ROOT = Path(__file__).parents[3]


def test_the_same_members_are_the_same_bytes_in_whatever_order(tmp_path: Path) -> None:
    first = write_zip(tmp_path / "a.zip", "top", {"b/c.json": b"{}", "a.txt": b"text"})
    second = write_zip(tmp_path / "b.zip", "top", {"a.txt": b"text", "b/c.json": b"{}"})
    assert first == second == sha256((tmp_path / "a.zip").read_bytes()).hexdigest()
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.namelist() == ["top/a.txt", "top/b/c.json"]
        assert archive.read("top/a.txt") == b"text"
        info = archive.getinfo("top/a.txt")
        assert info.date_time == (1980, 1, 1, 0, 0, 0)
        assert info.external_attr >> 16 == 0o100644
    assert not list(tmp_path.glob(".*.new"))


def test_other_members_are_other_bytes(tmp_path: Path) -> None:
    assert write_zip(tmp_path / "a.zip", "top", {"a": b"1"}) != write_zip(tmp_path / "a.zip", "top", {"a": b"2"})


def test_a_file_of_the_hospitals_is_refused_under_any_name(tmp_path: Path) -> None:
    (tmp_path / "iqem").mkdir()
    (tmp_path / "iqem" / "generator.pt").write_bytes(b"weights of G")
    refuse_files_of({"models/model.pt": b"weights of the classifier"}, [tmp_path])
    with pytest.raises(ValueError, match=r"^models/model\.pt is a file of the hospital's and may not leave"):
        refuse_files_of({"LICENSE": b"free", "models/model.pt": b"weights of G"}, [tmp_path])
    refuse_files_of({"models/model.pt": b"weights of G"}, [tmp_path], allowed=["models/model.pt"])


def test_an_empty_file_is_nobodys(tmp_path: Path) -> None:
    """An __init__.py may be empty, and so may a file of the hospital's."""
    (tmp_path / "empty").touch()
    refuse_files_of({"fesf/scripts/__init__.py": b""}, [tmp_path])


def test_targets_are_found_at_any_depth() -> None:
    config = {
        "a": {"_target_": "fesf.networks.SurrogateNet", "host": [{"_target_": "Compose", "transforms": ["@x"]}]},
        "b": "fesf.not.a.target",
    }
    assert sorted(targets(config)) == ["Compose", "fesf.networks.SurrogateNet"]


def test_vendored_code_holds_what_is_imported_and_every_folders_init() -> None:
    found = vendored(["fesf.networks.SurrogateNet", "monai.networks.nets.ResNet"])
    assert {"fesf/networks/__init__.py", "fesf/networks/surrogate.py", "fesf/transforms/functional.py"} <= set(found)
    assert found["fesf/networks/surrogate.py"] == (ROOT / "networks" / "surrogate.py").read_bytes()
    assert "fesf/__init__.py" not in found  # a namespace, as installed
    assert not [name for name in found if name.startswith("fesf/scripts/audit/")]


def test_imports_inside_functions_count() -> None:
    found = vendored(["fesf.scripts.verify_store"])  # it imports the signature's module when asked to check one
    assert "fesf/scripts/data/signature.py" in found


def test_vendored_code_runs_where_fesf_is_not_installed(tmp_path: Path) -> None:
    for name, content in vendored(["fesf.scripts.verify_store"]).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    # -S: without site-packages, so without ours; verify_store needs the standard library alone.
    words = [sys.executable, "-S", "-m", "fesf.scripts.verify_store", "--help"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "python -m fesf.scripts.verify_store" in done.stdout


def test_a_name_that_is_no_module_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'fesf\.scripts\.nothing\.Nothing' is no module of fesf"):
        vendored(["fesf.scripts.nothing.Nothing"])
