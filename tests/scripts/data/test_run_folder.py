from __future__ import annotations

import stat
import sys
from pathlib import Path
from types import ModuleType

import pytest

from fesf.scripts.data.plan import ABLATIONS
from fesf.scripts.data.run_folder import RunFolder, configs_folder


def test_what_leaves_and_what_stays_lie_apart(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    stays = [folder.hospital, folder.plaintext, folder.linked, folder.report, folder.demo, folder.settings_file]
    stays += [folder.generator, folder.quality, *(folder.ablation(arm) for arm in ABLATIONS)]
    for leaves in (folder.store, folder.surrogate):
        assert not any(leaves in (path, *path.parents) for path in stays)
        assert not any(path in leaves.parents for path in stays)
    assert folder.surrogate in folder.predictions.parents
    for kept in (folder.plaintext, folder.generator, folder.quality, *map(folder.ablation, ABLATIONS)):
        assert folder.hospital in kept.parents


def test_every_arm_is_evaluated_in_a_folder_of_its_own(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    places = {kind: folder.evaluated(kind) for kind in ("plaintext", "surrogate", *ABLATIONS)}
    assert places == {
        "plaintext": tmp_path / "hospital" / "plaintext",
        "surrogate": tmp_path / "analyst",
        "ihm": tmp_path / "hospital" / "ablation" / "ihm",
        "iqem": tmp_path / "hospital" / "ablation" / "iqem",
    }


def test_settings_are_kept(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    with pytest.raises(ValueError, match=r"is not a run's folder: it has no run\.json"):
        folder.settings()
    folder.save_settings({"demo": True, "image_size": [64, 64]})
    assert folder.settings() == {"demo": True, "image_size": [64, 64]}
    assert stat.S_IMODE(folder.settings_file.stat().st_mode) == 0o600


def test_a_secret_is_random_private_and_made_once(tmp_path: Path) -> None:
    one, other = RunFolder(tmp_path / "one").make_secret(), RunFolder(tmp_path / "other").make_secret()
    assert len(one.read_text().strip()) == 64
    assert one.read_text() != other.read_text()
    assert stat.S_IMODE(one.stat().st_mode) == 0o600
    assert stat.S_IMODE(one.parent.stat().st_mode) == 0o700
    assert RunFolder(tmp_path / "one").make_secret().read_text() == one.read_text()


def test_configs_are_found_where_fesf_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = configs_folder()
    assert {"hide.json", "train.json", "inference.json"} <= {path.name for path in found.iterdir()}
    monkeypatch.chdir(tmp_path)
    assert configs_folder() == found
    empty = ModuleType("fesf.bundle")
    empty.__path__ = ["no folder", str(tmp_path)]
    monkeypatch.setitem(sys.modules, "fesf.bundle", empty)
    with pytest.raises(FileNotFoundError, match="install fesf again"):
        configs_folder()
