"""What is done before the SDK is imported."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

from fesf.scripts.deploy import runtime
from fesf.scripts.deploy.runtime import library, prepare


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "second" / "nvidia" / "cu13" / "lib" / "libcudart.so.13"
    path.parent.mkdir(parents=True)
    path.touch()
    return path


def test_the_wheels_library_is_found(wheel: Path, tmp_path: Path) -> None:
    assert library([str(tmp_path / "first"), str(tmp_path / "second")]) == wheel
    assert library([str(tmp_path / "first")]) is None


def test_it_is_loaded_for_all(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[tuple[str, int]] = []
    monkeypatch.setattr(runtime, "version", lambda name: "4.0.0")
    monkeypatch.setattr(ctypes, "CDLL", lambda path, mode: found.append((path, mode)))
    monkeypatch.setenv("HOLOSCAN_LOG_LEVEL", "INFO")
    monkeypatch.setattr(runtime, "library", lambda: wheel)
    prepare()
    monkeypatch.setattr(runtime, "library", lambda: None)
    prepare()
    assert found == [(str(wheel), ctypes.RTLD_GLOBAL)]


def test_a_missing_sdk_is_said() -> None:
    with pytest.raises(ImportError, match=r"needs monai-deploy-app-sdk.*make deploy"):
        prepare()


def test_the_app_prepares_before_it_imports_monai() -> None:
    """Where the SDK is installed, and CUDA is not, any import of MONAI fails before."""
    first = ("fesf.scripts.deploy_app", "fesf.scripts.analyst_node", "fesf.scripts.deploy.runtime")
    words = f"import sys, {', '.join(first)}; print('monai' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
