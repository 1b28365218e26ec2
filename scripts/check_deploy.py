"""MONAI Deploy from end to end: ``python -m fesf.scripts.check_deploy --out docs``, in ``make deploy``'s environment.

Makes a small demo, hides it as DICOM, trains, packs and unpacks the analyst's bundle, runs the app and compares what it
writes with inference.json's predictions; sends what a receiver would have stored, what is no surrogate, and a patient's
image through it; kills the node while it works; and runs the SDK's own operators on the same surrogates. Writes
``deploy.json``: what went in, what came out, and how long it took. Ends non-zero where a check fails.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import shutil
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fesf.scripts.data.dicom_elements import EXPLICIT_LITTLE_ENDIAN, PREAMBLE, SECONDARY_CAPTURE, meta_information, uid
from fesf.scripts.data.platform_check import PlatformCheck, write_page
from fesf.scripts.data.prediction_object import decode_prediction
from fesf.scripts.data.run_folder import configs_folder
from fesf.scripts.deploy.results import OBJECTS, TABLE
from fesf.scripts.make_demo import make_demo

PACKAGES = (
    "fesf",
    "monai-deploy-app-sdk",
    "holoscan-cu13",
    "nvidia-cuda-runtime",
    "monai",
    "torch",
    "numpy",
    "pydicom",
    "pynetdicom",
)
TOLERANCE = 1e-6
STOCK_IMAGES, KILLS = 4, 3
SIZE = 32


class DeployCheck(PlatformCheck):
    """The check in a folder of its own.

    Args:
        work: an empty folder.
        patients: of the demo.
        epochs: of the training.
    """

    def __init__(self, work: Path, patients: int = 30, epochs: int = 10) -> None:
        super().__init__(work)
        self.patients, self.epochs = patients, epochs
        self.hospital, self.analyst = self.work / "hospital zone", self.work / "analyst"
        self.store, self.model = self.work / "store", self.work / "unpacked" / "fesf_classification"
        self.images = self.store / "images"

    def run(self) -> dict[str, Any]:
        """All steps; returns what went in and what came out."""
        self._timed("demo and store", self._hide)
        self._timed("training, inference and bundle", self._train)
        found = self._timed("the app", self._app)
        found |= self._timed("the app on what a receiver stored", self._received)
        found |= self._timed("the app on what is no surrogate", self._refused)
        found |= self._timed("the node", self._node)
        return found | self._timed("the SDK's own operators", self._stock)

    def _hide(self) -> None:
        self.demo = make_demo(self.hospital / "demo", self.patients, SIZE, export=True).parent
        words = ["--cohort", str(self.demo / "cohort.csv"), "--hosts_dir", str(self.demo / "hosts")]
        words += ["--secret_file", str(self.demo / "secret"), "--hospital_dir", str(self.hospital / "kept")]
        words += ["--store_dir", str(self.store), "--image_size", f"[{SIZE},{SIZE}]", "--output", "dicom"]
        self._run("hiding", configs_folder() / "hide.json", self.work, *words)

    def _train(self) -> None:
        self.analyst.mkdir()
        words = ["--dataset_dir", str(self.store), "--ckpt_dir", str(self.analyst / "models"), "--output_dir"]
        training = ["--epochs", str(self.epochs), "--tensorboard", "False"]
        self._run("training", configs_folder() / "train.json", self.work, *words, str(self.analyst / "eval"), *training)
        self._run("inferring", configs_folder() / "inference.json", self.work, *words, str(self.analyst / "eager"))
        packing = ["--only", "analyst", "--store", str(self.store), "--ckpt_dir", str(self.analyst / "models")]
        packing += ["--hospital", str(self.hospital / "kept"), "--hosts", str(self.demo / "hosts")]
        status, said = self._python("-m", "fesf.scripts.package_bundle", "--out", str(self.work / "dist"), *packing)
        if status:
            raise RuntimeError(f"package_bundle ended with {status}: {said[-2000:]}")
        (file,) = (self.work / "dist").glob("*.zip")
        with zipfile.ZipFile(file) as archive:
            archive.extractall(self.work / "unpacked")

    def _start(self, source: Path, name: str) -> tuple[int, str, Path]:
        """Run the app; its status, what it printed, and its output."""
        out = self.work / "out" / name
        words = ["-i", str(source), "-o", str(out), "-m", str(self.model)]
        # Without the folder that make deploy puts there for MONAI's own commands: the app finds the library itself.
        return *self._python("-m", "fesf.scripts.deploy_app", *words, LD_LIBRARY_PATH=""), out

    def _app(self) -> dict[str, Any]:
        status, said, self.out = self._start(self.images, "first")
        if status:
            raise RuntimeError(f"the app ended with {status}: {said[-2000:]}")
        eager, ours = read_table(self.analyst / "eager" / TABLE), read_table(self.out / TABLE)
        difference = largest_difference(eager, ours)
        objects = {path.stem: decode_prediction(path.read_bytes()) for path in (self.out / OBJECTS).iterdir()}
        self.checks |= {
            "a row a surrogate, with inference.json's columns": list(eager) == list(ours)
            and [list(row) for row in eager.values()] == [list(row) for row in ours.values()],
            "probabilities are the eager model's": difference <= TOLERANCE,
            "decisions are inference.json's": [row["decision"] for row in eager.values()]
            == [row["decision"] for row in ours.values()],
            "a prediction object a surrogate, with its probabilities": {
                identity: [f"{value:.9g}" for value in prediction.probabilities]
                for identity, prediction in objects.items()
            }
            == {identity: list(shares(row).values()) for identity, row in ours.items()},
        }
        self.decisions = {identity: row["decision"] for identity, row in ours.items()}
        return {
            "sent": f"{len(list(self.images.iterdir()))} surrogates as DICOM, "
            f"{sum(path.stat().st_size for path in self.images.iterdir())} bytes",
            "came_back": {"rows": len(ours), "objects": len(objects), "first": next(iter(ours.values()))},
            "largest_difference": difference,
            "tolerance": TOLERANCE,
            "same_bytes_as_inference": (self.out / TABLE).read_bytes() == (self.analyst / "eager" / TABLE).read_bytes(),
        }

    def _received(self) -> dict[str, Any]:
        """Other names, in folders of studies, with a receiver's own preamble and meta information."""
        inbox = self.work / "received"
        for number, path in enumerate(sorted(self.images.iterdir())):
            (inbox / f"study {number % 7}").mkdir(parents=True, exist_ok=True)
            content = other_meta(path.read_bytes(), path.stem)
            (inbox / f"study {number % 7}" / f"IM{number:04d}").write_bytes(content)
        status, said, out = self._start(inbox, "received")
        same = status == 0 and (out / TABLE).read_bytes() == (self.out / TABLE).read_bytes()
        self.checks["the same table from what a receiver stored under names and meta information of its own"] = same
        return {} if same else {"received": said[-500:]}

    def _refused(self) -> dict[str, Any]:
        patients = sorted((self.demo / "export").rglob("*.dcm"))
        changed = next(iter(sorted(self.images.iterdir()))).read_bytes().replace(b"SYN ", b"DRW ")
        cases = {"a patient's DICOM image": patients[0].read_bytes(), "a surrogate with one element changed": changed}
        said = {}
        for name, content in cases.items():
            folder = self.work / "mixed" / name
            shutil.copytree(self.images, folder)
            (folder / f"{patients[0].stem}.dcm").write_bytes(content)
            status, text, out = self._start(folder, name)
            (line,) = [line for line in text.splitlines() if line.startswith("error: ")] or [""]
            said[name] = line
            self.checks[f"{name} is refused in one line without path or name, and nothing is written"] = (
                status == 2
                and "is no surrogate" in line
                and str(self.work) not in text
                and patients[0].stem not in text
                and not (out / TABLE).exists()
                and not (out / OBJECTS).exists()
            )
        return {"refused": said}

    def _node(self) -> dict[str, Any]:
        """The node as a process, killed between, with a hospital that sends and takes answers."""
        from fesf.scripts.check_gateway.processes import Process
        from fesf.scripts.deploy.node_check import NodeCheck

        patient = next(iter(sorted((self.demo / "export").rglob("*.dcm")))).read_bytes()
        surrogates = [path.read_bytes() for path in sorted(self.images.iterdir())]
        numbers = {identity: list(shares(row).values()) for identity, row in read_table(self.out / TABLE).items()}
        checks, found = NodeCheck(self.work / "node", self.model, Process).run(
            surrogates, numbers, patient, forged(patient), KILLS
        )
        self.checks |= checks
        return found

    def _stock(self) -> dict[str, Any]:
        folder = self.work / "some"
        folder.mkdir()
        kinds = sorted(set(self.decisions.values()))  # some of each, so that one class for all is seen to be wrong
        picked = [
            identity
            for kind in kinds
            for identity in [i for i, decision in self.decisions.items() if decision == kind][:STOCK_IMAGES]
        ]
        for identity in picked:
            shutil.copy(self.images / f"{identity}.dcm", folder)
        found: dict[str, Any] = {}
        for way in ("dicom", "memory"):
            words = ("-m", "fesf.scripts.deploy.stock", str(folder), str(self.model), way)
            status, said = self._python(*words)
            lines = [line for line in said.splitlines() if line.startswith("{")]
            if status or not lines:
                raise RuntimeError(f"the SDK's operators ended with {status}: {said[-2000:]}")
            found[way] = json.loads(lines[-1])
        ours = [self.decisions[identity] for identity in sorted(picked)]
        results = [row["result"] for row in found["memory"].get("found", [])]
        self.checks |= {
            "the SDK's reading fails on a single-slice series": "error" in found["dicom"],
            "the SDK's operator names one class for every probability": len(results) == len(ours)
            and len(set(ours)) > 1
            and all(len(result) > 1 and len(set(result)) == 1 for result in results)
            and len({tuple(result) for result in results}) == 1,
        }
        return {
            "stock": {"reading": found["dicom"].get("error"), "inference": found["memory"].get("found"), "ours": ours}
        }


