"""The command that writes both bundles, and that they run where fesf is not installed."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow
from PIL import Image

from fesf.scripts.package_bundle import ANALYST, HOSPITAL, main
from tests.bundle.tiny import run
from tests.scripts.data.test_bundle_content import Hospital

pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Converting a tensor to a Python:torch.jit.TracerWarning"),
]
UNINSTALLED = """
import runpy, sys
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in repr(finder)]
sys.path[:] = [entry for entry in sys.path if "__editable__" not in entry]
try:
    import fesf.scripts
    print("fesf lies in", list(fesf.__path__))
except ModuleNotFoundError:
    print("fesf is not installed")
sys.modules.pop("fesf.scripts", None), sys.modules.pop("fesf", None)
sys.argv = ["monai.bundle", *sys.argv[1:]]
runpy.run_module("monai.bundle", run_name="__main__")
"""
"""Runs monai.bundle as where fesf is not installed: the finder of the editable install is taken away."""


@pytest.fixture(scope="module")
def packed(
    store: Path, trained: tuple[Path, ConfigWorkflow], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Hospital]:
    folder = tmp_path_factory.mktemp("packed")
    hospital = Hospital(folder)
    words = ["--store", str(store), "--ckpt_dir", str(trained[0]), "--hospital", str(hospital.folder)]
    words += ["--hosts", str(hospital.hosts), "--generator", str(hospital.generator), "--out", str(folder / "dist")]
    assert main(words) == 0
    for name in (ANALYST, HOSPITAL):
        with zipfile.ZipFile(folder / "dist" / f"{name}-0.1.0.zip") as archive:
            archive.extractall(folder)
    return folder, hospital


def bundle(cwd: Path, *words: str) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [sys.executable, "-c", UNINSTALLED, *words],
        cwd=cwd, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_both_files_are_named_and_the_hospitals_is_private(
    packed: tuple[Path, Hospital], capsys: pytest.CaptureFixture[str]
) -> None:
    dist = packed[0] / "dist"
    assert sorted(path.name for path in dist.iterdir()) == [f"{ANALYST}-0.1.0.zip", f"{HOSPITAL}-0.1.0.zip"]
    assert (dist / f"{HOSPITAL}-0.1.0.zip").stat().st_mode & 0o777 == 0o600
    assert (dist / f"{ANALYST}-0.1.0.zip").stat().st_mode & 0o777 == 0o644


def test_the_analysts_bundle_infers_without_fesf_installed(
    packed: tuple[Path, Hospital], store: Path, trained: tuple[Path, ConfigWorkflow], tmp_path: Path
) -> None:
    root = shutil.copytree(packed[0] / ANALYST, tmp_path / "a bundle")
    words = ["--dataset_dir", str(store), "--output_dir", str(tmp_path / "out"), "--section", "test"]
    said = bundle(root, "run", "inferring", "--config_file", "configs/inference.json", *words)
    assert f"fesf lies in ['{root}/fesf']" in said
    ids = {"dataset_dir": str(store), "ckpt_dir": str(trained[0]), "output_dir": str(tmp_path / "ours")}
    run("inference.json", kind="infer", section="test", **ids)
    theirs, ours = ((tmp_path / name / "predictions.csv").read_text() for name in ("out", "ours"))
    assert theirs == ours
    assert len(list(csv.DictReader(theirs.splitlines()))) == 12


def test_the_hospitals_bundle_hides_an_image_without_fesf_installed(packed: tuple[Path, Hospital]) -> None:
    root, plain = packed[0] / HOSPITAL, packed[1].hosts / "2.png"
    bundle(root, "run", "inferring", "--config_file", "configs/inference.json", "--image", str(plain))
    (made,) = (root / "surrogates").glob("*.png")
    net = torch.jit.load(str(root / "models" / "model.ts")).eval()
    image = torch.from_numpy(np.asarray(Image.open(plain)).T / np.float32(255))[None, None]
    with torch.no_grad():
        expected = net(image)[0, 0].numpy().T * 255
    assert float(np.abs(np.asarray(Image.open(made)) - expected).max()) <= 0.51  # rounded, not cut
    assert made.stat().st_mode & 0o077 == 0


def test_a_model_from_the_hospitals_folder_is_refused(
    store: Path, trained: tuple[Path, ConfigWorkflow], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hospital = Hospital(tmp_path)
    shutil.copytree(trained[0], hospital.folder / "plaintext")
    words = ["--store", str(store), "--hospital", str(hospital.folder), "--hosts", str(hospital.hosts)]
    words += ["--out", str(tmp_path / "dist"), "--only", "analyst"]
    assert main([*words, "--ckpt_dir", str(hospital.folder / "plaintext")]) == 2
    assert capsys.readouterr().err.startswith("error: ckpt_dir lies in the hospital's folder")
    assert main([*words, "--ckpt_dir", str(trained[0])]) == 2  # the same weights, from another place
    assert "models/model.pt is a file of the hospital's and may not leave" in capsys.readouterr().err
    assert not list((tmp_path / "dist").iterdir())


def test_a_run_that_is_none_gets_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--run", str(tmp_path), "--out", str(tmp_path / "dist")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
