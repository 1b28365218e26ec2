"""MLflow from end to end, on a server of its own: ``python -m fesf.scripts.check_mlflow --out docs``.

Makes a small demo store, starts ``mlflow server`` on the loopback, trains with ``mlflow.json``, serves the registered
model and compares its answer with ``inference.json``, repeats the run from its logged config alone, and runs the
hospital's workflows under a ``MLFLOW_TRACKING_URI`` that points to the server: nothing of theirs may arrive. Writes
``mlflow.json``: what was sent, what came back, and how long it took. Ends non-zero where a check fails.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from fesf.scripts.data.logged_config import manifest_sha256
from fesf.scripts.data.loopback import free_port, wait_for
from fesf.scripts.data.platform_check import PlatformCheck, write_page
from fesf.scripts.data.run_folder import configs_folder
from fesf.scripts.data.store import LoadImageStored, load_datalist
from fesf.scripts.engines.tracking import URI_VARIABLE
from fesf.scripts.engines.training_record import COMMIT_TAG, CONFIG, PICTURE, STORE_TAG
from fesf.scripts.make_demo import make_demo

PACKAGES = ("fesf", "monai", "torch", "numpy", "mlflow")
TOLERANCE = 1e-6
NAME = "fesf-demo"
SIZE = 32


class MlflowCheck(PlatformCheck):
    """The check in a folder of its own.

    Args:
        work: an empty folder.
        patients: of the demo.
        epochs: of the training.
    """

    def __init__(self, work: Path, patients: int = 30, epochs: int = 2) -> None:
        super().__init__(work)
        self.patients, self.epochs = patients, epochs
        self.environment.pop(URI_VARIABLE, None)

    def run(self) -> dict[str, Any]:
        """All steps; returns what was sent and what came back."""
        self.store = self.work / "hospital zone" / "store"
        self._timed("demo and store", self._hide)
        with self._process("mlflow server", *self._server_words()) as uri:
            self.uri = uri
            found = self._timed("training with tracking", self._train)
            found |= self._timed("logged run", self._read_run)
            found |= self._timed("serving", self._serve)
            found |= self._timed("repeating from the logged config", self._repeat)
            found |= self._timed("the hospital's workflows", self._hospital)
        return found | self._search()

    def _hide(self) -> None:
        cohort = make_demo(self.work / "hospital zone" / "demo", self.patients, SIZE)
        self.cohort = ["--cohort", str(cohort), "--hosts_dir", str(cohort.parent / "hosts")]
        self.cohort += ["--image_size", f"[{SIZE},{SIZE}]", "--hospital_dir", str(self.work / "hospital zone" / "kept")]
        self.secret = ["--secret_file", str(cohort.parent / "secret")]
        words = [*self.cohort, *self.secret, "--store_dir", str(self.store)]
        self._run("hiding", configs_folder() / "hide.json", self.work, *words)

    def _server_words(self) -> tuple[str, ...]:
        artifacts = self.work / "server" / "artifacts"
        artifacts.mkdir(parents=True)
        database = self.work / "server" / "mlflow.db"
        return ("server", "--backend-store-uri", f"sqlite:///{database}", "--artifacts-destination", str(artifacts),
                "--workers", "1")  # fmt: skip

    @contextmanager
    def _process(self, name: str, *words: str) -> Iterator[str]:
        """A server of MLflow's on the loopback; yields its address once it answers."""
        port = free_port()
        start = time.monotonic()
        command = [sys.executable, "-m", "mlflow", *words, "--host", "127.0.0.1", "--port", str(port)]
        with open(self.work / f"{words[0]}.log", "wb") as log:
            process = subprocess.Popen(
                command, cwd=self.work, env=self._server_environment(), stdout=log, stderr=subprocess.STDOUT
            )
        try:
            try:
                wait_for(f"http://127.0.0.1:{port}/health", process)
            except RuntimeError as error:
                raise RuntimeError(
                    f"mlflow {words[0]}: {error} {(self.work / f'{words[0]}.log').read_text()[-800:]}"
                ) from None
            self.seconds[f"{name} to answer"] = round(time.monotonic() - start, 1)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=30)

    def _server_environment(self) -> dict[str, str]:
        address = {URI_VARIABLE: self.uri} if hasattr(self, "uri") else {}
        # mlflow models serve starts uvicorn by its bare name.
        address |= {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
        return self.environment | address | {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}

    def _train(self) -> dict[str, Any]:
        self.analyst = self.work / "analyst"
        self.analyst.mkdir()
        words = ["--dataset_dir", str(self.store), "--ckpt_dir", str(self.analyst / "models")]
        words += ["--output_dir", str(self.analyst / "eval"), "--epochs", str(self.epochs), "--tracking"]
        words += [str(configs_folder() / "mlflow.json"), "--tracking_uri", self.uri, "--registered_model", NAME]
        self._run("training", configs_folder() / "train.json", self.analyst, *words)
        return {}

    def _read_run(self) -> dict[str, Any]:
        from mlflow import MlflowClient

        self.client = MlflowClient(self.uri, registry_uri=self.uri)
        experiment: Any = self.client.get_experiment_by_name("fesf")
        (self.logged,) = self.client.search_runs([experiment.experiment_id])
        data, run_id = self.logged.data, self.logged.info.run_id
        (version,) = self.client.search_model_versions(f"name='{NAME}'")
        rows = list(csv.DictReader((self.analyst / "eval" / "history.csv").read_text().splitlines()))
        curve = [point.value for point in self.client.get_metric_history(run_id, "val_loss")]
        artifacts = [item.path for folder in ("config", "pictures", "model")
                     for item in self.client.list_artifacts(run_id, folder)]  # fmt: skip
        checks = {
            "the run is finished": self.logged.info.status == "FINISHED",
            "parameters": data.params["epochs"] == str(self.epochs) and data.params["network"] == "ResNet",
            "a metric of each epoch is history.csv's": curve == [float(row["val_loss"]) for row in rows],
            "the store's digest": data.tags[STORE_TAG] == manifest_sha256(self.store),
            "the code's commit": bool(data.tags[COMMIT_TAG]),
            "config, picture and model": {CONFIG, PICTURE, "model/MLmodel"} <= set(artifacts),
            "the registry holds the model": version.run_id == run_id and version.version in (1, "1"),
        }
        self.checks |= checks
        return {"artifacts": artifacts, "params": data.params, "metrics": data.metrics}

    def _serve(self) -> dict[str, Any]:
        words = ["--dataset_dir", str(self.store), "--ckpt_dir", str(self.analyst / "models"), "--section", "test"]
        words += ["--output_dir", str(self.analyst / "inference")]
        self._run("inferring", configs_folder() / "inference.json", self.analyst, *words)
        with open(self.analyst / "inference" / "predictions.csv", newline="") as file:
            rows = {row["id"]: [float(v) for k, v in row.items() if k.startswith("p_")] for row in csv.DictReader(file)}
        load = LoadImageStored("image", self.store)
        items = load_datalist(self.store, "test")
        images = np.stack([np.asarray(load(item)["image"]) for item in items])
        body = json.dumps({"inputs": images.tolist()}).encode()
        serving = ("models", "serve", "-m", f"models:/{NAME}/1", "--env-manager", "local")
        with self._process("mlflow models serve", *serving) as address:
            request = urllib.request.Request(f"{address}/invocations", body, {"Content-Type": "application/json"})
            start = time.monotonic()
            with urllib.request.urlopen(request, timeout=60) as answer:
                predictions = json.loads(answer.read())["predictions"]
            self.seconds["one POST"] = round(time.monotonic() - start, 3)
        expected = np.array([rows[item["id"]] for item in items])
        difference = float(np.abs(np.array(predictions) - expected).max())
        self.checks["served probabilities are inference.json's"] = difference <= TOLERANCE
        return {
            "served": {
                "sent": f"{len(items)} surrogates, {len(body)} bytes of JSON",
                "came_back": predictions[:2],
                "inference": expected[:2].tolist(),
                "largest_difference": difference,
                "tolerance": TOLERANCE,
            }
        }

    def _repeat(self) -> dict[str, Any]:
        folder = self.work / "repeat"
        folder.mkdir()
        config = self.client.download_artifacts(self.logged.info.run_id, CONFIG, str(folder))
        (folder / "store").symlink_to(self.store)
        self._run("training", config, folder)
        same = (folder / "eval" / "history.csv").read_bytes() == (self.analyst / "eval" / "history.csv").read_bytes()
        self.checks["a repeat from the logged config alone has the same history.csv"] = same
        return {}

    def _hospital(self) -> dict[str, Any]:
        variable = {URI_VARIABLE: self.uri}
        overlay = str(configs_folder() / "mlflow.json")
        training = [*self.cohort, "--epochs", "1", "--iterations", "2", "--averaging", "0.9", "--tracking"]
        before = len(self._runs())
        configs = configs_folder()
        local, _ = self._bundle("training", configs / "enhance.json", self.work, *training, overlay, **variable)
        preset, said = self._bundle("training", configs / "enhance.json", self.work, *training, "mlflow", **variable)
        words = [
            *self.cohort,
            *self.secret,
            "--store_dir",
            str(self.work / "hospital zone" / "other"),
            "--release_id",
            "r2",
        ]
        hide, refused = self._bundle(
            "hiding", configs / "hide.json", self.work, *words, "--tracking", overlay, **variable
        )
        database = self.work / "hospital zone" / "kept" / "iqem" / "mlruns.db"
        self.checks |= {
            "enhance.json logs to its own database": database.is_file(),
            "enhance.json with MONAI's handler is refused": preset != 0 and URI_VARIABLE in said,
            "hide.json refuses tracking": hide != 0 and "not tracked" in refused,
            "nothing of the hospital reached the server": len(self._runs()) == before,
        }
        return {"enhance_status": local}

    def _runs(self) -> list[Any]:
        experiments = [item.experiment_id for item in self.client.search_experiments()]
        return list(self.client.search_runs(experiments))

    def _search(self) -> dict[str, Any]:
        """Every byte on the server, for the hospital's folder, the analyst's, and the cohort's file names."""
        sought = [b"hospital zone", str(self.work).encode(), b"cohort.csv", b"P00001"]
        files = [path for path in (self.work / "server").rglob("*") if path.is_file()]
        # The server's database names its own artifact folder, which is the server's business.
        own = str(self.work / "server").encode()
        hits = [path.name for path in files for text in sought if text in path.read_bytes().replace(own, b"")]
        self.checks["no folder, table or patient of the hospital on the server"] = not hits
        return {"searched": {"files": len(files), "for": ["the hospital's folder", "the analyst's folder", "cohort.csv",
                                                          "a patient"], "hits": sorted(set(hits))}}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m fesf.scripts.check_mlflow", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for mlflow.json")
    parser.add_argument("--patients", type=int, default=30, help="of the demo (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=2, help="of the training (default: %(default)s)")
    options = parser.parse_args(arguments)
    command = f"python -m fesf.scripts.check_mlflow --out docs --patients {options.patients} --epochs {options.epochs}"
    return write_page(
        lambda work: MlflowCheck(work, options.patients, options.epochs),
        Path(options.out) / "mlflow.json",
        command,
        PACKAGES,
    )


if __name__ == "__main__":
    sys.exit(main())
