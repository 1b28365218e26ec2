"""Both bundles from end to end, where fesf is not installed: ``python -m fesf.scripts.check_bundles --out docs``.

Makes a small demo, trains a generator and a classifier, hides, packs both bundles and unpacks them elsewhere. In an
environment that has every package but fesf it runs what a user of a bundle runs: train, evaluate, infer, verify the
network, export; in the hospital's bundle, hide one image and the whole cohort again. Results are compared with those of
the installed package. Writes ``bundles.json``; ends non-zero where a check fails.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fesf.scripts.data.bundle_zip import NAMESPACE
from fesf.scripts.data.files import file_sha256
from fesf.scripts.data.platform_check import PlatformCheck, write_page
from fesf.scripts.data.provenance import PACKAGES
from fesf.scripts.data.run_folder import configs_folder
from fesf.scripts.make_demo import make_demo
from fesf.scripts.package_bundle import ANALYST, HOSPITAL

SIZE = 32


def environment_without_fesf(folder: Path) -> Path:
    """A virtual environment with the packages that are installed here, but for fesf.

    Their folders and modules are linked one by one: an editable install and an installed wheel are both left behind.

    Returns:
        Its Python.

    Raises:
        RuntimeError: when fesf can be imported there all the same.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    packages = folder / "packages"
    packages.mkdir()
    for place in (Path(entry) for entry in sys.path if entry.endswith("site-packages")):
        for path in place.iterdir():
            left_out = path.name.startswith((NAMESPACE, f"__editable__.{NAMESPACE}", f"__editable___{NAMESPACE}"))
            if not left_out and not path.name.endswith(".pth") and not (packages / path.name).exists():
                (packages / path.name).symlink_to(path)
    (own,) = folder.glob("lib/python*/site-packages")
    (own / "packages.pth").write_text(f"{packages}\n")
    python = folder / "bin" / "python"
    command = [str(python), "-c", f"import monai, {NAMESPACE}.transforms"]
    if subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0:
        raise RuntimeError("fesf can be imported in the environment that should not have it.")
    return python