def forged(content: bytes) -> bytes:
    """A patient's image that claims to be a Secondary Capture."""
    from pydicom import dcmread, dcmwrite
    from pydicom.uid import UID

    dataset = dcmread(io.BytesIO(content))
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = UID(SECONDARY_CAPTURE)
    buffer = io.BytesIO()
    dcmwrite(buffer, dataset)
    return buffer.getvalue()


def read_table(path: Path) -> dict[str, dict[str, str]]:
    """Rows of predictions.csv by id."""
    with open(path, newline="", encoding="utf-8") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def shares(row: dict[str, str]) -> dict[str, str]:
    """A row's probabilities by column."""
    return {name: value for name, value in row.items() if name.startswith("p_")}


def largest_difference(one: dict[str, dict[str, str]], two: dict[str, dict[str, str]]) -> float:
    """Largest difference of a probability; infinite where ids or classes differ."""
    if list(one) != list(two) or any(list(shares(one[i])) != list(shares(two[i])) for i in one):
        return float("inf")
    return max(abs(float(shares(one[i])[name]) - float(shares(two[i])[name])) for i in one for name in shares(one[i]))


def other_meta(content: bytes, identity: str) -> bytes:
    """The file as a receiver writes it: its own preamble and meta information, the same data set."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_file_meta_info
    from pydicom.uid import UID

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(SECONDARY_CAPTURE)
    meta.MediaStorageSOPInstanceUID = UID(uid(identity, "instance"))
    meta.TransferSyntaxUID = UID(EXPLICIT_LITTLE_ENDIAN)
    meta.ImplementationClassUID, meta.ImplementationVersionName = UID("1.2.3.4"), "A RECEIVER"
    meta.SourceApplicationEntityTitle = "SOMEBODY"
    buffer = DicomBytesIO()
    write_file_meta_info(buffer, meta)
    return b"II*\0" + PREAMBLE[4:] + buffer.getvalue() + content[len(meta_information(identity)) :]


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m fesf.scripts.check_deploy", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for deploy.json")
    parser.add_argument("--patients", type=int, default=30, help="of the demo (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=10, help="of the training (default: %(default)s)")
    options = parser.parse_args(arguments)
    command = f"python -m fesf.scripts.check_deploy --out docs --patients {options.patients} --epochs {options.epochs}"
    return write_page(
        lambda work: DeployCheck(work, options.patients, options.epochs),
        Path(options.out) / "deploy.json",
        command,
        PACKAGES,
    )


if __name__ == "__main__":
    sys.exit(main())
