"""The store and the hospital's folder are kept apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from fesf.scripts.data.folders import ReleaseFolders


@pytest.mark.parametrize(
    ("store", "hospital", "message"),
    [
        ("store", "store", "hospital_dir .* lies inside store_dir"),
        ("store", "store/hospital", "hospital_dir .* lies inside store_dir"),
        ("store", "link/hospital", "hospital_dir .* lies inside store_dir"),
        ("hospital/store", "hospital", "store_dir .* lies inside hospital_dir"),
    ],
)
def test_nested_folders_are_refused(tmp_path: Path, store: str, hospital: str, message: str) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "store")
    with pytest.raises(ValueError, match=message):
        ReleaseFolders(tmp_path / store, tmp_path / hospital)


def test_inputs_and_taken_places_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="secret' lies inside store_dir"):
        ReleaseFolders(tmp_path / "store", tmp_path / "h", (tmp_path / "store" / "secret",))
    (tmp_path / "store").mkdir()
    with pytest.raises(ValueError, match="exists and is not a published store"):
        ReleaseFolders(tmp_path / "store", tmp_path / "h")
    (tmp_path / "store" / "manifest.json").write_text("{}")
    assert ReleaseFolders(tmp_path / "store", tmp_path / "h").is_published
    assert ReleaseFolders(tmp_path / "new", tmp_path / "h").partial == tmp_path / "new.partial"