class BundlesCheck(PlatformCheck):
    """The check in a folder of its own.

    Args:
        work: an empty folder.
        patients: of the demo.
    """

    def __init__(self, work: Path, patients: int = 30) -> None:
        super().__init__(work)
        self.patients = patients
        self.environment.pop("PYTHONPATH", None)
        self.demo, self.zone, self.store = self.work / "demo", self.work / "hospital zone", self.work / "store"
        self.models, self.installed = self.work / "models", self.work / "installed"

    def run(self) -> dict[str, Any]:
        """All steps; returns the bundles with their digests."""
        self._timed("demo, generator, store, classifier", self._prepare)
        found: dict[str, Any] = self._timed("packing", self._pack)
        self.python = self._timed("environment without fesf", lambda: environment_without_fesf(self.work / "bare"))
        self._timed("the analyst's bundle", self._analyst)
        self._timed("the hospital's bundle", self._hospital)
        return found

    def _prepare(self) -> None:
        cohort, configs = make_demo(self.demo, self.patients, SIZE), configs_folder()
        data = ["--cohort", str(cohort), "--hosts_dir", str(self.demo / "hosts"), "--image_size", f"[{SIZE},{SIZE}]"]
        data += ["--hospital_dir", str(self.zone)]
        fast = ["--epochs", "2", "--iterations", "20", "--averaging", "0.2", "--learning_rate", "0.002"]
        self._run("enhancing", configs / "enhance.json", self.work, *data, *fast, "--content_weight", "2.0")
        self.generator = self.zone / "iqem" / "generator.pt"
        words = [*data, "--secret_file", str(self.demo / "secret"), "--generator_file", str(self.generator)]
        self._run("hiding", configs / "hide.json", self.work, *words, "--store_dir", str(self.store))
        places = ["--dataset_dir", str(self.store), "--ckpt_dir", str(self.models)]
        places += ["--output_dir", str(self.installed)]
        self._run("training", configs / "train.json", self.work, *places, "--epochs", "1")
        self._run("inferring", configs / "inference.json", self.work, *places)

    def _pack(self) -> dict[str, Any]:
        words = ["--store", self.store, "--ckpt_dir", self.models, "--hospital", self.zone, "--out", self.work / "dist"]
        words += ["--hosts", self.demo / "hosts", "--generator", self.generator]
        status, output = self._python("-m", "fesf.scripts.package_bundle", *map(str, words))
        if status:
            raise RuntimeError(f"package_bundle ended with {status}: {output[-2000:]}")
        found = {}
        for path in sorted((self.work / "dist").iterdir()):
            with zipfile.ZipFile(path) as archive:
                archive.extractall(self.work / "unpacked")
                names = archive.namelist()
            found[path.name] = {"bytes": path.stat().st_size, "files": len(names), "sha256": file_sha256(path)}
        return {"bundles": found}

    def _in(self, bundle: Path, name: str, *words: str) -> bool:
        """Run monai.bundle in an unpacked bundle and note whether it ended well."""
        done = subprocess.run(
            [str(self.python), "-m", "monai.bundle", *words], cwd=bundle, env=self.environment,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        self.checks[name] = done.returncode == 0
        if done.returncode:
            print((done.stdout + done.stderr)[-1500:], file=sys.stderr)
        return self.checks[name]

    def _analyst(self) -> None:
        bundle, store = self.work / "unpacked" / ANALYST, ["--dataset_dir", str(self.store)]
        config = ["--config_file", "configs/inference.json"]
        name = "analyst: predictions are the same bytes as the installed package's"
        if self._in(bundle, name, "run", "inferring", *config, *store):
            ours, theirs = ((place / "predictions.csv").read_bytes() for place in (self.installed, bundle / "eval"))
            self.checks[name] = ours == theirs
        again = ["--ckpt_dir", "again", "--output_dir", "again", "--epochs", "1"]
        name = "analyst: trains; the learning curve is the installed package's"
        if self._in(bundle, name, "run", "training", "--config_file", "configs/train.json", *store, *again):
            curves = [(place / "history.csv").read_text() for place in (bundle / "again", self.installed)]
            self.checks[name] = curves[0] == curves[1] and len(curves[0].splitlines()) == 2
        overlay = "['configs/train.json','configs/evaluate.json']"
        name = "analyst: evaluates"
        if self._in(bundle, name, "run", "evaluating", "--config_file", overlay, *store):
            self.checks[name] = (bundle / "eval" / "metrics.json").is_file()
        model = ["--meta_file", "configs/metadata.json", *config]
        self._in(bundle, "analyst: verify_net_in_out", "verify_net_in_out", "network_def", *model, "--device", "cpu")
        weights = ["--ckpt_file", "models/model.pt", *model]
        self._in(bundle, "analyst: ckpt_export", "ckpt_export", "network_def", "--filepath", "again/model.ts", *weights)
        hospitals = {path.name for path in (self.demo / "hosts").iterdir()} | {
            "generator.pt",
            "release.json",
            "linkage.csv",
        }
        held = {path.name for path in bundle.rglob("*")}
        self.checks["analyst: no host, generator, release or linkage"] = not held & hospitals

    def _hospital(self) -> None:
        bundle = self.work / "unpacked" / HOSPITAL
        config = ["--config_file", "configs/inference.json"]
        model = ["--meta_file", "configs/metadata.json", *config, "--device", "cpu"]
        self._in(bundle, "hospital: verify_net_in_out", "verify_net_in_out", "network_def", *model)
        words = ["--config_file", "configs/hide.json", "--cohort", str(self.demo / "cohort.csv")]
        words += ["--secret_file", str(self.demo / "secret"), "--store_dir", "again", "--hospital_dir", "kept"]
        name = "hospital: hides the cohort to the same images as the installed package"
        if self._in(bundle, name, "run", "hiding", *words):
            stores = [{path.name: path.read_bytes() for path in (store / "images").iterdir()}
                      for store in (self.store, bundle / "again")]  # fmt: skip
            self.checks[name] = stores[0] == stores[1]
        with open(self.zone / "linkage.csv", newline="") as file:
            row = next(csv.DictReader(file))
        with open(self.demo / "cohort.csv", newline="") as file:
            image = list(csv.DictReader(file))[int(row["row"]) - 2]["image"]
        name = "hospital: inferring gives an image's surrogate as the store has it"
        if self._in(bundle, name, "run", "inferring", *config, "--image", str(self.demo / image)):
            (made,) = (bundle / "surrogates").glob("*.png")
            stored = self.store / "images" / f"{row['id']}.png"
            self.checks[name] = np.array_equal(np.asarray(Image.open(made)), np.asarray(Image.open(stored)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 0 when all checks pass, 1 when one fails."""
    parser = argparse.ArgumentParser(
        prog="python -m fesf.scripts.check_bundles", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for bundles.json")
    parser.add_argument("--patients", type=int, default=30, help="of the demo (default: %(default)s)")
    options = parser.parse_args(arguments)
    command = f"python -m fesf.scripts.check_bundles --out docs --patients {options.patients}"
    make = lambda work: BundlesCheck(work, options.patients)  # noqa: E731
    return write_page(make, Path(options.out) / "bundles.json", command, PACKAGES)


if __name__ == "__main__":
    sys.exit(main())
